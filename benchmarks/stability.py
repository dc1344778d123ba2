"""What keeps training in half precision stable? A grid of small trainings, with float16 simulated on a CPU.

    python benchmarks/stability.py --manifest music/train.jsonl --out docs/pictures/stability.png

The grid: normalisation after each part, after it with DeepNorm, or before it; gradients clipped to a norm of
1, of 10, or not; attention relaxed by 32, or not; several learning rates. Each cell trains the same
Transformer, from the same weights (DeepNorm scales some) and on the same clips in the same order, to predict
codes of hidden frames; where no gradient was as long as the limit, the training is the one without it, and
not made again.

Simulated: in every layer of the Transformer, the weights and the outputs of all linear maps, the scaled
queries and the attention logits are rounded to float16 and back, infinite above 65504, zero below 3e-8; and
so are the gradients that come back through them, times the loss scale, which is the trainer's own (a step
with infinite gradients is skipped, and halves it). Sums within a product are float32, as on a GPU. Not
simulated: biases, the product of attention weights and values, the convolutions before the Transformer, and
heads; and softmax, normalisations and the residual stream, which solfa holds in float32.

Written beside the picture: a table (.md) and every figure (.json).
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parametrize

from solfa.config import override
from solfa.data.clips import Clips, ClipsConfig, RandomClips, batches
from solfa.data.manifest import read_manifest
from solfa.models.layers import transformer
from solfa.objectives import MaskedPrediction, MaskedPredictionConfig
from solfa.recipes import recipe
from solfa.training.loss_scale import LossScale, ScaleError

NORMS = {"after": "post-LN", "deep": "post-LN, DeepNorm", "before": "pre-LN"}
CLIPS: tuple[float | None, ...] = (None, 10.0, 1.0)
RELAXES = (1.0, 32.0)  # 1: not relaxed
INK, FAINT, BLUE, STOPPED = "#22303c", "#d5dce2", "#2a6f97", "#d1495b"
SPIKE = 5.0  # times the median of the twenty norms before


@dataclass(frozen=True)
class Cell:
    """One training of the grid."""

    norm: Literal["after", "deep", "before"]
    clip: float | None
    relax: float
    lr: float

    @property
    def column(self) -> str:
        """What it is called in tables and pictures."""
        clip = "no clipping" if self.clip is None else f"clip {self.clip:g}"
        return f"{clip}{', relaxed' if self.relax > 1 else ''}"


@dataclass
class Result:
    """What became of a cell; None where fewer than 20 steps were taken: too few to speak of a course."""

    final_loss: float | None = None  # nats of a hidden code, mean of the last ten steps that were taken
    worst_rise: float | None = None  # of the smoothed loss above its lowest so far, in nats
    first_infinite_step: int | None = None
    skipped_share: float = 0.0
    stopped_at: int | None = None  # by the loss scale
    largest_logit: float = 0.0  # of attention, before it is relaxed
    largest_output: float = 0.0  # of a linear map
    median_norm: float | None = None
    largest_norm: float | None = None  # of gradients that are finite
    n_spikes: int | None = None
    seconds: float = 0.0  # of processor time


class Half(torch.autograd.Function):
    """Values and gradients as float16 holds them; overflow is infinite."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Values as float16 holds them."""
        return values.half().float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Their gradient, likewise."""
        return gradient.half().float()


class HalfWeights(nn.Module):
    """A weight as half precision sees it; the optimiser keeps the float32 one."""

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weight."""
        return cast(Tensor, Half.apply(weight))


class HalfAttention:
    """Attention weights as ``relaxed_attention`` makes them, from queries and logits in half precision."""

    def __init__(self) -> None:
        self.largest_logit = 0.0

    def __call__(self, query: Tensor, key: Tensor, audible: Tensor | None, relax: float) -> Tensor:
        """Attention weights; no clip of the experiment is padded."""
        assert audible is None
        scaled = Half.apply(query / (relax * math.sqrt(query.shape[-1])))
        exact = scaled @ key.transpose(2, 3)
        self.largest_logit = max(self.largest_logit, relax * float(exact.detach().abs().max()))
        logits = Half.apply(exact)
        return ((logits - logits.amax(-1, keepdim=True)) * relax).softmax(-1)


class HalfOutputs:
    """The outputs of linear maps in half precision, as a forward hook."""

    def __init__(self) -> None:
        self.largest = 0.0

    def __call__(self, _: nn.Module, __: Any, out: Tensor) -> Tensor:
        """The rounded outputs."""
        self.largest = max(self.largest, float(out.detach().abs().max()))
        return cast(Tensor, Half.apply(out))


def simulate_half(context: nn.Module) -> HalfOutputs:
    """Round weights and outputs of the linear maps of a Transformer."""
    outputs = HalfOutputs()
    for module in context.modules():
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", HalfWeights())
            module.register_forward_hook(outputs)
    return outputs


def objective_of(cell: Cell, n_layers: int, dim: int) -> MaskedPrediction:
    """The model and what it learns: as mert_tiny, deeper, and on codes alone."""
    config = recipe("mert_tiny").objective
    assert isinstance(config, MaskedPredictionConfig)
    sizes = {"n_layers": n_layers, "dim": dim, "feed_forward_dim": 4 * dim, "n_heads": dim // 32}
    setting = {**sizes, "position_kernel_frames": 32, "norm": cell.norm, "attention_relax": cell.relax}
    config = override(config, {f"encoder.transformer.{name}": value for name, value in setting.items()})
    config = override(config, {"encoder.convolutions.n_channels": 8})  # most of the time would go there
    config = override(config, {"predictions.0.head.initial_size": 1.0})  # as published
    return MaskedPrediction(
        replace(config, predictions=config.predictions[:1], mixing=None, feature_penalty=None)
    )


def batches_of(manifest: Path, n_batches: int, n_clips: int, seconds: float) -> list[Clips]:
    """Clips of music in memory, each batch once."""
    config = ClipsConfig(manifest=str(manifest), clip_seconds=seconds, clips_per_step=n_clips)
    clips = RandomClips(read_manifest(manifest), config, 24_000, seed=0)
    numbers = (list(range(n * n_clips, (n + 1) * n_clips)) for n in range(n_batches))
    return list(batches(clips, numbers, 0))


def train(cell: Cell, data: list[Clips], arguments: argparse.Namespace) -> Result:
    """One training; the clips come round again when all were seen."""
    torch.manual_seed(0)
    attention = HalfAttention()
    transformer.relaxed_attention = attention
    objective = objective_of(cell, arguments.layers, arguments.dim).train()
    outputs = simulate_half(objective.encoder.context)
    learning = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=cell.lr, betas=(0.9, 0.98), eps=1e-6, fused=True)
    scale = LossScale(torch.device("cpu"), is_used=True)
    losses, norms, result, begun = [], [], Result(), time.process_time()
    for step in range(arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = cell.lr * min(1, (step + 1) / arguments.warmup)
        part = objective(data[step % len(data)])
        scale.scaled(part.loss).backward()
        scale.unscale([optimizer])
        torch._foreach_div_([p.grad for p in learning if p.grad is not None], float(part.count))
        norm = clip_grad_norm_(learning, math.inf if cell.clip is None else cell.clip)
        if is_finite := bool(torch.isfinite(norm)):
            optimizer.step()
            norms.append(float(norm))
            losses.append(float(part.loss.detach() / part.count))
        elif result.first_infinite_step is None:
            result.first_infinite_step = step
        optimizer.zero_grad(set_to_none=True)
        try:
            scale.update(step, is_finite)
        except ScaleError:
            result.stopped_at = step
            break
    result.skipped_share = scale.n_skipped / (step + 1)
    result.largest_logit, result.largest_output = attention.largest_logit, outputs.largest
    result.seconds = time.process_time() - begun
    return judged(result, losses, norms)


def judged(result: Result, losses: list[float], norms: list[float]) -> Result:
    """The figures that follow from losses and norms of all steps taken."""
    if len(losses) < 20:
        return result
    smooth = np.convolve(losses, np.full(10, 0.1), "valid")
    result.final_loss = float(smooth[-1])
    result.worst_rise = float((smooth - np.minimum.accumulate(smooth)).max())
    result.median_norm, result.largest_norm = float(np.median(norms)), max(norms)
    result.n_spikes = int(sum(norms[n] > SPIKE * np.median(norms[n - 20 : n]) for n in range(20, len(norms))))
    return result


def baseline(data: list[Clips]) -> float:
    """Loss of one who knows the frequencies of all codes and nothing else, in nats."""
    target = objective_of(Cell("before", None, 1.0, 0.0), 1, 64).targets[0]
    counts = torch.bincount(torch.cat([target(clips).values.flatten() for clips in data]))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * share.log()).sum())


def table(results: dict[Cell, Result]) -> Iterator[str]:
    """Lines of Markdown."""
    yield ("| normalisation | rate | clipping | relaxed | final loss | worst rise | first infinite step | "
           "skipped | largest logit | largest output | median norm | largest norm | spikes |")  # fmt: skip
    yield "|---" * 13 + "|"
    for cell, r in results.items():
        clip = "none" if cell.clip is None else f"{cell.clip:g}"
        first = "none" if r.first_infinite_step is None else str(r.first_infinite_step)
        first += f", stopped at {r.stopped_at}" if r.stopped_at is not None else ""
        yield (
            f"| {NORMS[cell.norm]} | {cell.lr:g} | {clip} | {'yes' if cell.relax > 1 else 'no'} "
            f"| {_number(r.final_loss, 3)} | {_number(r.worst_rise, 2)} | {first} | {r.skipped_share:.1%} "
            f"| {r.largest_logit:,.0f} | {r.largest_output:,.0f} "
            f"| {_number(r.median_norm, 2)} | {_number(r.largest_norm, 1)} | {_number(r.n_spikes, 0)} |"
        )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def draw(rows: list[dict[str, Any]], guess: float, out: Path) -> None:
    """A map of final losses for each normalisation, and below it how large the logits of attention became."""
    figure = Figure(figsize=(12.5, 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    norms = [norm for norm in NORMS if any(row["norm"] == norm for row in rows)]
    panels = figure.subplots(2, len(norms), sharey="row", squeeze=False)
    lowest = min((row["final_loss"] for row in rows if row["final_loss"] is not None), default=guess)
    colours = colormaps["YlGnBu_r"].with_extremes(bad="#ffffff")
    for column, norm in enumerate(norms):
        own = [row for row in rows if row["norm"] == norm]
        _draw_losses(panels[0, column], own, colours, lowest, guess)
        _draw_logits(panels[1, column], own)
        panels[0, column].set_title(NORMS[norm], color=INK, fontsize=12, pad=10)
    panels[0, 0].set_ylabel("learning rate", color=INK)
    panels[1, 0].set_ylabel("largest attention logit", color=INK)
    panels[1, 0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.suptitle(
        f"Loss after the last step (code frequencies alone: {guess:.2f}); "
        "red: stopped at that step, gradients infinite at any scale",
        color=INK,
        fontsize=11,
    )
    figure.savefig(out, dpi=110)


def _draw_losses(axes: Any, rows: list[dict[str, Any]], colours: Any, lowest: float, guess: float) -> None:
    rates = sorted({row["lr"] for row in rows})
    columns = list(product(RELAXES, CLIPS))
    image = np.full((len(rates), len(columns)), np.nan)
    for row in rows:
        place = rates.index(row["lr"]), columns.index((row["relax"], row["clip"]))
        stopped = row["stopped_at"] is not None
        image[place] = np.nan if stopped else row["final_loss"]
        text = f"stop\n{row['stopped_at']}" if stopped else _number(row["final_loss"], 2)
        dark = text[0].isdigit() and row["final_loss"] < (lowest + guess) / 2
        axes.text(place[1], place[0], text, ha="center", va="center", fontsize=9,
                  color=STOPPED if stopped else "white" if dark else INK)  # fmt: skip
    axes.imshow(image, cmap=colours, vmin=lowest, vmax=guess + 0.1, aspect="auto", origin="lower")
    names = ["no clip" if clip is None else f"clip {clip:g}" for _, clip in columns]
    axes.set_xticks(range(len(columns)), names, fontsize=8)
    axes.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.axvline(len(CLIPS) - 0.5, color="white", lw=3)
    for start, word in ((0, "attention as is"), (len(CLIPS), "attention relaxed")):
        axes.text(start + (len(CLIPS) - 1) / 2, -1.0, word, ha="center", va="top", fontsize=9, color=INK)
    axes.tick_params(length=0, colors=INK)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_logits(axes: Any, rows: list[dict[str, Any]]) -> None:
    for relax, colour, word in zip(RELAXES, (INK, BLUE), ("as is", "relaxed"), strict=True):
        own = [row for row in rows if row["relax"] == relax]
        shift = 0.93 if relax == RELAXES[0] else 1.07  # so that neither hides the other
        for stopped in (False, True):
            points = [row for row in own if (row["stopped_at"] is not None) == stopped]
            axes.plot(
                [row["lr"] * shift for row in points], [row["largest_logit"] for row in points],
                "x" if stopped else "o", color=colour, ms=7, mew=2 if stopped else 0, alpha=0.8,
                label=f"{word}, {'stopped' if stopped else 'went on'}",
            )  # fmt: skip
    axes.axhline(65504, color=STOPPED, lw=1, ls="--", label="largest float16")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("learning rate", color=INK)
    axes.grid(color=FAINT, lw=0.6)
    axes.tick_params(colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main() -> None:
    """Run the grid, write the table, the figures and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    parser.add_argument("--rates", type=float, nargs="+", default=[4e-3, 0.1, 0.5])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--only", choices=list(NORMS), nargs="+", default=list(NORMS))
    arguments = parser.parse_args()
    data = batches_of(arguments.manifest, n_batches=4, n_clips=4, seconds=1.0)
    results: dict[Cell, Result] = {}
    for norm, lr, relax, clip in product(arguments.only, arguments.rates, RELAXES, CLIPS):
        cell = Cell(cast(Any, norm), clip, relax, lr)
        unclipped = results.get(replace(cell, clip=None))
        longest = unclipped.largest_norm if unclipped else None
        if clip is not None and unclipped is not None and longest is not None and longest <= clip:
            results[cell] = unclipped
        else:
            results[cell] = train(cell, data, arguments)
        print(cell, results[cell], flush=True)
    guess = baseline(data)
    rows = [{**asdict(cell), **asdict(result)} for cell, result in results.items()]
    arguments.out.with_suffix(".json").write_text(
        json.dumps({"unigram_loss": guess, "cells": rows}, indent=1)
    )
    lines = [*table(results), "", f"Code frequencies alone: {guess:.3f} nats."]
    arguments.out.with_suffix(".md").write_text("\n".join(lines) + "\n")
    draw(rows, guess, arguments.out)


if __name__ == "__main__":
    main()

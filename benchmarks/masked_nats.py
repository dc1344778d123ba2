"""What a run knows of hidden frames that interpolation between visible ones does not, in nats.

    python benchmarks/masked_nats.py --run runs/solfa_small --manifest heldout.jsonl

All answer the same questions: every code of the frames that the run's own masks hide in clips of held-out
tracks. What a baseline is fitted to comes from clips of the run's training tracks.

- "frequencies": how often each code comes in training.
- "nearest": frequencies given the code of the nearest visible frame, and how many frames away that is (a
  table for each distance and direction, smoothed by the frequencies).
- "both sides": as well given the nearest visible frame on the other side, by a weighted product of both.
- "interpolated": the spectrum interpolated linearly over the gap and quantised. Its width: a share for the
  code so found, and for the rest each code's frequency times exp(-squared distance / T), with share and T for
  each codebook and distance. Its accuracy is that of the likeliest code; "quantised" is that of the code so
  found, which alone has no nats. A quantizer that knows no distances has no T: the rest are frequencies.

Smoothing, weights of both sides, T and shares are fitted on further training clips with the run's masks.
Whatever was removed of a clip's level, hidden frames included, is removed for the interpolation too.
The run answers with what it is known by: the running mean of its weights, where it keeps one. Intervals are
95 % of drawings of the held-out tracks.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from solfa import checkpoint
from solfa.config import load_config, override
from solfa.data.clips import Clips, RandomClips, batches
from solfa.objectives.masked import MaskedPrediction
from solfa.objectives.predictor import with_something_visible
from solfa.objectives.scored import inner_frames
from solfa.targets import Codes, Target
from solfa.targets.quantized_frames import QuantizedFrames
from solfa.targets.residual_kmeans import ResidualKMeans
from solfa.training import Placement, RunConfig, Trainer
from solfa.training.averaging import averaged

DISTANCES = (1, 2, 3, 4, 6, 8, 11, 15, 20, 30)  # frames; those between belong to the next lower one
SMOOTHING = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)  # frames that frequencies count for
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)  # of a side in the product
WIDTHS = tuple(2.0**n for n in range(-6, 6))  # T, in mean distances of all codes
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8)  # of the code that interpolation finds
N_FITTED = 8_000  # hidden frames that fit the few numbers of a baseline
ROWS = 4_000  # looked at in one go
CLIPS_AT_ONCE, N_RESAMPLES = 8, 2_000
METHODS = ("frequencies", "nearest", "both sides", "interpolated", "run")


@dataclass(frozen=True)
class Asked:
    """Hidden frames that a prediction is asked about, in one row, and what is visible around each."""

    codes: Tensor  # (hidden codebook)
    beside: tuple[Tensor, Tensor]  # (hidden codebook): codes of the nearest visible frames before and after
    away: tuple[Tensor, Tensor]  # (hidden): how many frames those lie away; 0 where there is none
    interpolated: Tensor | None  # (hidden dim)
    tracks: Tensor  # (hidden)

    @property
    def distance(self) -> Tensor:
        """Frames to the nearest visible one."""
        before, after = (torch.where(away > 0, away, 10**6) for away in self.away)
        return torch.minimum(before, after)

    def some(self, n_most: int) -> "Asked":
        """Frames at even distances, ``n_most`` at most."""
        step = slice(None, None, -(-len(self.codes) // n_most))
        before, after = self.beside
        return Asked(
            self.codes[step], (before[step], after[step]), (self.away[0][step], self.away[1][step]),
            None if self.interpolated is None else self.interpolated[step], self.tracks[step],
        )  # fmt: skip


def neighbours(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of the nearest visible frames before and after each; -1, or as many as there are, if none."""
    n = mask.shape[1]
    numbers = torch.arange(n).expand_as(mask)
    before = torch.where(mask, -1, numbers).cummax(1).values
    after = torch.where(mask, n, numbers).flip(1).cummin(1).values.flip(1)
    return before, after


def interpolated(frames: Tensor, mask: Tensor, n_stacked: int) -> Tensor:
    """Frames (clip frame dim) with straight lines over what is hidden; the ends go on as the nearest one.

    Frames that hold several shorter ones side by side are taken apart: lines begin at the last one seen.
    """
    short = frames.unflatten(2, (n_stacked, -1)).flatten(1, 2)
    hidden = mask.repeat_interleave(n_stacked, dim=1)
    before, after = neighbours(hidden)
    n = hidden.shape[1]
    left, right = torch.where(before < 0, after, before), torch.where(after >= n, before, after)
    left, right = left.clamp(0, n - 1), right.clamp(0, n - 1)
    share = (torch.arange(n) - left) / (right - left).clamp(min=1)
    rows = torch.arange(len(short))[:, None]
    lines = torch.lerp(short[rows, left], short[rows, right], share[..., None])
    return lines.unflatten(1, (-1, n_stacked)).flatten(2)


def frames_of(target: nn.Module, clips: Clips, codes: Codes) -> Tensor | None:
    """What codes were made of, if that is a fixed spectrum."""
    if codes.origin is not None:
        return codes.origin.frames
    if not isinstance(target, QuantizedFrames):
        return None
    first = clips.context_samples // target.grid.hop_length
    return target.frames_to_quantize(clips.surrounded())[:, first:]


def masked(objective: MaskedPrediction, clips: Clips, n_frames: int) -> Tensor:
    """The frames that the run hides in these clips."""
    mask = objective.masking.sample(clips, n_frames)
    return with_something_visible(mask) if objective.predictor else mask


def asked(objective: MaskedPrediction, clips: Clips) -> list[Asked | None]:
    """What each prediction is asked about clips; None for values."""
    targets = cast(list[Target], list(objective.targets))
    expected: list[Any] = [target.with_context(clips) for target in targets]
    heard = clips.spectra.n_frames if clips.spectra is not None else None
    n_frames = heard or objective.encoder.frontend.n_frames(clips.waveform.shape[1])
    n_frames = min(n_frames, *(one.n_frames for one in expected))
    mask = masked(objective, clips, n_frames)
    found: list[Asked | None] = []
    for target, one, margin in zip(targets, expected, objective.margins, strict=True):
        if not isinstance(one, Codes):
            found.append(None)
            continue
        scored = inner_frames(mask, margin) if margin else mask
        frames = frames_of(target, clips, one)
        found.append(_asked(one.cut(n_frames).values, frames, mask, scored, clips.tracks, target))
    return found


def _asked(
    codes: Tensor, frames: Tensor | None, mask: Tensor, scored: Tensor, tracks: Tensor, target: nn.Module
) -> Asked:
    before, after = neighbours(mask)
    rows, here = torch.arange(len(mask))[:, None], torch.arange(mask.shape[1])
    by_frame, n = codes.transpose(1, 2), mask.shape[1]
    sides = tuple(by_frame[rows, side.clamp(0, n - 1)][scored] for side in (before, after))
    away = (
        torch.where(before < 0, 0, here - before)[scored],
        torch.where(after >= n, 0, after - here)[scored],
    )
    lines = None
    if frames is not None:
        of_spectra = getattr(target.config, "frames", None)  # codes of stored teachers have none
        n_stacked = getattr(of_spectra, "n_stacked", 1)
        lines = interpolated(frames[:, :n], mask, n_stacked)[scored]
    whose = tracks[:, None].expand_as(mask)[scored]
    return Asked(by_frame[scored], (sides[0], sides[1]), away, lines, whose)


def joined(parts: Sequence[Asked]) -> Asked:
    """The questions of several batches."""

    def rows(of: Callable[[Asked], Tensor]) -> Tensor:
        return torch.cat([of(part) for part in parts])

    has_lines = all(part.interpolated is not None for part in parts)
    return Asked(
        rows(lambda p: p.codes),
        (rows(lambda p: p.beside[0]), rows(lambda p: p.beside[1])),
        (rows(lambda p: p.away[0]), rows(lambda p: p.away[1])),
        rows(lambda p: cast(Tensor, p.interpolated)) if has_lines else None,
        rows(lambda p: p.tracks),
    )


def bucket_of(distance: Tensor) -> Tensor:
    """Which of ``DISTANCES`` stands for a distance."""
    places = torch.searchsorted(torch.tensor(DISTANCES), distance.contiguous(), right=True)
    return (places - 1).clamp(min=0)


@dataclass(frozen=True)
class Counted:
    """What was counted of one codebook in training clips."""

    frequencies: Tensor  # (code), shares
    pairs: Tensor  # (distance code code): how often the second code comes so many frames after the first

    @classmethod
    def of(cls, clips: Tensor, size: int) -> "Counted":
        """Counts in codes (clip frame). Every frame counts, hidden or not: masks do not heed sound."""
        uses = torch.bincount(clips.flatten(), minlength=size).float() + 0.5
        pairs = torch.zeros(len(DISTANCES), size, size)
        for place, distance in enumerate(DISTANCES):
            if distance < clips.shape[1]:
                both = clips[:, :-distance] * size + clips[:, distance:]
                pairs[place] = torch.bincount(both.flatten(), minlength=size**2).view(size, size)
        return cls(uses / uses.sum(), pairs)

    def given(self, side: int, codes: Tensor, away: Tensor, smoothing: float) -> Tensor:
        """Log-probabilities (hidden code) given the code on one side (0: before, 1: after), so far away."""
        pairs = self.pairs if side == 0 else self.pairs.transpose(1, 2)
        counts = pairs[bucket_of(away), codes]
        counts = torch.where(away[:, None] > 0, counts, 0.0)  # nothing is visible on that side
        smooth = counts + smoothing * self.frequencies
        return (smooth / smooth.sum(1, keepdim=True)).log()

    def nearest(self, asked: Asked, book: int, smoothing: float) -> Tensor:
        """Given the nearest visible frame; of two equally near ones, the earlier."""
        before, after = (
            self.given(side, asked.beside[side][:, book], asked.away[side], smoothing) for side in (0, 1)
        )
        return torch.where(is_before(asked)[:, None], before, after)

    def sides(self, asked: Asked, book: int, smoothing: float) -> tuple[Tensor, Tensor]:
        """What the nearer side says beyond the frequencies, and what the other one does."""
        before, after = (
            self.given(side, asked.beside[side][:, book], asked.away[side], smoothing)
            - self.frequencies.log()
            for side in (0, 1)
        )
        is_first = is_before(asked)[:, None]
        return torch.where(is_first, before, after), torch.where(is_first, after, before)


def is_before(asked: Asked) -> Tensor:
    """Whether the nearest visible frame lies before the hidden one."""
    before, after = asked.away
    return (after == 0) | ((before > 0) & (before <= after))


def cost(log_probabilities: Tensor, codes: Tensor) -> Tensor:
    """Nats of each code."""
    return -log_probabilities.gather(1, codes[:, None])[:, 0]


class Baselines:
    """The baselines of one codebook.

    Args:
        counted: in training clips.
        quantizer: of the target.
        fitting: questions about further training clips, to which the few free numbers are fitted.
        book: number of the codebook.
    """

    def __init__(self, counted: Counted, quantizer: Any, fitting: Asked, book: int) -> None:
        self.counted, self.quantizer, self.book = counted, quantizer, book
        few, codes = fitting.some(N_FITTED), fitting.some(N_FITTED).codes[:, book]
        self.smoothing = min(
            SMOOTHING, key=lambda s: float(cost(counted.nearest(few, book, s), codes).mean())
        )
        self.weights = self._fit(few, [(a, b) for a in WEIGHTS for b in WEIGHTS], self._both_sides)
        widths = WIDTHS if isinstance(quantizer, ResidualKMeans) else (math.inf,)
        choices = [(width, share) for width in widths for share in SHARES]
        self.widths = self._fit(few, choices, self._lines) if few.interpolated is not None else None

    def _fit(self, few: Asked, choices: Sequence[Any], answer: Callable[..., Tensor]) -> list[Any]:
        """The best choice for each distance."""
        buckets, chosen = bucket_of(few.distance), []
        answering = answer(few)
        for place in range(len(DISTANCES)):
            rows = buckets == place
            if not rows.any():
                chosen.append(chosen[-1] if chosen else choices[len(choices) // 2])
                continue
            costs = [float(cost(answering(rows, c), few.codes[rows, self.book]).mean()) for c in choices]
            chosen.append(choices[int(np.argmin(costs))])
        return chosen

    def _both_sides(self, asked: Asked) -> Callable[[Tensor, tuple[float, float]], Tensor]:
        near, far = self.counted.sides(asked, self.book, self.smoothing)
        prior = self.counted.frequencies.log()
        return lambda rows, w: (prior + w[0] * near[rows] + w[1] * far[rows]).log_softmax(1)

    def _lines(self, asked: Asked) -> Callable[[Tensor, tuple[float, float]], Tensor]:
        assert asked.interpolated is not None
        prior = self.counted.frequencies.log()
        further = torch.zeros(len(asked.codes), len(prior))
        if isinstance(self.quantizer, ResidualKMeans):
            distances = self.quantizer.squared_distances(asked.interpolated)[:, self.book]
            # In units of the mean distance: one scale of widths then suits every codebook and spectrum.
            further = distances / distances.mean()
        found = self.quantised(asked)

        def answer(rows: Tensor, chosen: tuple[float, float]) -> Tensor:
            width, share = chosen
            said = (1 - share) * (prior - further[rows] / width).softmax(1)
            said[torch.arange(len(said)), found[rows]] += share
            return said.clamp(min=1e-12).log()

        return answer

    def quantised(self, asked: Asked) -> Tensor:
        """The codes of interpolated frames."""
        assert asked.interpolated is not None
        return cast(Tensor, self.quantizer.encode(asked.interpolated[None])[0, self.book])

    def answers(self, asked: Asked) -> dict[str, Tensor]:
        """Log-probabilities (hidden code) of each baseline."""
        prior = self.counted.frequencies.log().expand(len(asked.codes), -1)
        found = {
            "frequencies": prior,
            "nearest": self.counted.nearest(asked, self.book, self.smoothing),
            "both sides": self._by_distance(asked, self._both_sides(asked), self.weights),
        }
        if self.widths and asked.interpolated is not None:
            found["interpolated"] = self._by_distance(asked, self._lines(asked), self.widths)
        return found

    def _by_distance(self, asked: Asked, answering: Callable[..., Tensor], chosen: list[Any]) -> Tensor:
        said = torch.zeros(len(asked.codes), len(self.counted.frequencies))
        buckets = bucket_of(asked.distance)
        for place in buckets.unique().tolist():
            rows = buckets == place
            said[rows] = answering(rows, chosen[place])
        return said


def in_batches(clips: RandomClips, first: int, n_clips: int) -> Iterator[Clips]:
    """Clips of a row, from number ``first`` on."""
    numbers = range(first, first + n_clips)
    parts = [list(numbers[start : start + CLIPS_AT_ONCE]) for start in range(0, n_clips, CLIPS_AT_ONCE)]
    yield from batches(clips, iter(parts), 0)


def said_by_run(objective: MaskedPrediction, clips: Clips) -> list[Tensor]:
    """Log-probabilities (hidden codebook code) of every head for codes, as validation has them."""
    said: list[Tensor] = []
    hooks = [
        head.register_forward_hook(lambda module, given, logits: said.append(logits.float().log_softmax(-1)))
        for head in objective.heads
        if hasattr(head, "n_codebooks")
    ]
    objective(clips)
    for hook in hooks:
        hook.remove()
    return said


@dataclass(frozen=True)
class Figures:
    """Nats and hits of each method on every hidden frame (hidden codebook), and whose frames they are."""

    nats: dict[str, np.ndarray]
    hits: dict[str, np.ndarray]
    tracks: np.ndarray

    def difference(self, method: str, other: str) -> tuple[float, float, float]:
        """Nats of one method less those of another, and the 95 % interval over drawings of the tracks."""
        less = (self.nats[method] - self.nats[other]).mean(1)
        names = np.unique(self.tracks)
        sums = np.array([(less[self.tracks == n].sum(), (self.tracks == n).sum()) for n in names])
        draws = np.random.default_rng(0).integers(0, len(names), (N_RESAMPLES, len(names)))
        drawn = sums[draws].sum(1)
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
        return float(less.mean()), float(low), float(high)


def compared(baselines: Sequence[Baselines], asked: Asked, said: Tensor) -> Figures:
    """All methods on the same questions.

    Args:
        baselines: of each codebook.
        asked: about held-out clips.
        said: by the run, (hidden codebook code).
    """
    nats: dict[str, list[np.ndarray]] = {}
    hits: dict[str, list[np.ndarray]] = {}
    for book, own in enumerate(baselines):
        codes = asked.codes[:, book]
        answers = own.answers(asked) | {"run": said[:, book]}
        for name, answer in answers.items():
            nats.setdefault(name, []).append(cost(answer, codes).numpy())
            hits.setdefault(name, []).append((answer.argmax(1) == codes).numpy())
        if asked.interpolated is not None:
            hits.setdefault("quantised", []).append((own.quantised(asked) == codes).numpy())
    stacked = [{name: np.stack(books, 1) for name, books in values.items()} for values in (nats, hits)]
    return Figures(stacked[0], stacked[1], asked.tracks.numpy())


@torch.inference_mode()
def measured(trainer: Trainer, n_counted: int, n_fitted: int, n_clips: int) -> list[Figures | None]:
    """Figures of each prediction of a run; None for values."""
    objective = cast(MaskedPrediction, trainer.objective.eval())
    assert trainer.valid_clips is not None
    codes = _codes(objective, in_batches(trainer.clips, 0, n_counted))
    fitting = _questions(objective, in_batches(trainer.clips, n_counted, n_fitted))
    held_out = list(in_batches(trainer.valid_clips, 0, n_clips))
    questions = _questions(objective, iter(held_out))
    with averaged(trainer.average):  # what a run is known by, and validation asks
        by_batch = [said_by_run(objective, clips) for clips in held_out]
    said = iter([torch.cat(parts) for parts in zip(*by_batch, strict=True)])
    figures: list[Figures | None] = []
    for target, of_target, few, many in zip(objective.targets, codes, fitting, questions, strict=True):
        if of_target is None or few is None or many is None:
            figures.append(None)
            continue
        size = target.config.shape.codebook_size  # type: ignore[union-attr]
        baselines = [
            Baselines(Counted.of(book, size), getattr(target, "quantizer", None), few, number)
            for number, book in enumerate(of_target.unbind(1))
        ]
        figures.append(compared(baselines, many, next(said)))
    return figures


def _codes(objective: MaskedPrediction, row: Iterator[Clips]) -> list[Tensor | None]:
    parts: list[list[Tensor]] = [[] for _ in objective.targets]
    for clips in row:
        for kept, target in zip(parts, cast(list[Target], list(objective.targets)), strict=True):
            found = target.with_context(clips)
            kept += [found.values] if isinstance(found, Codes) else []
    return [torch.cat(kept) if kept else None for kept in parts]


def _questions(objective: MaskedPrediction, row: Iterator[Clips]) -> list[Asked | None]:
    parts = [asked(objective, clips) for clips in row]
    return [
        None if any(one is None for one in of_one) else joined(cast(list[Asked], list(of_one)))
        for of_one in zip(*parts, strict=True)
    ]


def lines_of(figures: Figures) -> Iterator[str]:
    """The tables of one prediction."""
    n_books = figures.nats["run"].shape[1]
    yield f"{'nats per code':>16}" + "".join(f"{book + 1:9}" for book in range(n_books)) + "     mean"
    for name in (name for name in METHODS if name in figures.nats):
        values = figures.nats[name].mean(0)
        yield f"{name:>16}" + "".join(f"{v:9.3f}" for v in values) + f"{values.mean():9.3f}"
    yield f"{'right, %':>16}"
    for name in (name for name in (*METHODS[:-1], "quantised", "run") if name in figures.hits):
        values = 100 * figures.hits[name].mean(0)
        yield f"{name:>16}" + "".join(f"{v:9.2f}" for v in values) + f"{values.mean():9.2f}"
    for name in (name for name in METHODS[:-1] if name in figures.nats):
        mean, low, high = figures.difference("run", name)
        yield f"run less {name}: {mean:+.3f} nats [{low:+.3f}, {high:+.3f}]"


def opened(arguments: argparse.Namespace) -> Trainer:
    """The run at its newest step, with the clips that it is asked about."""
    changes: dict[str, Any] = {"data.valid_manifest": str(arguments.manifest)}
    changes |= {"data.spectra": ""} if arguments.audio else {}
    changes |= {"data.manifest": str(arguments.train)} if arguments.train else {}
    config = override(load_config(RunConfig, arguments.run / checkpoint.CONFIG), changes)
    config = replace(config, data=replace(config.data, augmentation=None))
    place = Placement(run=arguments.run, device=torch.device("cpu"), clips_per_device=CLIPS_AT_ONCE)
    trainer = Trainer(config, place)
    if not isinstance(trainer.objective, MaskedPrediction):
        raise SystemExit(f"{arguments.run} is no masked prediction. Name a run that predicts hidden codes.")
    trainer.load(checkpoint.step_folder(arguments.run, checkpoint.steps(arguments.run)[-1]))
    return trainer


def main() -> None:
    """Print the tables of each prediction, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True, help="tracks that the run has not seen")
    parser.add_argument("--train", type=Path, help="tracks to fit baselines to; the run's own if omitted")
    parser.add_argument("--audio", action="store_true", help="decode audio, though spectra may be stored")
    parser.add_argument("--clips", type=int, default=128, help="of held-out tracks")
    parser.add_argument("--counted", type=int, default=2000, help="training clips that are counted")
    parser.add_argument("--fitted", type=int, default=128, help="further ones that fit smoothing and widths")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    trainer = opened(arguments)
    found = measured(trainer, arguments.counted, arguments.fitted, arguments.clips)
    predictions = trainer.config.objective.predictions  # type: ignore[union-attr]
    print(f"{arguments.run}, step {trainer.step}: {arguments.clips} clips of {arguments.manifest}")
    told = []
    for number, (prediction, figures) in enumerate(zip(predictions, found, strict=True)):
        print(f"\npredictions.{number}: {prediction.target.kind}")
        if figures is None:
            print("values, no codes: benchmarks/masked_accuracy.py has its figures")
            continue
        print(f"{len(figures.tracks)} hidden frames of {len(np.unique(figures.tracks))} tracks")
        print("\n".join(lines_of(figures)))
        told.append({"prediction": number, "kind": prediction.target.kind} | _as_json(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(told, indent=1))


def _as_json(figures: Figures) -> dict[str, Any]:
    return {
        "nats": {name: values.mean(0).tolist() for name, values in figures.nats.items()},
        "right": {name: values.mean(0).tolist() for name, values in figures.hits.items()},
        "run_less": {name: figures.difference("run", name) for name in figures.nats if name != "run"},
    }


if __name__ == "__main__":
    main()

"""Throughput, gradient norm, codebook use, collapse warnings."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa import checkpoint, distributed
from solfa.files import WriteError, not_written, write_text
from solfa.json_files import append_lines, readable_lines
from solfa.objectives import StepOutput

log = logging.getLogger(__name__)

Figures = dict[str, Any]


class Totals:
    """Sums over batches and ranks, and the figures that follow from them.

    They stay on the device, and nobody waits for them, until figures are asked for.

    Args:
        device: where steps are added.
        state: to go on from.
    """

    def __init__(self, device: torch.device, state: Mapping[str, Tensor] | None = None) -> None:
        self.device = device
        self.sums = {name: value.to(device) for name, value in (state or {}).items()}

    def add(self, step: StepOutput) -> None:
        """Add a batch of this rank."""
        parts = {"loss": step.loss, "count": step.count, **step.sums, **step.statistics}
        if step.code_uses is not None:
            parts["code_uses"] = step.code_uses
        for name, value in parts.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def joint(self) -> dict[str, Tensor]:
        """Sums over all ranks, by name; a rank that no batch was added to adds nothing.

        A call is collective: every rank makes it. First they tell each other which sums they have, so that
        they all add up the same.
        """
        if distributed.world_size() == 1:
            return {name: value.cpu() for name, value in sorted(self.sums.items())}
        mine = json.dumps({name: value.shape for name, value in self.sums.items()})
        shapes: dict[str, list[int]] = {}
        for theirs in distributed.gather_texts(mine, self.device):
            shapes |= json.loads(theirs)
        names = sorted(shapes)
        nothing = torch.zeros((), dtype=torch.float64, device=self.device)
        rows = [self.sums.get(name, nothing.expand(shapes[name])).flatten() for name in names]
        if not rows:
            return {}
        values = distributed.all_reduce_sum(torch.cat(rows)).cpu().split([len(row) for row in rows])
        return {name: value.view(shapes[name]) for name, value in zip(names, values, strict=True)}

    def figures(self) -> Figures:
        """Means over everything counted by all ranks, and what statistics say; nothing if no batch was added.

        A call is collective: every rank makes it.
        """
        joint = self.joint()
        count = joint.pop("count", torch.ones(())).clamp(min=1)
        figures: Figures = {}
        for name, value in joint.items():
            place, dot, kind = name.rpartition(".")  # "predictions.1", ".", "code_uses"
            made = STATISTICS[kind](value, count) if kind in STATISTICS else {kind: _rounded(value / count)}
            figures |= {f"{place}{dot}{of}": figure for of, figure in made.items()}
        return figures | nats_below_frequencies(figures)


def accuracy_figures(correct: Float[Tensor, " codebook"], count: Tensor) -> Figures:
    """Share of right codes, by codebook and over all."""
    return {
        "accuracy_by_codebook": _rounded(correct / count),
        "accuracy": _rounded(correct.mean() / count),
    }


def code_figures(uses: Float[Tensor, "codebook code"] | Int[Tensor, "codebook code"]) -> Figures:
    """What the frequencies of codes say.

    ``perplexity_by_codebook`` is exp of the entropy; ``used_share`` the share of codes that occur at all;
    ``unigram_accuracy`` and ``unigram_loss`` what one reaches who always answers with those frequencies:
    a model below them has learned nothing from the sound around a hidden frame.
    """
    share = uses.double() / uses.sum(-1, keepdim=True).clamp(min=1)
    entropy = -(share * share.clamp(min=1e-30).log()).sum(-1)
    return {
        "perplexity_by_codebook": _rounded(entropy.exp()),
        "used_share": _rounded((uses > 0).double().mean()),
        "unigram_accuracy": _rounded(share.max(-1).values.mean()),
        "unigram_loss": _rounded(entropy.mean()),
    }


def nats_below_frequencies(figures: Figures) -> Figures:
    """How much less than their frequencies the codes of each codebook cost, in nats; below zero it is more.

    What a model has learned from what it sees around a hidden frame: frequencies are known without a look.
    """
    found: Figures = {}
    for name in figures:
        place, _, kind = name.rpartition("loss_by_codebook")
        perplexities = figures.get(f"{place}perplexity_by_codebook")
        if kind or perplexities is None or not name.endswith("loss_by_codebook"):
            continue
        below = [math.log(p) - loss for p, loss in zip(perplexities, figures[name], strict=True)]
        found[f"{place}nats_below_frequencies_by_codebook"] = [float(f"{nats:.6g}") for nats in below]
        found[f"{place}nats_below_frequencies"] = float(f"{sum(below) / len(below):.6g}")
    return found


def hidden_figures(moments: Float[Tensor, "one_and_dim one_and_dim"]) -> Figures:
    """Whether hidden states still tell frames apart.

    ``hidden_std`` is the deviation of a dimension over all frames and clips, averaged over dimensions;
    ``hidden_varying_share`` the share of the states' power that is not the same vector everywhere;
    ``hidden_rank`` the number of directions that they vary in, as if all were as strong: exp of the entropy
    of the covariance's eigenvalues. Zero, zero and one are a collapse.
    """
    means = moments / moments[0, 0].clamp(min=1)
    covariance = means[1:, 1:] - torch.outer(means[0, 1:], means[0, 1:])
    variances = covariance.diagonal().clamp(min=0)
    eigenvalues = torch.linalg.eigvalsh(covariance.nan_to_num()).clamp(min=0)
    share = eigenvalues / eigenvalues.sum().clamp(min=1e-30)
    entropy = -(share * share.clamp(min=1e-30).log()).sum()
    return {
        "hidden_std": _rounded(variances.sqrt().mean()),
        "hidden_varying_share": _rounded(variances.sum() / means.diagonal()[1:].sum().clamp(min=1e-30)),
        "hidden_rank": _rounded(entropy.exp()),
    }


def value_figures(moments: Float[Tensor, "two value"], count: Tensor) -> Figures:
    """``squared_error_of_mean``: of one who knows the mean of every value, and always answers with it."""
    mean, square = moments / count
    return {"squared_error_of_mean": _rounded((square - mean.square()).clamp(min=0).mean())}


STATISTICS: dict[str, Callable[[Tensor, Tensor], Figures]] = {
    "accuracy_by_codebook": accuracy_figures,
    "code_uses": lambda uses, _: code_figures(uses),
    "predicted_uses": lambda uses, _: {
        "predicted_perplexity_by_codebook": code_figures(uses)["perplexity_by_codebook"]
    },
    "hidden_moments": lambda moments, _: hidden_figures(moments),
    "frame_moments": lambda moments, _: {"frame_rank": hidden_figures(moments)["hidden_rank"]},
    "pooled_moments": lambda moments, _: {"pooled_rank": hidden_figures(moments)["hidden_rank"]},
    "value_moments": value_figures,
}


class Clock:
    """Where the time goes: all of it since the last look, and how much of it was waiting for data."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin at zero."""
        self.begun = time.perf_counter()
        self.waited = 0.0
        self.audio_seconds = 0.0

    def look(self) -> Figures:
        """Figures since the last look, with which the next begin."""
        elapsed = max(time.perf_counter() - self.begun, 1e-9)
        figures = {
            "audio_hours_per_hour": round(self.audio_seconds / elapsed, 1),
            "waiting_share": round(self.waited / elapsed, 5),
            "seconds": round(elapsed, 3),
        }
        self.start()
        return figures


class Log:
    """The run's ``log.jsonl``, and TensorBoard when it is installed; written by the first rank."""

    def __init__(self, run: Path, first_step: int) -> None:
        self.path = run / checkpoint.LOG
        with self._explained():
            self._forget_after(first_step)
            self.board = _tensorboard(run, first_step)

    def write(self, figures: Figures) -> None:
        """Append one line.

        Raises:
            WriteError: the disk is full or does not take it; the lines before are whole.
        """
        with self._explained():
            append_lines(self.path, [figures])
            if self.board is not None:
                for name, value in figures.items():
                    if isinstance(value, float):
                        self.board.add_scalar(name, value, figures["step"])

    def close(self) -> None:
        """Write out what TensorBoard still holds.

        Raises:
            WriteError: the disk is full or does not take it.
        """
        with self._explained():
            if self.board is not None:
                self.board.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = str(error) if isinstance(error, WriteError) else not_written(self.path, error)
            raise WriteError(f"{said} Continue with --resume.") from error

    def _forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be made again, and a line that was cut off by a kill."""
        if self.path.exists():
            kept = [line for line in readable_lines(self.path) if _step_of(line) <= step]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))


# A training first learns to answer with the frequencies of codes, and then hidden states fall together: in a
# healthy run of mert_tiny to 0.9 % of varying power. Only below a ninth of that are they worth a warning, and
# only from a height that was reached by a model that knew more than frequencies.
LEAST_VARYING_SHARE = 1e-3
KNOWS_MORE = 1.2  # times the accuracy of the commonest code
LARGEST_FALLS = {  # to this share of the height
    "hidden_varying_share": (0.1, "the part of hidden states that varies"),
    "predicted_perplexity_by_codebook": (0.25, "the perplexity of the predicted codes"),
}
CURE = (
    "Go on from an earlier checkpoint with a lower optim.lr, a longer optim.warmup_steps, "
    "or max_gradient_norm=1."
)


class CollapseAlarms:
    """Says aloud what looks wrong in the log; each worry once in a run."""

    def __init__(self) -> None:
        self.said: set[str] = set()
        self.has_looked = False
        self.heights: dict[str, float] = {}

    def look(self, figures: Figures) -> None:
        """Look at a line of the log."""
        step, waiting = figures["step"], figures.get("waiting_share", 0)
        # The first line of a run, or of one that goes on, counts its start, which happens but once.
        is_first, self.has_looked = not self.has_looked, True
        if waiting > 0.1 and not is_first:
            self._say(
                "waiting",
                f"Step {step}: {waiting:.0%} of the time went into waiting for data. "
                "A higher --workers helps where processors are idle.",
            )
        lowest = min(figures.get("perplexity_by_codebook", [2.0]))
        if lowest < 1.5:
            self._say("collapse", f"Step {step}: a codebook is nearly collapsed (perplexity {lowest:.2f}).")
        self._look_at_states(figures)

    def _look_at_states(self, figures: Figures) -> None:
        """Whether the encoder comes to say the same of every frame."""
        step, varying = figures["step"], figures.get("hidden_varying_share", 1.0)
        if varying < LEAST_VARYING_SHARE:
            self._say(
                "states",
                f"Step {step}: hidden states are nearly the same vector everywhere: {varying:.2%} of their "
                f"power varies. {CURE}",
            )
        knows = figures.get("accuracy", 0.0) > KNOWS_MORE * figures.get("unigram_accuracy", 1.0)
        for name, (share, words) in LARGEST_FALLS.items():
            if name not in figures:
                continue
            now = _mean(figures[name])
            height = self.heights.get(name, 0.0)
            if now < share * height:
                fall = f"{words} has fallen from {height:.3g} to {now:.3g}"
                self._say(name, f"Step {step}: {fall}: a collapse. {CURE}")
            if knows:
                self.heights[name] = max(height, now)

    def _say(self, worry: str, message: str) -> None:
        if worry not in self.said:
            self.said.add(worry)
            log.warning("%s", message)


def _mean(figure: float | list[float]) -> float:
    return sum(figure) / len(figure) if isinstance(figure, list) else figure


def _rounded(value: Tensor) -> Any:
    """A number, or a list of numbers, with six digits: enough to compare, short enough to read."""
    return [float(f"{v:.6g}") for v in value.tolist()] if value.ndim else float(f"{value.item():.6g}")


def _step_of(line: Figures) -> int | float:
    step = line.get("step")
    return step if isinstance(step, int | float) else float("inf")


def _tensorboard(run: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=first_step + 1)

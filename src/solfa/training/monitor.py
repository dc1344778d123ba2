"""Throughput, gradient norm, codebook use, collapse warnings."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from solfa import checkpoint, distributed
from solfa.objectives import Step

log = logging.getLogger(__name__)

Figures = dict[str, Any]


class Totals:
    """Sums over batches and ranks, and the figures that follow from them."""

    def __init__(self, state: Mapping[str, Tensor] | None = None) -> None:
        self.sums: dict[str, Tensor] = dict(state or {})

    def add(self, step: Step) -> None:
        """Add a batch of this rank."""
        parts = {"loss": step.loss.detach(), "count": step.count, **step.sums}
        if step.code_uses is not None:
            parts["code_uses"] = step.code_uses
        for name, value in parts.items():
            value = value.detach().double().cpu()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def figures(self) -> Figures:
        """Means over everything counted by all ranks, and what the codes' frequencies say.

        A call is collective: every rank makes it.
        """
        joint = {name: _over_ranks(value) for name, value in sorted(self.sums.items())}
        count = joint.pop("count").clamp(min=1)
        uses = joint.pop("code_uses", None)
        figures: Figures = {name: _rounded(value / count) for name, value in joint.items()}
        if "accuracy_by_codebook" in figures:
            figures["accuracy"] = _rounded(joint["accuracy_by_codebook"].mean() / count)
        if uses is not None:
            figures |= code_figures(uses)
        return figures


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


class Clock:
    """Where the time goes: all of it since the last look, and how much of it was waiting for data."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.waited = 0.0
        self.audio_seconds = 0.0

    def look(self) -> Figures:
        """Figures since the last look."""
        elapsed = max(time.perf_counter() - self.begun, 1e-9)
        figures = {
            "audio_hours_per_hour": round(self.audio_seconds / elapsed, 1),
            "waiting_share": round(self.waited / elapsed, 5),
            "seconds": round(elapsed, 3),
        }
        self.__init__()  # type: ignore[misc]
        return figures


class Log:
    """The run's ``log.jsonl``, and TensorBoard when it is installed; written by the first rank."""

    def __init__(self, run: Path, first_step: int) -> None:
        self.path = run / checkpoint.LOG
        self._forget_after(first_step)
        self.board = _tensorboard(run, first_step)

    def write(self, figures: Figures) -> None:
        """Append one line."""
        with self.path.open("a") as file:
            file.write(json.dumps(figures) + "\n")
        if self.board is not None:
            for name, value in figures.items():
                if isinstance(value, float):
                    self.board.add_scalar(name, value, figures["step"])

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        if self.board is not None:
            self.board.close()

    def _forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be made again, and a line that was cut off by a kill."""
        if not self.path.exists():
            return
        kept = [line for line in self.path.read_text().splitlines() if _step_of(line) <= step]
        checkpoint.write_text(self.path, "".join(line + "\n" for line in kept))


class Worries:
    """Says aloud what looks wrong in the log; each worry once in a run."""

    def __init__(self) -> None:
        self.said: set[str] = set()

    def look(self, figures: Figures) -> None:
        """Look at a line of the log."""
        step, waiting = figures["step"], figures.get("waiting_share", 0)
        if waiting > 0.1:
            self._say(
                "waiting",
                f"Step {step}: {waiting:.0%} of the time went into waiting for data. "
                "A higher --workers helps where processors are idle.",
            )
        lowest = min(figures.get("perplexity_by_codebook", [2.0]))
        if lowest < 1.5:
            self._say("collapse", f"Step {step}: a codebook is nearly collapsed (perplexity {lowest:.2f}).")

    def _say(self, worry: str, message: str) -> None:
        if worry not in self.said:
            self.said.add(worry)
            log.warning("%s", message)


def _over_ranks(value: Tensor) -> Tensor:
    if distributed.world_size() == 1:
        return value
    device = torch.device("cuda", distributed.local_rank()) if torch.cuda.is_available() else value.device
    return distributed.total(value.to(device)).cpu()


def _rounded(value: Tensor) -> Any:
    """A number, or a list of numbers, with six digits: enough to compare, short enough to read."""
    return [float(f"{v:.6g}") for v in value.tolist()] if value.ndim else float(f"{value.item():.6g}")


def _step_of(line: str) -> int | float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")


def _tensorboard(run: Path, first_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(run / "tensorboard"), purge_step=first_step + 1)

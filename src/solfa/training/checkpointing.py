"""What of a run lies on the disk: saved, taken up again, kept, and its best step."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from solfa import checkpoint, distributed
from solfa.config import ConfigError, load_config, save_config
from solfa.errors import ArgumentError
from solfa.files import FolderLock
from solfa.training.averaging import WeightAverage, averaged, restore_weights
from solfa.training.config import Placement, RunConfig
from solfa.training.loss_scale import LossScale
from solfa.training.monitor import Figures, Totals
from solfa.training.optim import last_constant_step

log = logging.getLogger(__name__)

LOSS = "valid_loss"


class BestStep:
    """The step with the lowest loss on validation so far; its weights are in the run folder."""

    def __init__(self, run: Path, average: WeightAverage | None = None) -> None:
        self.run, self.average, self.step, self.loss = run, average, 0, math.inf

    def see(self, step: int, figures: Figures, objective: nn.Module) -> None:
        """Keep the weights if the loss on validation is among ``figures``, and lower than ever before.

        Raises:
            CheckpointError: they cannot be written.
        """
        loss = figures.get(LOSS)
        if not isinstance(loss, float) or not loss < self.loss:
            return
        self.step, self.loss = step, loss
        with averaged(self.average):
            weights = _whole_weights(objective)
            if distributed.is_main():
                checkpoint.save_best(self.run, step, weights)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"step": self.step, "loss": self.loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As it was when that checkpoint was written; nothing was known to one without."""
        self.step, self.loss = int(state.get("step", 0)), float(state.get("loss", math.inf))


@dataclass(frozen=True)
class Reached:
    """Progress of a run, besides its weights."""

    step: int
    n_unreadable: int
    totals: dict[str, Tensor]


class Checkpointing:
    """Saves the parts of a run that learn, and takes them up again.

    Args:
        config: of the run.
        place: its folder, and where it runs.
        objective: its weights.
        optimizers: of the objective.
        average: of its weights, if there is one: what is saved as the weights of a step.
    """

    def __init__(
        self,
        config: RunConfig,
        place: Placement,
        objective: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        average: WeightAverage | None = None,
    ) -> None:
        self.config, self.place = config, place
        self.objective, self.optimizers, self.average = objective, optimizers, average
        self.best = BestStep(place.run, average) if config.keep_best else None
        self.last_constant_step = last_constant_step(config.optim, config.n_steps)

    def newest(self) -> Path | None:
        """The checkpoint that a run goes on from, if there is one."""
        found = checkpoint.steps(self.place.run)
        return checkpoint.step_folder(self.place.run, found[-1]) if found else None

    def leave_decay(self) -> None:
        """Before a run that had ended is made longer: go back to where its rate began to fall.

        What was made of a falling rate is no place to go on from. Those checkpoints are set aside, and the
        newest is then one that a longer run would have made as well.

        Raises:
            CheckpointError: there are no others.
        """
        run, found = self.place.run, checkpoint.steps(self.place.run)
        if not found or not (run / checkpoint.CONFIG).is_file():
            return
        before = load_config(RunConfig, run / checkpoint.CONFIG)
        constant = last_constant_step(before.optim, before.n_steps)
        falling = [step for step in found if step > constant]
        if before.n_steps == self.config.n_steps or not falling:
            return
        if falling == found:
            raise checkpoint.CheckpointError(
                f"All checkpoints of {run} are of steps whose learning rate fell, after step {constant}: a "
                f"longer run cannot go on from them. Set n_steps back to {before.n_steps}, or train anew."
            )
        for step in falling:
            log.info("Step %d is set aside: %s.", step, checkpoint.set_aside(run, step))

    def due(self, step: int) -> bool:
        """Whether a checkpoint is to be saved after a step."""
        is_turn = step % self.config.checkpoint_every == 0
        return is_turn or step in (self.last_constant_step, self.config.n_steps)

    def save(self, step: int, n_unreadable: int, totals: Totals, scale: LossScale) -> None:
        """Save a checkpoint, and remove the oldest. Every rank calls it.

        The first one writes; where weights are shared out, each besides its share of the training state.

        Raises:
            CheckpointError: it cannot be written; older ones are whole.
        """
        training = {
            "step": step,
            "totals": totals.joint(),
            "n_unreadable": n_unreadable,
            "loss_scale": scale.state_dict(),
            "best": self.best.state_dict() if self.best else {},
        }
        shards = None
        if distributed.is_main() or self.is_sharded:
            training["optimizers"] = [optimizer.state_dict() for optimizer in self.optimizers]
            training["average"] = self.average.state_dict() if self.average else {}
        if self.is_sharded:
            from solfa.training import sharding

            training, shards = sharding.write_aside(self.place.run, step, training)
        with averaged(self.average):
            weights = _whole_weights(self.objective)
            if distributed.is_main():
                checkpoint.save(self.place.run, step, weights, training, shards)
        if distributed.is_main():
            kept = self.config.n_checkpoints_kept
            checkpoint.keep_newest(self.place.run, kept, always=self.last_constant_step)
        distributed.barrier()

    @property
    def is_sharded(self) -> bool:
        """Whether each rank holds a share of the weights only."""
        return self._shared_out is not None

    @property
    def _shared_out(self) -> Tensor | None:
        """A weight of which each rank holds a share, if there is one."""
        return next((p for p in self.objective.parameters() if distributed.is_shared_out(p)), None)

    def load(self, folder: Path, scale: LossScale) -> Reached:
        """Take up what a checkpoint folder holds.

        Raises:
            CheckpointError: it is damaged, or does not fit this run.
        """
        weights = checkpoint.read_weights(folder / checkpoint.WEIGHTS)
        training = checkpoint.load_training(folder, self.place.device)
        if (folder / checkpoint.SHARDS).is_dir():
            from solfa.training import sharding

            training = sharding.read_back(folder, training, self._shared_out)
        try:
            distributed.load_whole(self.objective, weights)
            self._load_average(training.get("average", {}))
            for optimizer, state in zip(self.optimizers, training["optimizers"], strict=True):
                optimizer.load_state_dict(state)
                _check_state(optimizer)
                _share_out_state(optimizer)
            scale.load_state_dict(training.get("loss_scale", {}))
            if self.best:
                self.best.load_state_dict(training.get("best", {}))
            return _reached(training, folder)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise _misfit(folder, error) from error

    def _load_average(self, state: dict[str, Any]) -> None:
        """Weights besides their mean, if the checkpoint has both; the mean goes on if it is still wanted."""
        if state and self.average:
            self.average.load_state_dict(state)
        elif state:
            learned = {n: p for n, p in self.objective.named_parameters() if p.requires_grad}
            restore_weights(learned, state)

    def save_config(self) -> None:
        """Write config.json, where it is not there or says something else."""
        save_config(self.config, self.place.run / checkpoint.CONFIG)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in the same folder."""
        if not distributed.is_main():
            yield
            return
        with FolderLock(self.place.run):
            yield


def check_sizes(config: RunConfig, run: Path) -> None:
    """Refuse an objective of other sizes than the weights of a run, before it is built.

    Raises:
        CheckpointError: they are others, or damaged.
    """
    found = checkpoint.steps(run)
    if not found:
        return
    folder = checkpoint.step_folder(run, found[-1])
    shapes = checkpoint.read_shapes(folder / checkpoint.WEIGHTS)
    try:
        checkpoint.check_sizes(config.objective, shapes)
    except ConfigError as error:
        raise _misfit(folder, error) from error


def _misfit(folder: Path, error: Exception) -> checkpoint.CheckpointError:
    return checkpoint.CheckpointError(
        f"{folder} is damaged, or a checkpoint of another shape than this run: {error}\n"
        "Continue with the config.json beside it and without changes to objective; or remove that "
        "folder, to go on from the one before."
    )


def _reached(training: dict[str, Any], folder: Path) -> Reached:
    step, n_unreadable = training["step"], training["n_unreadable"]
    totals = {name: value for name, value in training["totals"].items() if isinstance(value, Tensor)}
    if not isinstance(step, int) or folder != checkpoint.step_folder(folder.parent, step):
        raise ArgumentError(f"its {checkpoint.TRAINING} is of step {step}")
    return Reached(step, int(n_unreadable), totals)


def _check_state(optimizer: torch.optim.Optimizer) -> None:
    """Refuse moments that are not those of the parameters, or no numbers: the next step would fail."""
    for parameter, state in optimizer.state.items():
        values = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        if any(value.ndim and value.shape != parameter.shape for value in values.values()):
            raise ArgumentError("moments of an optimiser are of another shape than its weights")
        if broken := checkpoint.not_finite({n: distributed.local(value) for n, value in values.items()}):
            raise ArgumentError(f"{broken[0]} of an optimiser holds NaN or infinity")


def _share_out_state(optimizer: torch.optim.Optimizer) -> None:
    """Leave each rank its share of moments that were read whole, where weights are shared out."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.ndim:
                state[name] = distributed.held_as(value, parameter)


def _whole_weights(objective: nn.Module) -> dict[str, Tensor]:
    """Weights by name for the first rank, which writes them; where they are shared out, a call is collective.

    Another rank sees one whole tensor at a time, and is given none.
    """
    state, weights = objective.state_dict(), {}
    for name, tensor in state.items():
        whole = distributed.whole(tensor)
        if distributed.is_main():
            weights[name] = whole.cpu() if distributed.is_shared_out(tensor) else whole
    return weights

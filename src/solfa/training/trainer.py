"""Trainer: step, accumulate, log, save, resume."""

import logging
import math
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import torch

from solfa import checkpoint, distributed
from solfa.data.clips import Clips, ClipsConfig, RandomClips, batches, numbers_of_step
from solfa.data.seeds import derived_seed
from solfa.data.shards import read_tracks
from solfa.errors import SolfaError
from solfa.objectives import StepOutput, build_objective, starting_point
from solfa.training.averaging import WeightAverage, averaged
from solfa.training.checkpointing import Checkpointing, check_sizes
from solfa.training.compiling import compile_layers
from solfa.training.config import Placement, RunConfig
from solfa.training.loss_scale import LossScale
from solfa.training.monitor import Clock, CollapseAlarms, Figures, Log, Totals
from solfa.training.optim import build_optimizers, set_learning_rates
from solfa.training.parallel import Parallel, tracks_of
from solfa.training.recomputing import recompute

log = logging.getLogger(__name__)

SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1")  # that end a run after its step; Windows has no SIGUSR1


class TrainingError(SolfaError, RuntimeError):
    """A training that cannot start or go on; the message names the cure."""


class Interrupted(SolfaError):  # noqa: N818
    """A signal asked the run to end; what was learned is saved."""


class Trainer:
    """Turns an objective and clips into checkpoints. It knows nothing about either."""

    def __init__(
        self, config: RunConfig, place: Placement, on_step: Callable[[int, Figures], None] | None = None
    ) -> None:
        self.config, self.place, self.on_step = config, place, on_step
        self._check()
        check_sizes(config, place.run)
        torch.manual_seed(config.seed)
        self.objective = build_objective(config.objective).to(place.device)
        self.objective.clips_at_once = place.clips_per_device
        self.clips = self._clips(config.data.manifest, config.data)
        held_out, unchanged = config.data.valid_manifest, replace(config.data, augmentation=None)
        self.valid_clips = self._clips(held_out, unchanged) if held_out else None
        if place.recomputes:
            recompute(self.objective)
        if place.compiles:
            compile_layers(self.objective, place.device)
        self.parallel = Parallel(self.objective, place.device, config.precision, place.is_sharded)
        self.optimizers = build_optimizers(config.optim, self.objective)
        self.scale = LossScale(place.device, self.parallel.is_scaled)
        self.totals, self.worries, self.step = Totals(place.device), CollapseAlarms(), 0
        self.average = WeightAverage(config.average, self.objective) if config.average else None
        self.checkpoints = Checkpointing(config, place, self.objective, self.optimizers, self.average)
        self.best = self.checkpoints.best
        self.n_unreadable = 0  # clips of all ranks
        self.stop_requested = False  # of this rank
        self.n_stopping = torch.zeros((), device=place.device)  # ranks, of whom that was so in the last step

    def train(self, resume: bool = False) -> Path:
        """Train to the last step and return the folder of the last checkpoint.

        Args:
            resume: go on from the newest checkpoint of the run folder, or start if there is none.

        Raises:
            TrainingError: the folder holds a run already, the loss is not finite, or music is unreadable.
            ScaleError: half precision overflows in every step.
            BlockingIOError: another process is training in the run folder.
            Interrupted: SIGINT, SIGTERM or SIGUSR1 came; the step was finished and saved.
        """
        with self.checkpoints.locked():
            return self._train(resume)

    def _train(self, resume: bool) -> Path:
        self._open(resume)
        journal = Log(self.place.run, self.step) if distributed.is_main() else None
        if journal:
            log.info("%s", self.plan())
        clock = Clock()
        stream = self._batches(self.clips, self._numbers(), self.place.n_workers)
        with closing(stream), self._signals():
            while self.step < self.config.n_steps:
                figures = self._train_step(stream, clock)
                self.step += 1
                due = self._figures_due(clock)
                figures |= due
                if journal and due:
                    journal.write({"step": self.step, **figures})
                if self.on_step:
                    self.on_step(self.step, figures)
                if self.best:
                    self.best.see(self.step, due, self.objective)
                stopped = self._stopped()
                if stopped or self.checkpoints.due(self.step):
                    self.checkpoints.save(self.step, self.n_unreadable, self.totals, self.scale)
                if stopped:
                    raise Interrupted(f"Stopped after step {self.step}; it is saved. Continue with --resume.")
        if journal:
            journal.close()
        return checkpoint.step_folder(self.place.run, self.step)

    def plan(self) -> str:
        """Plan of the run, in words and numbers."""
        config, data = self.config, self.config.data
        n_parameters = sum(p.numel() for p in self.objective.parameters() if p.requires_grad)
        n_model = sum(p.numel() for p in self.objective.model.parameters())
        n_shares = distributed.world_size() if self.parallel.is_sharded else 1
        hours = config.n_steps * data.clips_per_step * data.clip_seconds / 3600
        return (
            f"{config.n_steps - self.step} of {config.n_steps} steps of {data.clips_per_step} clips of "
            f"{data.clip_seconds:g} s: {hours:.1f} h of audio, {hours / self.clips.hours:.1f} times through "
            f"{self.clips.hours:.1f} h in {len(self.clips.tracks) - self.clips.n_left_out} tracks "
            f"({self.clips.n_left_out} shorter than a clip left out). {n_parameters / 1e6:.2f} M parameters "
            f"learn, {n_model / 1e6:.2f} M outlive training; weights, gradients and moments take "
            f"{16 * n_parameters / 2**20 / n_shares:.0f} MiB. {distributed.world_size()} x "
            f"{self.place.device.type}, {self._clips_per_forward} clips at a time, "
            f"accumulated {self._n_accumulated} times."
        )

    # --- one step -----------------------------------------------------------------------------------------

    def _train_step(self, stream: Iterator[Clips], clock: Clock) -> Figures:
        """Accumulate gradients over the step's batches and follow them."""
        self.objective.train()
        lr = set_learning_rates(self.optimizers, self.config.optim, self.step, self.config.n_steps)
        parts, tracks, n_unreadable = [], [], 0
        for batch in range(self._n_accumulated):
            clips = self._next(stream, clock)
            n_unreadable += clips.n_unreadable
            torch.manual_seed(derived_seed(self.config.seed, self.step, batch, distributed.rank()))
            with self.parallel.accumulating(is_last=batch == self._n_accumulated - 1):
                part = self.parallel.forward(clips)
                if part.loss.requires_grad:
                    self.scale.scaled(part.loss).backward()
            parts.append(part)
            tracks.append(clips.tracks)
        return {"lr": lr, **self._follow(parts, tracks, n_unreadable)}

    def _follow(self, parts: list[StepOutput], tracks: list[torch.Tensor], n_unreadable: int) -> Figures:
        """Take the step with all optimisers, or, where half precision overflowed, with none."""
        self.scale.unscale(self.optimizers)
        counted = torch.stack([part.count for part in parts]).sum()
        mine = (torch.full_like(counted, number) for number in (self.stop_requested, n_unreadable))
        counted, self.n_stopping, unreadable = distributed.all_reduce_sum(torch.stack([counted, *mine]))
        norm = float(self.parallel.divide_and_clip(counted, self.config.max_gradient_norm))
        if not math.isfinite(norm) and not self.scale.is_used:
            raise TrainingError(self._not_finite(tracks_of(parts, tracks)))
        self._count_unreadable(int(unreadable))
        for optimizer in self.optimizers:
            if math.isfinite(norm):
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.scale.update(self.step, math.isfinite(norm))
        self.objective.finish_step()
        if not math.isfinite(norm):
            return {}
        if self.average:
            self.average.follow()
        for part in parts:
            self.totals.add(part)
        return {"gradient_norm": norm}

    def _next(self, stream: Iterator[Clips], clock: Clock) -> Clips:
        begun = time.perf_counter()
        clips = next(stream)
        clock.waited += time.perf_counter() - begun
        clock.audio_seconds += len(clips) * self.config.data.clip_seconds * distributed.world_size()
        return clips

    def _count_unreadable(self, n_more: int) -> None:
        """Take note of clips that had to be replaced; TrainingError if they are too many."""
        self.n_unreadable += n_more
        n_seen = (self.step + 1) * self.config.data.clips_per_step
        if self.n_unreadable > max(20, 0.1 * n_seen):
            raise TrainingError(
                f"{self.n_unreadable} of about {n_seen} clips could not be read. See the warnings above, "
                "repair or remove those tracks, run 'solfa data prepare' again, and continue with --resume."
            )

    # --- looking ------------------------------------------------------------------------------------------

    def _figures_due(self, clock: Clock) -> Figures:
        """Figures to log after this step, if any."""
        figures: Figures = {}
        is_last = self.step == self.config.n_steps
        if self.step % self.config.log_every == 0 or is_last:
            figures |= self.totals.figures() | self.scale.figures() | clock.look()
            self.totals = Totals(self.place.device)
            if distributed.is_main():
                self.worries.look({"step": self.step, **figures})
        if self.valid_clips and (self.step % self.config.validate_every == 0 or is_last):
            with averaged(self.average):
                figures |= {f"valid_{name}": value for name, value in self.validate().items()}
            clock.start()  # validation is no training time
        return figures

    @torch.no_grad()
    def validate(self) -> Figures:
        """Figures over the first clips of the held-out tracks: the same clips, masks and noise every time."""
        assert self.valid_clips is not None
        self.objective.eval()
        mine = numbers_of_step(
            0, self.config.data.n_valid_clips, distributed.rank(), distributed.world_size()
        )
        totals, parts = Totals(self.place.device), list(_in_parts(mine, self._clips_per_forward))
        asked = parts
        if self.parallel.is_sharded:  # ranks gather weights together: all make as many passes as the first
            most = -(-self.config.data.n_valid_clips // distributed.world_size())
            asked = parts + [[0]] * (-(-most // self._clips_per_forward) - len(parts))
        for number, clips in enumerate(self._batches(self.valid_clips, iter(asked), 0)):
            step = self.parallel.answer(clips)
            if number < len(parts):
                totals.add(step)
        return totals.figures()

    # --- starting -----------------------------------------------------------------------------------------

    def _open(self, resume: bool) -> None:
        """Start a new run folder, or take up the newest checkpoint of an old one."""
        if resume and distributed.is_main():
            self.checkpoints.leave_decay()
        distributed.barrier()
        run, newest = self.place.run, self.checkpoints.newest()
        if not resume and (newest or (run / checkpoint.CONFIG).exists()):
            raise TrainingError(
                f"{run} holds a run already. Continue it with --resume, or choose another --out."
            )
        if newest:
            self.load(newest)
        else:
            self._begin()
            self.parallel.share_state()
        distributed.barrier()  # all ranks have looked for a run before the first of them begins one
        if distributed.is_main():
            self.checkpoints.save_config()
        distributed.barrier()

    def _begin(self) -> None:
        """Start a new run, with weights of another model if it is to have them."""
        self.objective.start(self._first_clips())
        if (start := self.config.start_from) is None:
            return
        point = starting_point(start.model)
        log.info("Begins with %s. %s.", start.model, point.begin(self.objective))

    def load(self, folder: Path) -> None:
        """Take up what a checkpoint folder holds; CheckpointError if it does not fit this run."""
        reached = self.checkpoints.load(folder, self.scale)
        self.step, self.n_unreadable = reached.step, reached.n_unreadable
        self.totals = Totals(self.place.device, reached.totals if distributed.is_main() else {})
        log.info("Continuing from step %d.", self.step)

    def _first_clips(self) -> Clips:
        numbers = list(range(min(self.objective.n_first_clips, self.config.data.clips_per_step)))
        return next(iter(self._batches(self.clips, iter([numbers]), 0))).to(self.place.device)

    def _batches(
        self, clips: RandomClips, numbers: Iterator[list[int]], n_workers: int
    ) -> Generator[Clips, None, None]:
        return batches(clips, numbers, n_workers, is_pinned=self.place.device.type == "cuda")

    def _clips(self, manifest: str, data: ClipsConfig) -> RandomClips:
        return RandomClips(read_tracks(manifest), data, self.objective.sample_rate, self.config.seed)

    def _check(self) -> None:
        config, world = self.config, distributed.world_size()
        if not config.data.manifest:
            raise TrainingError(
                "A run needs tracks. Make a manifest with 'solfa data prepare MUSIC --out tracks.jsonl' and "
                "name it with '--set data.manifest=tracks.jsonl'."
            )
        if config.data.clips_per_step % world:
            raise TrainingError(
                f"{config.data.clips_per_step} clips of a step cannot be shared equally by {world} "
                f"processes. Set data.clips_per_step to a multiple of {world}."
            )

    # --- sharing the work ---------------------------------------------------------------------------------

    @property
    def _clips_per_forward(self) -> int:
        wanted = self.objective.n_compared // distributed.world_size() or self.place.clips_per_device
        return min(wanted, self.config.data.clips_per_step // distributed.world_size())

    @property
    def _n_accumulated(self) -> int:
        return -(-(self.config.data.clips_per_step // distributed.world_size()) // self._clips_per_forward)

    def _numbers(self) -> Iterator[list[int]]:
        """Clip numbers of every forward pass from the current step on."""
        for step in range(self.step, self.config.n_steps):
            mine = numbers_of_step(
                step, self.config.data.clips_per_step, distributed.rank(), distributed.world_size()
            )
            yield from _in_parts(mine, self._clips_per_forward)

    # --- ending -------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let SIGINT, SIGTERM and SIGUSR1, by which Slurm announces an end, end the run after this step."""

        def request(number: int, frame: FrameType | None) -> None:
            self.stop_requested = True

        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        before = {number: signal.signal(number, request) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stopped(self) -> bool:
        """Whether any rank was asked to stop; of several, before the end of their last step."""
        return self.stop_requested if distributed.world_size() == 1 else bool(self.n_stopping)

    def _not_finite(self, tracks: list[int]) -> str:
        paths = sorted({str(self.clips.tracks[track].path) for track in tracks})
        return (
            f"Loss or gradient of step {self.step} is not finite. The newest checkpoint is whole: continue "
            f"with --resume after lowering optim.lr, or look at these tracks: {', '.join(paths[:8])}"
        )


def _in_parts(numbers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]

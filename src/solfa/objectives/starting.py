"""What a new run begins with: the weights of another run, or of a saved or published encoder."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from solfa.config import to_dict
from solfa.distributed import held_as, load_whole
from solfa.errors import ArgumentError
from solfa.models import AudioEncoder, EncoderConfig, MuLan, Tagger, load
from solfa.models.fingerprint import fingerprint
from solfa.models.folders import model_folder
from solfa.objectives.base import Objective
from solfa.objectives.lessons import AnyLessonConfig
from solfa.objectives.masked import MaskedPrediction
from solfa.objectives.taught import TaughtPredictionConfig
from solfa.runs import Run, below

FREE_TO_DIFFER = ("dropout", "withheld_share", "default_layer")  # ends of keys; no weight depends on them
LESSON_IS = ("kind", "teachers", "column", "width", "layer")
ENCODER, HEADS, TARGETS, LESSONS = "encoder.", "heads.", "targets.", "lessons.lessons."


@dataclass(frozen=True)
class Taken:
    """Parts of an objective by their names, with a reason for each that is new."""

    taken: tuple[str, ...]
    new: Mapping[str, str]

    def __str__(self) -> str:
        new = "; ".join(f"{part} ({why})" for part, why in self.new.items())
        return f"taken over: {', '.join(self.taken)}; new: {new or 'nothing'}"


@dataclass(frozen=True)
class StartingPoint:
    """An encoder, and the run that it comes from if it does: there are heads and a predictor then."""

    name: str
    encoder: AudioEncoder
    run: Run | None

    @property
    def config(self) -> EncoderConfig:
        """Of the encoder."""
        encoder = self.encoder
        return encoder.config.encoder if isinstance(encoder, Tagger) else encoder.config  # type: ignore[return-value]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the encoder's configuration and weights."""
        return fingerprint(self.encoder)

    def check(self, wanted: EncoderConfig) -> None:
        """Refuse an encoder of other settings than the one that is to be trained.

        Raises:
            ArgumentError: they differ; it names what in, and the cure.
        """
        here, there = _flat(to_dict(wanted)), _flat(to_dict(self.config))
        if here["kind"] != there["kind"]:
            raise ArgumentError(
                f"{self.name} is a {there['kind']}, and this run trains a {here['kind']}. Name a model of "
                f"that kind, or a recipe of the other."
            )
        keys = [key for key in here | there if here.get(key) != there.get(key)]
        differing = [key for key in keys if not key.endswith(FREE_TO_DIFFER)]
        if not differing:
            return
        lines = "\n".join(f"  {key}: {there.get(key)} there, {here.get(key)} here" for key in differing)
        settings = (f"objective.encoder.{key}={json.dumps(there.get(key))}" for key in differing)
        cure = " ".join(f"--set {shlex.quote(setting)}" for setting in settings)
        raise ArgumentError(
            f"{self.name} cannot be started from: its encoder has other settings.\n{lines}\n"
            f"Train one like it: {cure}; or name another model."
        )

    @torch.no_grad()
    def begin(self, objective: Objective) -> Taken:
        """Give an objective that has started the weights of this encoder, and what else fits it.

        Of heads, predictor and other parts that learn those are taken that have the same shapes, of heads
        only where codes are the same, and of lessons only the same ones. What was measured for them is not
        taken, nor are targets: the new run has its own.

        Raises:
            ArgumentError: the encoder has other settings, or none is trained.
        """
        if not isinstance(objective, MaskedPrediction):
            raise ArgumentError(f"Only the training of an encoder can be started from {self.name}.")
        self.check(objective.config.encoder)
        weights = {n: w for n, w in self.encoder.state_dict().items() if not n.startswith("head.")}
        load_whole(objective.encoder, weights)
        taken, new = ["encoder"], {}
        there = {} if self.run is None else self.run.weights
        for part, mine in _parts(objective).items():
            prefix = self._prefix(part, objective)
            if why := _misfit(part, mine, below(prefix, there) if prefix else {}, objective, there):
                new[part.rstrip(".")] = why
                continue
            taken.append(part.rstrip("."))
            for name, parameter in mine.items():
                parameter.copy_(held_as(there[prefix + name], parameter))
        return Taken(tuple(taken), new)

    def _prefix(self, part: str, objective: MaskedPrediction) -> str:
        """What names of a part's weights begin with there; empty of a lesson that was none."""
        if not part.startswith(LESSONS) or self.run is None:
            return part
        assert isinstance(objective.config, TaughtPredictionConfig)
        wanted = _what_it_is(objective.config.lessons[int(part.split(".")[2])])
        for number, lesson in enumerate(self.run.objective.get("lessons", [])):
            if {key: lesson.get(key) for key in LESSON_IS} == wanted:
                return f"{LESSONS}{number}."
        return ""


def starting_point(name: str) -> StartingPoint:
    """What is to be begun with.

    Args:
        name: a run, one of its checkpoints, a saved model, or whatever else ``solfa.load`` reads.

    Raises:
        ModelError: nothing of that name, or it is damaged.
        ArgumentError: it is a music-text model.
    """
    encoder = load(name)
    if isinstance(encoder, MuLan):
        raise ArgumentError(f"{name} is a music-text model. Name an encoder: a run, or a saved model.")
    run = Run(model_folder(name))
    return StartingPoint(name, encoder, run if "encoder" in run.objective else None)


def _flat(values: Any, key: str = "") -> dict[str, Any]:
    """Values of nested dictionaries by dotted keys."""
    if not isinstance(values, dict):
        return {key: values}
    return {
        name: value
        for part, inner in values.items()
        for name, value in _flat(inner, f"{key}.{part}" if key else part).items()
    }


def _what_it_is(lesson: AnyLessonConfig) -> dict[str, Any]:
    values = to_dict(lesson)
    return {key: values[key] for key in LESSON_IS}


def _parts(objective: MaskedPrediction) -> dict[str, dict[str, nn.Parameter]]:
    """Parameters of every part but the encoder that learns, by what their names begin with."""
    parts: dict[str, dict[str, nn.Parameter]] = {}
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad and not name.startswith(ENCODER):
            part = _part_of(name)
            parts.setdefault(part, {})[name.removeprefix(part)] = parameter
    return parts


def _part_of(name: str) -> str:
    """A head or a lesson; of other parameters the module that they are in."""
    depth = 3 if name.startswith(LESSONS) else 2 if name.startswith(HEADS) else 1
    return ".".join(name.split(".")[:depth]) + "."


def _misfit(
    part: str,
    mine: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    objective: MaskedPrediction,
    weights: Mapping[str, Tensor],
) -> str:
    """Why a part cannot be taken; empty if it can."""
    if not theirs:
        return "not there"
    if any(name not in theirs or theirs[name].shape != mine[name].shape for name in mine):
        return "of other shapes there"
    if part.startswith(HEADS):
        target = part.replace(HEADS, TARGETS)
        now, before = objective.targets[int(part.split(".")[1])].state_dict(), below(target, weights)
        if now.keys() != before.keys() or any(not torch.equal(now[n].cpu(), before[n]) for n in now):
            return "of other codes there"
    return ""

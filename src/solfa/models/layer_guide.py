"""Which layer of a published encoder serves which task, as published probes have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from solfa.config import Config, to_dict
from solfa.errors import SolfaError
from solfa.models.encoder import AudioEncoder
from solfa.models.guided_tasks import GuidedTask
from solfa.models.published import CHECKPOINTS
from solfa.models.published.format import Checkpoint, ProbedLayer
from solfa.runs import Run


class LayerGuideError(SolfaError, ValueError):
    """No single layer is known to serve a task; the message says what is known, and the cure."""


@dataclass(frozen=True)
class GuidedLayer:
    """The layer for a task."""

    number: int
    reason: str  # which probe of which checkpoint took it


def check_task(task: Any) -> None:
    """Raise LayerGuideError if it is none of ``GuidedTask``."""
    if task not in get_args(GuidedTask):
        raise LayerGuideError(f"There is no task '{task}'. Known are: {', '.join(get_args(GuidedTask))}.")


def guided_layer(encoder: AudioEncoder, model: str | Path | None, task: str) -> GuidedLayer:
    """The layer of an encoder that the published probe of its checkpoint took for a task.

    Args:
        encoder: the model, loaded.
        model: what it was loaded as. A published name says which checkpoint it is; a folder, or None, leaves
            that to its architecture (kind, layers, width and sample rate).
        task: what its hidden states shall be used for: one of ``GuidedTask``.

    Raises:
        LayerGuideError: no such task, a probe that mixed all layers, none at all, or a run of one's own.
    """
    check_task(task)
    guide, name = _checkpoint_of(encoder, model)
    found = next((probed for probed in guide.layers if probed.task == task), None)
    if found is not None and found.layer is not None:
        return GuidedLayer(found.layer, f"{found.source}, with {name}")
    problem = f"No published probe of {name} for '{task}' is known here."
    if found is not None:
        problem = f"For '{task}', the probe of {name} mixed all layers by learned weights ({found.source})."
    raise LayerGuideError(f"{problem} {_known(guide.layers)} {_cure(encoder)}")


def _checkpoint_of(encoder: AudioEncoder, model: str | Path | None) -> tuple[Checkpoint, str]:
    """The published checkpoint that an encoder is or has the architecture of, and a name for it."""
    if found := CHECKPOINTS.get(str(model)):
        return found, str(model)
    if model is not None and _is_own_run(Path(model)):
        raise LayerGuideError(
            f"{model} is a run of your own: no published probe has looked into it. {_cure(encoder)}"
        )
    architecture = _architecture(encoder)
    alike = [name for name, one in CHECKPOINTS.items() if one.architecture == architecture]
    if alike:
        return CHECKPOINTS[alike[0]], f"{' or '.join(alike)}, whose architecture this model has"
    names = ", ".join(name for name, one in CHECKPOINTS.items() if one.layers)
    raise LayerGuideError(
        f"{model or 'This model'} has the architecture of no checkpoint whose layers are known. Those are: "
        f"{names}. {_cure(encoder)}"
    )


def _architecture(encoder: AudioEncoder) -> tuple[str, int, int, int]:
    config: Config = encoder.config  # type: ignore[assignment]  # attributes of modules have no type
    return to_dict(config)["kind"], encoder.n_layers, encoder.dim, encoder.sample_rate


def _is_own_run(folder: Path) -> bool:
    return folder.is_dir() and Run(folder).is_trained_here


def _known(layers: Sequence[ProbedLayer]) -> str:
    single = ", ".join(f"{f.task} {f.layer}" for f in layers if f.layer is not None)
    mixed = ", ".join(f.task for f in layers if f.layer is None)
    parts = [f"layers for {single}" if single else "", f"all layers mixed for {mixed}" if mixed else ""]
    return f"Known of it: {'; '.join(filter(None, parts)) or 'nothing'}."


def _cure(encoder: AudioEncoder) -> str:
    return (
        f"Choose one of its {encoder.n_layers} layers with --layer N, or keep several with --frames "
        "--frame-layer N --frame-layer M, and mix or compare them on your own data."
    )

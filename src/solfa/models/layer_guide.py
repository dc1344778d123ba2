"""Which layer of a published encoder serves which task, as published probes have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from solfa import checkpoint
from solfa.config import Config, to_dict
from solfa.models.encoder import AudioEncoder

GuidedTask = Literal[
    "key", "genre", "emotion", "instrument", "pitch", "singer", "technique", "tagging", "genre-tags",
    "instrument-tags", "mood-tags", "beat", "chords",
]  # fmt: skip


class LayerGuideError(ValueError):
    """No single layer is known to serve a task; the message says what is known, and the cure."""


@dataclass(frozen=True)
class Finding:
    """What a published probe of a checkpoint took for a task."""

    task: GuidedTask
    layer: int | None  # numbered as in HiddenStates; None: all layers, mixed by learned weights
    source: str


@dataclass(frozen=True)
class Guide:
    """What is known of checkpoints that share an architecture."""

    names: tuple[str, ...]
    architecture: tuple[str, int, int, int]  # kind, layers, width, sample rate in Hz
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class GuidedLayer:
    """The layer for a task."""

    number: int
    reason: str  # which probe of which checkpoint took it


# The defaults of the probes that MARBLE ships: v1 is the code behind its published tables, v2 its successor.
# No search of layers comes with v2, so another layer may serve other data better.
GUIDES = (
    Guide(
        ("OpenMuQ/MuQ-large-msd-iter",),
        ("muq", 12, 1024, 24_000),
        (
            Finding("genre", 6, "MARBLE v2, GTZAN"),
            Finding("emotion", 6, "MARBLE v2, EmoMusic"),
            Finding("key", None, "MARBLE v2, GiantSteps"),
            Finding("tagging", None, "MARBLE v2, MagnaTagATune"),
            Finding("beat", None, "MARBLE v2, GTZAN"),
        ),
    ),
    Guide(
        ("m-a-p/MERT-v1-95M",),
        ("mert", 12, 768, 24_000),
        (
            Finding("key", 8, "MARBLE v1, GiantSteps; v2, GiantSteps and HookTheory"),
            Finding("genre", 7, "MARBLE v1 and v2, GTZAN"),
            Finding("emotion", 5, "MARBLE v1 and v2, EmoMusic"),
            Finding("instrument", 6, "MARBLE v1, NSynth"),
            Finding("pitch", 1, "MARBLE v1, NSynth"),
            Finding("singer", 2, "MARBLE v1, VocalSet"),
            Finding("technique", 9, "MARBLE v1, VocalSet"),
            Finding("genre-tags", 6, "MARBLE v1 and v2, MTG-Jamendo"),
            Finding("instrument-tags", 6, "MARBLE v1 and v2, MTG-Jamendo"),
            Finding("mood-tags", 6, "MARBLE v1 and v2, MTG-Jamendo"),
            Finding("tagging", None, "MARBLE v1 and v2, MagnaTagATune; v2, MTG-Jamendo top 50 (v1: 6)"),
            Finding("beat", None, "MARBLE v2, GTZAN"),
            Finding("chords", None, "MARBLE v2, Chords1217"),
        ),
    ),
    Guide(("m-a-p/MERT-v1-330M",), ("mert", 24, 1024, 24_000), (Finding("genre", 10, "MARBLE v1, GTZAN"),)),
    Guide(("m-a-p/MERT-v0", "m-a-p/MERT-v0-public"), ("mert", 12, 768, 16_000)),
)


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
    guide, name = _guide_of(encoder, model)
    found = next((finding for finding in guide.findings if finding.task == task), None)
    if found is not None and found.layer is not None:
        return GuidedLayer(found.layer, f"{found.source}, with {name}")
    problem = f"No published probe of {name} for '{task}' is known here."
    if found is not None:
        problem = f"For '{task}', the probe of {name} mixed all layers by learned weights ({found.source})."
    raise LayerGuideError(f"{problem} {_known(guide.findings)} {_cure(encoder)}")


def _guide_of(encoder: AudioEncoder, model: str | Path | None) -> tuple[Guide, str]:
    """What is known of a checkpoint, and a name for it."""
    for guide in GUIDES:
        if str(model) in guide.names:
            return guide, str(model)
    if model is not None and _is_own_run(Path(model)):
        raise LayerGuideError(
            f"{model} is a run of your own: no published probe has looked into it. {_cure(encoder)}"
        )
    architecture = _architecture(encoder)
    for guide in GUIDES:
        if guide.architecture == architecture:
            return guide, f"{' or '.join(guide.names)}, whose architecture this model has"
    names = ", ".join(name for guide in GUIDES for name in guide.names if guide.findings)
    raise LayerGuideError(
        f"{model or 'This model'} has the architecture of no checkpoint whose layers are known. Those are: "
        f"{names}. {_cure(encoder)}"
    )


def _architecture(encoder: AudioEncoder) -> tuple[str, int, int, int]:
    config: Config = encoder.config  # type: ignore[assignment]  # attributes of modules have no type
    return to_dict(config)["kind"], encoder.n_layers, encoder.dim, encoder.sample_rate


def _is_own_run(folder: Path) -> bool:
    return folder.is_dir() and "objective" in checkpoint.read_values(folder)


def _known(findings: Sequence[Finding]) -> str:
    single = ", ".join(f"{f.task} {f.layer}" for f in findings if f.layer is not None)
    mixed = ", ".join(f.task for f in findings if f.layer is None)
    parts = [f"layers for {single}" if single else "", f"all layers mixed for {mixed}" if mixed else ""]
    return f"Known of it: {'; '.join(filter(None, parts)) or 'nothing'}."


def _cure(encoder: AudioEncoder) -> str:
    return (
        f"Choose one of its {encoder.n_layers} layers with --layer N, or keep several with --frames "
        "--frame-layer N --frame-layer M, and mix or compare them on your own data."
    )

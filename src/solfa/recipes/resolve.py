"""A run as it is named -> complete: the sizes that its labels, models and teachers decide.

RUN/train.jsonl, RUN/valid.jsonl, RUN/test.jsonl    of a fine-tuning: tracks, and their labels
RUN/refused.jsonl                                   files that cannot be read, with reasons
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solfa import checkpoint, distributed
from solfa.config import override
from solfa.data.audio import AudioError, probe_audio
from solfa.data.manifest import LABEL, Track, write_manifest
from solfa.data.prepare import Refused, write_refused
from solfa.data.shards import fetched
from solfa.data.stored_frames import StoredCodeFrames, StoredHiddenStates, stored_layers
from solfa.errors import ArgumentError
from solfa.models import (
    FREE_LICENCES,
    PACKAGED,
    LabelsConfig,
    MuLan,
    Tagger,
    language_width,
    licence_to_teach,
    load,
)
from solfa.models.tagger import SEPARATOR
from solfa.objectives import (
    NO_TEACHER,
    DistillationConfig,
    FineTuningConfig,
    MaskedPredictionConfig,
    MusicTextConfig,
    QuantizerFitConfig,
    layers_to_teach,
    load_teacher,
)
from solfa.recipes.starting import with_start
from solfa.recipes.stored_teaching import licence_of_codes, refuse_new_licences, taught_by_stored
from solfa.targets import (
    HiddenRVQConfig,
    StoredCodesConfig,
    TargetConfig,
    TeacherCodesConfig,
    as_fitted,
)
from solfa.tasks import TASKS, Item, LabelKind, TaskError, load_items, task
from solfa.tasks.labelled_csv import read_labelled_files
from solfa.training import RunConfig, TrainingError

log = logging.getLogger(__name__)

REFUSED, N_READERS = "refused.jsonl", 4


def resolved(config: RunConfig, run: Path, wanted: Mapping[str, Any]) -> RunConfig:
    """A run with everything that its teachers, labels and models decide: complete, as config.json keeps it.

    What a run that has begun began with is not looked at again.

    Args:
        config: of the run.
        run: its folder.
        wanted: dotted keys that were set by hand, and that hold.

    Raises:
        SolfaError: something that the run is to learn from is not there, or does not fit.
    """
    complete = with_teachers(with_towers(with_labels(config, run), run), run, wanted)
    return complete if (run / checkpoint.CONFIG).exists() else with_start(complete)


# --- teachers -----------------------------------------------------------------------------------------------


def with_teachers(config: RunConfig, run: Path, wanted: Mapping[str, Any]) -> RunConfig:
    """A run with everything that its teachers decide: complete, as config.json keeps it.

    A codec, a quantizer or clusters that a target names in ``fitted``, stored codes and stored hidden states
    bring their settings. Runs that have begun are given back as they are.

    Args:
        config: of the run.
        run: its folder.
        wanted: dotted keys that were set by hand. They hold: where a teacher is different, the start of the
            run says so.

    Raises:
        TargetError: there is no such run, or nothing of that kind was fitted in it.
        StoredFramesError: there is nothing stored in the folder that is named.
    """
    if (run / checkpoint.CONFIG).exists():
        refuse_new_licences(config)
        return config
    match config.objective:
        case MaskedPredictionConfig(predictions=predictions):
            changes: dict[str, Any] = {
                f"objective.predictions.{n}.target": _as_taught(prediction.target, config)
                for n, prediction in enumerate(predictions)
            }
            changes |= _as_distilled(config) | taught_by_stored(config) | licence_of_codes(config)
        case QuantizerFitConfig(target=HiddenRVQConfig()) if config.data.frames:
            changes = _sizes_of_hidden_states(config)
        case _:
            return config
    by_hand = {key: value for key, value in wanted.items() if ".target." in key}
    return override(override(config, changes), by_hand)


def _as_taught(target: TargetConfig, config: RunConfig) -> TargetConfig:
    if not isinstance(target, StoredCodesConfig):
        return as_fitted(target)
    if not config.data.codes:
        return target
    stored = StoredCodeFrames(fetched(config.data.codes)).description
    return StoredCodesConfig(
        n_codebooks=stored.n_codebooks, codebook_size=stored.codebook_size,
        sample_rate=stored.sample_rate, hop_length=stored.hop_length,
    )  # fmt: skip


@dataclass(frozen=True)
class _Teaching:
    """An encoder that teaches another, as far as a run must know it."""

    name: str
    license: str
    layers: tuple[int, ...]
    layer_dim: int


def _as_distilled(config: RunConfig) -> dict[str, Any]:
    """What the teacher of a distillation decides; nothing of another run."""
    objective = config.objective
    if not isinstance(objective, DistillationConfig):
        return {}
    teaching = _teaching(config, objective)
    is_place = Path(teaching.name).is_absolute() or Path(teaching.name).exists()
    changes: dict[str, Any] = {
        "objective.taught_by": Path(teaching.name).name if is_place else teaching.name,
        "objective.license": "" if teaching.license in FREE_LICENCES else teaching.license,
        "data.teacher_layers" if config.data.teacher else "objective.teacher_layers": teaching.layers,
    }
    for n, prediction in enumerate(objective.predictions):
        if isinstance(target := prediction.target, TeacherCodesConfig):
            n_directions = min(target.n_directions, teaching.layer_dim)
            changes |= {
                f"objective.predictions.{n}.target.n_layers": len(teaching.layers),
                f"objective.predictions.{n}.target.layer_dim": teaching.layer_dim,
                f"objective.predictions.{n}.target.n_directions": n_directions,
                f"objective.predictions.{n}.target.quantizer.dim": len(teaching.layers) * n_directions,
            }
    return changes


def _teaching(config: RunConfig, objective: DistillationConfig) -> _Teaching:
    """The teacher that a run names: an encoder, or a folder of frames."""
    if bool(objective.teacher) == bool(config.data.teacher):
        raise ArgumentError(
            "objective.teacher and data.teacher are both named, and one teaches. Leave one out."
            if objective.teacher
            else NO_TEACHER
        )
    if objective.teacher:
        sample_rates = (p.target for p in objective.predictions if isinstance(p.target, TeacherCodesConfig))
        encoder = load_teacher(objective.teacher, next(sample_rates, TeacherCodesConfig()).sample_rate)
        layers = layers_to_teach(encoder, objective.teacher_layers)
        licence = licence_to_teach(encoder, objective.teacher)
        return _Teaching(objective.teacher, licence, layers, encoder.dim)
    folder = Path(config.data.teacher)
    layers = config.data.teacher_layers or stored_layers(folder)
    stored = StoredHiddenStates(folder, layers[0])
    return _Teaching(stored.model, stored.license, layers, stored.dim or TeacherCodesConfig().layer_dim)


def _sizes_of_hidden_states(config: RunConfig) -> dict[str, Any]:
    stored = StoredHiddenStates(Path(config.data.frames), config.data.frames_layer)
    sizes = {"sample_rate": stored.grid.sample_rate, "hop_length": stored.grid.hop_length}
    sizes |= {"quantizer.dim": stored.dim} if stored.dim else {}
    return {f"objective.target.{name}": value for name, value in sizes.items()}


# --- labels -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labelled:
    """What can be learned from, and what the labels are called."""

    labels: LabelsConfig
    tracks: dict[str, list[Track]]  # by split
    refused: list[Refused]


def with_labels(config: RunConfig, run: Path) -> RunConfig:
    """A fine-tuning with everything that its data and its encoder decide: complete, as config.json keeps it.

    Writes the lists of tracks into the run folder. A configuration that is complete is given back as it is.

    Raises:
        TaskError: labels that cannot be used; the message names the line, if there is one, and the cure.
        TrainingError: the folder holds a run already.
        ModelError: nothing of the name in ``objective.start``.
        ValueError: no encoder is named, or it is none that can be fine-tuned.
    """
    objective = config.objective
    if not isinstance(objective, FineTuningConfig) or objective.tagger.labels.names:
        return config
    if (run / checkpoint.CONFIG).exists():
        raise TrainingError(f"{run} holds a run already. Continue it with --resume, or choose another --out.")
    if not config.data.labels or not objective.start:
        raise ArgumentError(
            "Fine-tuning needs labels and an encoder. Name them with --set data.labels=labels.csv (a table "
            "with the columns path and label, or the name of a task) and --set objective.start=MODEL."
        )
    kind, items = _labelled_items(config.data.labels)
    labelled = _readable(kind, items, config.data.clip_seconds, config.data.labels)
    encoder = load(objective.start)
    if isinstance(encoder, MuLan):
        raise ArgumentError(f"{objective.start} is a music-text model. Name an encoder: a MuQ or a MERT.")
    if distributed.is_main():
        write_refused(labelled.refused, _made(run) / REFUSED)
        for split, tracks in labelled.tracks.items():
            if tracks:
                write_manifest(tracks, run / f"{split}.jsonl")
    distributed.barrier()
    n_valid = len(labelled.tracks["valid"])
    return override(
        config,
        {
            "data.manifest": str(run / "train.jsonl"),
            "data.valid_manifest": str(run / "valid.jsonl") if n_valid else "",
            "data.n_valid_clips": max(n_valid, config.data.n_valid_clips),
            "objective.license": encoder.license,
            "objective.tagger.encoder": encoder.config.encoder
            if isinstance(encoder, Tagger)
            else encoder.config,
            "objective.tagger.labels": labelled.labels,
            "objective.tagger.clip_seconds": config.data.clip_seconds,
        },
    )


def _labelled_items(name: str) -> tuple[LabelKind[Any], Sequence[Item]]:
    """Those of a table, if it is a file, else of a task."""
    if name.lower().endswith((".csv", ".tsv", ".tab", ".txt")) or Path(name).is_file():
        own = read_labelled_files(Path(name))
        return own.kind, own.items
    kind = task(name).kind
    if not kind.taught_as:
        possible = [t.name for t in TASKS.values() if t.kind.taught_as]
        raise TaskError(
            f"{name} has labels in time or parts to be separated, and fine-tuning learns classes, tags or "
            f"numbers of whole tracks. Possible are {', '.join(possible)}; or a CSV of paths and labels."
        )
    return kind, load_items(name)


def _readable(kind: LabelKind[Any], items: Sequence[Item], clip_seconds: float, source: str) -> Labelled:
    """Items as tracks; those that cannot be read, or are shorter than a clip, are left out and named."""
    with ThreadPoolExecutor(N_READERS) as pool:
        found = list(pool.map(lambda item: _track(item, kind, clip_seconds), items))
    refused = [one for one in found if isinstance(one, Refused)]
    for bad in refused:
        log.warning("%s is left out: %s", bad.path, bad.reason)
    tracks: dict[str, list[Track]] = {"train": [], "valid": [], "test": []}
    lost: set[str] = set()
    for item, one in zip(items, found, strict=True):
        if isinstance(one, Track):
            tracks[item.split].append(one)
        elif item.split == "train":
            lost |= set(_text(item, kind).split(SEPARATOR))
    if not tracks["train"]:
        raise TaskError(f"None of the files of {source} can be learned from. The warnings above say why.")
    names = tuple(name.replace(SEPARATOR, ",") for name in kind.names)
    lost -= {label for track in tracks["train"] for label in track.tags[LABEL].split(SEPARATOR)}
    if lost and not kind.taught_as == "numbers":
        raise TaskError(
            f"{source} has no file left in train with the label {', '.join(sorted(lost))}. The warnings "
            "above name the files that are left out: repair them, lower data.clip_seconds, or remove the "
            "label."
        )
    return Labelled(_labels(kind, names, tracks["train"]), tracks, refused)


def _track(item: Item, kind: LabelKind[Any], clip_seconds: float) -> Track | Refused:
    try:
        info = probe_audio(item.path)
    except (AudioError, OSError) as error:
        return Refused(path=item.path, reason=str(error))
    rest = info.seconds - item.start
    seconds = rest if item.seconds is None else min(item.seconds, rest)
    if seconds < clip_seconds:
        reason = f"{seconds:.1f} s are less than a clip. Lower data.clip_seconds, which is {clip_seconds:g}"
        return Refused(path=item.path, reason=reason)
    return Track(
        path=item.path, seconds=seconds, start_seconds=item.start, sample_rate=info.sample_rate,
        n_channels=info.n_channels, decoder=info.decoder, tags={LABEL: _text(item, kind)},
        content_hash="",  # asked for by stored frames only, and the whole file would have to be read
    )  # fmt: skip


def _text(item: Item, kind: LabelKind[Any]) -> str:
    """A label as it stands in a manifest."""
    return SEPARATOR.join(word.replace(SEPARATOR, ",") for word in kind.words(item.label))


def _labels(kind: LabelKind[Any], names: tuple[str, ...], train: Sequence[Track]) -> LabelsConfig:
    assert kind.taught_as
    if kind.taught_as != "numbers":
        return LabelsConfig(kind=kind.taught_as, names=names)
    written = (track.tags[LABEL].split(SEPARATOR) for track in train)
    scale = kind.scale([tuple(float(part) for part in parts) for parts in written])
    assert scale is not None
    return LabelsConfig(
        kind="numbers", names=names, means=tuple(scale.mean.tolist()), deviations=tuple(scale.std.tolist())
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


# --- the towers of a music-text model -----------------------------------------------------------------------


def with_towers(config: RunConfig, run: Path) -> RunConfig:
    """A run of music and text with everything that its models decide: complete, as config.json keeps it.

    Other runs, and those that have begun, are given back as they are.

    Raises:
        ModelError: nothing of the name in ``objective.start`` or ``objective.language``.
        ImportError: the language model's package is not installed.
        ValueError: the model to begin with is a music-text model itself.
    """
    objective = config.objective
    if not isinstance(objective, MusicTextConfig) or (run / checkpoint.CONFIG).exists():
        return config
    is_packaged = objective.language in PACKAGED and not objective.text_rate
    changes = {
        "objective.mulan.text.language": objective.language if is_packaged else "",
        "objective.mulan.text.model_dim": language_width(objective.language),
        "objective.mulan.clips.seconds": config.data.clip_seconds,
    }
    if objective.start:
        encoder = load(objective.start)
        if isinstance(encoder, MuLan):
            raise ArgumentError(f"{objective.start} is a music-text model. Name an encoder: MuQ or MERT.")
        changes["objective.mulan.audio.encoder"] = (
            encoder.config.encoder if isinstance(encoder, Tagger) else encoder.config
        )
        changes["objective.license"] = encoder.license
    return override(config, changes)

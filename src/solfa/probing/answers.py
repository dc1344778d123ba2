"""KeptAnswers: what heads said of each test track, small enough to be kept, so that models can be compared.

    OUT/TASK-WEIGHTS.answers.npz     beside TASK-WEIGHTS.result.json

A metric that is a ratio of sums over tracks is kept as the two numbers that each track adds; where one looks
at all tracks at once, the labels and logits of tracks are kept. Besides the layer that validation chose there
are answers of other readings: the best single layer, the best from layer 1 on, the last one, and both mixes.
"""

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from solfa.arrays import DAMAGED
from solfa.errors import SolfaError
from solfa.files import write_bytes
from solfa.probing.chance import chance
from solfa.probing.grid import Choice, Fit, chosen
from solfa.probing.heads import CONCATENATED, WEIGHTED
from solfa.probing.scoring import metric, score
from solfa.probing.splits import Predictions
from solfa.tasks.kinds import Numbers, Tags

SUFFIX = ".answers.npz"
CHOSEN, BEST, UPPER, LAST = "chosen", "best layer", "best layer from 1 on", "last layer"
READINGS = (CHOSEN, BEST, UPPER, LAST, CONCATENATED, WEIGHTED)
HEADER, LABELS = "header", "labels"


class AnswersError(SolfaError, ValueError):
    """Kept answers that cannot be read; the message names the cure."""


def choices_by_reading(fits: Sequence[Fit]) -> dict[str, Choice]:
    """Layer and rate of each reading, chosen on validation.

    A reading is left out where no head belongs to it: without layers above the first, or without mixes.
    """
    single = [fit for fit in fits if isinstance(fit.head.layer, int)]
    last = max((fit.head.layer for fit in single if isinstance(fit.head.layer, int)), default=None)
    of_reading = {
        CHOSEN: list(fits),
        BEST: single,
        UPPER: [fit for fit in single if fit.head.layer != 0],
        LAST: [fit for fit in single if fit.head.layer == last],
        CONCATENATED: [fit for fit in fits if fit.head.layer == CONCATENATED],
        WEIGHTED: [fit for fit in fits if fit.head.layer == WEIGHTED],
    }
    return {reading: chosen(some) for reading, some in of_reading.items() if some}


@dataclass(frozen=True, eq=False)
class KeptAnswers:
    """Answers about the test tracks of a task."""

    tracks: tuple[str, ...]
    metrics: tuple[str, ...]  # those that can be computed, the task's first one first
    chance: dict[str, float | None]  # of each metric
    layers: dict[str, str]  # reading -> the layer or mix that it took
    parts: dict[str, Float[np.ndarray, "seed track 2"]]  # "METRIC|LAYER" -> what each track adds
    logits: dict[str, Float[np.ndarray, "seed labelled output"]]  # layer -> logits, for other metrics
    labels: Float[np.ndarray, "labelled output"]  # tags as 0 and 1, or numbers; of those metrics
    kind: str  # of the labels: tags or numbers

    def score(self, name: str, reading: str, numbers: np.ndarray | None = None) -> float:
        """A metric in the mean over seeds, of all tracks or of some, which may come more than once.

        Raises:
            ScoringError: there is nothing that it could count.
        """
        layer = self.layers[reading]
        if (parts := self.parts.get(f"{name}|{layer}")) is not None:
            sums = (parts if numbers is None else parts[:, numbers]).sum(1)
            return float((sums[:, 0] / sums[:, 1].clip(1e-12)).mean())
        chosen_tracks = np.arange(len(self.tracks)) if numbers is None else numbers
        by_seed = [score(name, self._predictions(said, chosen_tracks)) for said in self.logits[layer]]
        return float(np.mean(by_seed))

    def _predictions(self, said: np.ndarray, numbers: np.ndarray) -> Predictions:
        """Labels and logits of some tracks, as a head gave them."""
        names = tuple(map(str, range(self.labels.shape[1])))
        rows = self.labels[numbers]
        estimated = list(said[numbers])
        if self.kind == "tags":
            tagged = [tuple(np.flatnonzero(row).tolist()) for row in rows]
            return Predictions(Tags(names), tagged, estimated)
        return Predictions(Numbers(names), [tuple(row.tolist()) for row in rows], estimated)


def keep_answers(
    metrics: Sequence[str],
    tracks: Sequence[str],
    answers: dict[str, Sequence[Predictions]],
    layers: dict[str, int | str],
) -> KeptAnswers | None:
    """What is worth keeping of answers; None if no metric can be computed from it later.

    Args:
        metrics: of the task, the most important one first.
        tracks: their names, in the order of the answers.
        answers: of each layer or mix, for each seed.
        layers: reading -> the layer or mix that it took.
    """
    first = next(iter(answers.values()))[0]
    labels, kind = _labels(first)
    kept = [name for name in metrics if metric(name).parts or len(labels)]
    if not kept:
        return None
    parts: dict[str, np.ndarray] = {}
    for name in kept:
        if added := metric(name).parts:
            parts |= {
                f"{name}|{layer}": np.stack([added(one) for one in said]) for layer, said in answers.items()
            }
    wants_logits = any(not metric(name).parts for name in kept)
    return KeptAnswers(
        tracks=tuple(tracks),
        metrics=tuple(kept),
        chance={name: chance(name, first) for name in kept},
        layers={reading: str(layer) for reading, layer in layers.items()},
        parts=parts,
        logits={
            layer: np.stack([np.stack(list(one.estimated)) for one in said]).astype(np.float32)
            for layer, said in answers.items()
            if wants_logits
        },
        labels=labels,
        kind=kind,
    )


def _labels(answers: Predictions) -> tuple[np.ndarray, str]:
    """Labels of tracks as rows of numbers; none where a label is a class, or lies in time."""
    match answers.kind:
        case Tags():
            rows = np.zeros((len(answers.reference), len(answers.kind.names)))
            for row, tags in zip(rows, answers.reference, strict=True):
                row[list(tags)] = 1.0
            return rows, "tags"
        case Numbers():
            return np.array(answers.reference, np.float64), "numbers"
    return np.zeros((0, 0)), ""


def save_answers(answers: KeptAnswers, path: Path) -> None:
    """Write answers, whole or not at all."""
    header = {
        "tracks": answers.tracks, "metrics": answers.metrics, "chance": answers.chance,
        "layers": answers.layers, "kind": answers.kind,
    }  # fmt: skip
    arrays: dict[str, Any] = {f"parts|{name}": values for name, values in answers.parts.items()}
    arrays |= {f"logits|{layer}": values for layer, values in answers.logits.items()}
    content = io.BytesIO()
    np.savez_compressed(content, **{HEADER: json.dumps(header), LABELS: answers.labels, **arrays})
    write_bytes(path, content.getvalue())


def load_answers(path: Path) -> KeptAnswers:
    """Answers that ``save_answers`` wrote.

    Raises:
        AnswersError: the file is damaged.
        OSError: it is not there.
    """
    content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(str(arrays.pop(HEADER)))
        labels = arrays.pop(LABELS)
        of = {
            kind: {
                name.partition("|")[2]: rows for name, rows in arrays.items() if name.startswith(f"{kind}|")
            }
            for kind in ("parts", "logits")
        }
        return KeptAnswers(
            tracks=tuple(header["tracks"]), metrics=tuple(header["metrics"]), chance=header["chance"],
            layers=header["layers"], parts=of["parts"], logits=of["logits"], labels=labels,
            kind=header["kind"],
        )  # fmt: skip
    except (*DAMAGED, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise AnswersError(f"{path} is damaged ({error}). Remove it, and probe again.") from None

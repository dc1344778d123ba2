"""What stored teachers and stored codes decide of a run: who taught it, under what licence, and sizes."""

from pathlib import Path
from typing import Any

from solfa.data.shards import fetched
from solfa.data.stored_frames import StoredCodeFrames
from solfa.data.stored_teachers import is_restricted, stored_teachers
from solfa.errors import ArgumentError
from solfa.models import FREE_LICENCES
from solfa.objectives import TaughtPredictionConfig
from solfa.targets import TeacherCodesConfig
from solfa.training import RunConfig

BETWEEN_LICENCES = "; "


def taught_by_stored(config: RunConfig) -> dict[str, Any]:
    """Who teaches by lessons, the licence that binds, and sizes of joint codes; nothing of another run."""
    if not isinstance(config.objective, TaughtPredictionConfig) or not config.data.teachers:
        return {}
    found = [one.description for one in stored_teachers(Path(config.data.teachers))]
    sizes: dict[str, Any] = {}
    for n, prediction in enumerate(config.objective.predictions):
        if isinstance(target := prediction.target, TeacherCodesConfig) and target.parts:
            key = f"objective.predictions.{n}.target"
            sizes |= {
                f"{key}.n_layers": len(target.parts),
                f"{key}.layer_dim": max(target.widths),
                f"{key}.n_directions": max(target.kept),
            }
    licences = dict.fromkeys(one.license for one in found if is_restricted(one.license))
    return sizes | {
        "objective.taught_by": ", ".join(
            f"{one.name} ({one.license or 'licence not stated'})" for one in found
        ),
        "objective.license": BETWEEN_LICENCES.join(licences),
    }


def refuse_new_licences(config: RunConfig) -> None:
    """Refuse stored teachers whose licence binds, of a run that goes on and began without it."""
    binding = taught_by_stored(config).get("objective.license", "").split(BETWEEN_LICENCES)
    begun = getattr(config.objective, "license", "").split(BETWEEN_LICENCES)
    if new := [licence for licence in binding if licence and licence not in begun]:
        raise ArgumentError(
            f"A teacher in {config.data.teachers} is licensed {new[0]}, and this run began without it: its "
            "model would not say so. Name the teachers that it began with, or begin another run."
        )


def licence_of_codes(config: RunConfig) -> dict[str, Any]:
    """That of the encoder whose stored codes are learned, if it is not free."""
    codes = config.data.codes
    licence = StoredCodeFrames(fetched(codes)).description.license if codes else ""
    return {} if licence in ("", *FREE_LICENCES) else {"objective.license": licence}

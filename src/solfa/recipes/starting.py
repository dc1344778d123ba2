"""A run that begins with the weights of another model: which it is, and whether it fits."""

from dataclasses import replace
from pathlib import Path

from solfa import checkpoint
from solfa.errors import ArgumentError
from solfa.models import licence_to_teach
from solfa.objectives import MaskedPredictionConfig, starting_point
from solfa.training import RunConfig, StartConfig


def starting_from(config: RunConfig, model: str, run: Path) -> RunConfig:
    """A run that shall begin with ``model``; one that goes on must have begun with it.

    Args:
        config: of the run.
        model: a run, a checkpoint, a saved model or a published name; nothing is changed if empty.
        run: its folder.

    Raises:
        ArgumentError: the run has begun with something else.
    """
    began_with = config.start_from.model if config.start_from else ""
    if not model:
        return config
    if not (run / checkpoint.CONFIG).exists():
        return replace(config, start_from=StartConfig(model=model))
    if model != began_with:
        raise ArgumentError(
            f"{run} holds a run that began with {began_with or 'random weights'}, not with {model}. Leave "
            "--start-from out to go on with it, or choose another --out."
        )
    return config


def with_start(config: RunConfig) -> RunConfig:
    """A run that says what it begins with: hash, licence and teachers of that model.

    Raises:
        ModelError: nothing of that name.
        ArgumentError: it does not fit the run, or is not the one that the configuration was made with.
    """
    start = config.start_from
    if start is None:
        return config
    if not isinstance(config.objective, MaskedPredictionConfig):
        has_own = config.objective.kind in ("fine_tuning", "music_text")
        raise ArgumentError(
            f"--start-from is for the training of encoders, and this is {config.objective.kind}. "
            + (f"Name it with --set objective.start={start.model}" if has_own else "Leave it out.")
        )
    point = starting_point(start.model)
    point.check(config.objective.encoder)
    if start.fingerprint and start.fingerprint != point.fingerprint:
        raise ArgumentError(
            f"The settings are of a run that began with {start.model} when its hash was "
            f"{start.fingerprint:.12}, and now it is {point.fingerprint:.12}. Put the old one back, or take "
            "this one: --start-from with its name."
        )
    encoder = point.encoder
    return replace(
        config,
        start_from=StartConfig(
            model=start.model, fingerprint=point.fingerprint, license=licence_to_teach(encoder, start.model),
            taught_by=encoder.taught_by,
        ),
    )  # fmt: skip

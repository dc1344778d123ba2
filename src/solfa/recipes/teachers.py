"""What was fitted, stored or measured before -> the sizes of a run that learns from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solfa import checkpoint
from solfa.config import override
from solfa.data.stored_frames import StoredCodeFrames, StoredHiddenStates
from solfa.objectives import MaskedPredictionConfig, QuantizerFitConfig
from solfa.targets import HiddenRVQConfig, StoredCodesConfig, TargetConfig, as_fitted
from solfa.training import RunConfig


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
        return config
    match config.objective:
        case MaskedPredictionConfig(predictions=predictions):
            changes: dict[str, Any] = {
                f"objective.predictions.{n}.target": _as_taught(prediction.target, config)
                for n, prediction in enumerate(predictions)
            }
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
    stored = StoredCodeFrames(Path(config.data.codes)).description
    return StoredCodesConfig(
        n_codebooks=stored.n_codebooks, codebook_size=stored.codebook_size,
        sample_rate=stored.sample_rate, hop_length=stored.hop_length,
    )  # fmt: skip


def _sizes_of_hidden_states(config: RunConfig) -> dict[str, Any]:
    stored = StoredHiddenStates(Path(config.data.frames), config.data.frames_layer)
    sizes = {"sample_rate": stored.grid.sample_rate, "hop_length": stored.grid.hop_length}
    sizes |= {"quantizer.dim": stored.dim} if stored.dim else {}
    return {f"objective.target.{name}": value for name, value in sizes.items()}

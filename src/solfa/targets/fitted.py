"""What was fitted beforehand brings its settings along: a target that names a run is as that run has it."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from solfa.config import from_dict, to_dict
from solfa.targets.base import TargetError
from solfa.targets.cqt_rvq import CQTRVQConfig
from solfa.targets.kmeans import KMeansCodesConfig, cluster_settings
from solfa.targets.mel import MelRVQConfig
from solfa.targets.rvq_vae import RVQVAECodesConfig, codec_settings
from solfa.targets.stored_quantizer import fitted_settings

T = TypeVar("T")


def as_fitted(config: T) -> T:
    """The settings of a target with those that the run named in ``fitted`` decides; others as they are.

    Raises:
        TargetError: there is no such run, or nothing of that kind was fitted in it.
    """
    match config:
        case MelRVQConfig(fitted=run) | CQTRVQConfig(fitted=run) if run:
            values = to_dict(config) | fitted_settings(Path(run), config.kind)
            kind = values["quantizer"]["kind"]
            frames = "mel" if isinstance(config, MelRVQConfig) else "log-CQT"
            if kind not in ("rvq", "vq", "kmeans_rvq"):
                raise TargetError(
                    f"The quantizer of {run} is of the kind {kind}, and was not fitted to {frames} frames. "
                    f"Name a run of {config.kind}, or of an encoder that learned its codes."
                )
            return from_dict(type(config), values)
        case RVQVAECodesConfig(fitted=run) if run:
            return replace(config, codec=codec_settings(Path(run)))
        case KMeansCodesConfig(fitted=run) if run:
            return cluster_settings(config)  # type: ignore[return-value]
        case _:
            return config

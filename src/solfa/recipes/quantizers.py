"""Quantizers of a small budget: fitted by k-means in a minute, to frames without the clip's level."""

from solfa.config import override
from solfa.objectives import QuantizerFitConfig
from solfa.recipes.muq import mel_rvq
from solfa.targets import CQTRVQConfig, MelRVQConfig, ResidualKMeansConfig
from solfa.training import RunConfig


def mel_rvq_small() -> RunConfig:
    """Mel-RVQ without the clip's level: 4 codebooks of 512, by residual k-means.

    Command:  solfa train mel_rvq_small --set data.manifest=tracks.jsonl --out runs/mel_rvq_small
    Takes:    46 s on one busy core, reading of the music included
    Reaches:  80 % of the variance of such frames explained on other tracks
    """
    return override(
        mel_rvq(),
        {
            "objective": QuantizerFitConfig(target=MelRVQConfig(quantizer=ResidualKMeansConfig())),
            "objective.target.frames.level": "removed",
            "data.clips_per_step": 320,
            "data.channel": "mean",
            "data.turns": "one_each",
            "n_steps": 4,
            "log_every": 1,
            "validate_every": 4,
            "checkpoint_every": 4,
        },
    )


def cqt_rvq_small() -> RunConfig:
    """Codes of log-CQT frames without the clip's level: 4 codebooks of 256, by residual k-means.

    Command:  solfa train cqt_rvq_small --set data.manifest=tracks.jsonl --out runs/cqt_rvq_small
    Takes:    26 s on one busy core, reading of the music included
    Reaches:  60 % of the variance of such frames explained on other tracks
    """
    return override(mel_rvq_small(), {"objective.target": CQTRVQConfig()})

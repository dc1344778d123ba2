"""An encoder and a language model, by name -> the sizes of a MuLan that begins with them."""

from pathlib import Path

from solfa import checkpoint
from solfa.config import override
from solfa.errors import ArgumentError
from solfa.models import PACKAGED, MuLan, Tagger, language_dim, language_folder, load
from solfa.objectives import MusicTextConfig
from solfa.training import RunConfig


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
        "objective.mulan.text.model_dim": language_dim(language_folder(objective.language)),
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

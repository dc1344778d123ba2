"""A configuration -> the encoder that it describes."""

from typing import assert_never

from solfa.models.encoder import AudioEncoder
from solfa.models.mert import MERT, MERTConfig
from solfa.models.muq import MuQ, MuQConfig

EncoderConfig = MuQConfig | MERTConfig


def build_encoder(config: EncoderConfig, license: str = "") -> AudioEncoder:
    """The encoder that ``config`` describes, with random weights."""
    match config:
        case MuQConfig():
            return MuQ(config, license)
        case MERTConfig():
            return MERT(config, license)
        case _:
            assert_never(config)

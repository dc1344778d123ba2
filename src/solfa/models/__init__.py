"""Waveform -> hidden states; what outlives training."""

from solfa.models.encoder import AudioEncoder, HiddenStates
from solfa.models.layers.conformer import ConformerConfig
from solfa.models.layers.convolution import ConvStemConfig
from solfa.models.layers.transformer import TransformerConfig
from solfa.models.layers.waveform import WaveformConvolutionsConfig
from solfa.models.loading import EncoderConfig, ModelError, build_encoder, load
from solfa.models.mert import MERT, MERTConfig
from solfa.models.muq import MuQ, MuQConfig

__all__ = [
    "AudioEncoder",
    "ConformerConfig",
    "ConvStemConfig",
    "EncoderConfig",
    "HiddenStates",
    "MERT",
    "MERTConfig",
    "ModelError",
    "MuQ",
    "MuQConfig",
    "TransformerConfig",
    "WaveformConvolutionsConfig",
    "build_encoder",
    "load",
]

"""Waveform -> hidden states; what outlives training."""

from solfa.models.building import EncoderConfig, build_encoder
from solfa.models.encoder import AudioEncoder, HiddenStates
from solfa.models.finite import NotFiniteError
from solfa.models.layer_guide import GuidedTask, LayerGuideError, guided_layer
from solfa.models.layers.conformer import ConformerConfig
from solfa.models.layers.convolution import ConvStemConfig
from solfa.models.layers.transformer import TransformerConfig
from solfa.models.layers.waveform import WaveformConvolutionsConfig
from solfa.models.loading import ModelError, load, load_encoder
from solfa.models.mert import MERT, MERTConfig
from solfa.models.mulan import ClipEncoder, MuLan, MuLanClipsConfig, MuLanConfig
from solfa.models.muq import MuQ, MuQConfig
from solfa.models.official import LayoutError, save_official
from solfa.models.sharing import ModelCard

__all__ = [
    "AudioEncoder",
    "ClipEncoder",
    "ConformerConfig",
    "ConvStemConfig",
    "EncoderConfig",
    "GuidedTask",
    "HiddenStates",
    "LayerGuideError",
    "LayoutError",
    "MERT",
    "MERTConfig",
    "ModelCard",
    "ModelError",
    "MuLan",
    "MuLanClipsConfig",
    "MuLanConfig",
    "MuQ",
    "MuQConfig",
    "NotFiniteError",
    "TransformerConfig",
    "WaveformConvolutionsConfig",
    "build_encoder",
    "guided_layer",
    "load",
    "load_encoder",
    "save_official",
]

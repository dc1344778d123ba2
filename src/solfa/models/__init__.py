"""Waveform -> hidden states; what outlives training."""

from typing import TYPE_CHECKING

from solfa.on_demand import names_on_demand

if TYPE_CHECKING:
    from solfa.models.checks import NotFiniteError
    from solfa.models.encoder import AudioEncoder, HiddenStates
    from solfa.models.folders import ModelError, language_folder
    from solfa.models.guided_tasks import GuidedTask
    from solfa.models.layer_guide import LayerGuideError, guided_layer
    from solfa.models.layers.conformer import ConformerConfig
    from solfa.models.layers.convolution import ConvStemConfig
    from solfa.models.layers.gated_transformer import GatedTransformerConfig
    from solfa.models.layers.low_rank import LoRAConfig
    from solfa.models.layers.rotary_transformer import RotaryTransformerConfig
    from solfa.models.layers.transformer import TransformerConfig
    from solfa.models.layers.waveform import WaveformConvolutionsConfig
    from solfa.models.loading import FREE_LICENCES, licence_to_teach, load, load_encoder
    from solfa.models.mert import MERT, MERTConfig
    from solfa.models.mulan import (
        AudioTowerConfig,
        ClipEncoder,
        MuLan,
        MuLanClipsConfig,
        MuLanConfig,
        TextTowerConfig,
    )
    from solfa.models.muq import MuQ, MuQConfig
    from solfa.models.packaged import PACKAGED
    from solfa.models.published.writing import LayoutError, save_official
    from solfa.models.registry import EncoderConfig, build_encoder
    from solfa.models.saving import ModelCard
    from solfa.models.sentences import language_width, packaged_language
    from solfa.models.small import SolfaSmall, SolfaSmallConfig
    from solfa.models.tagger import LabelHeadConfig, LabelsConfig, Tagger, TaggerConfig
    from solfa.models.text import TextModel

__all__ = [
    "AudioEncoder",
    "AudioTowerConfig",
    "ClipEncoder",
    "ConformerConfig",
    "ConvStemConfig",
    "EncoderConfig",
    "FREE_LICENCES",
    "GatedTransformerConfig",
    "GuidedTask",
    "HiddenStates",
    "LabelHeadConfig",
    "LabelsConfig",
    "LayerGuideError",
    "LayoutError",
    "LoRAConfig",
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
    "PACKAGED",
    "RotaryTransformerConfig",
    "SolfaSmall",
    "SolfaSmallConfig",
    "Tagger",
    "TaggerConfig",
    "TextModel",
    "TextTowerConfig",
    "TransformerConfig",
    "WaveformConvolutionsConfig",
    "build_encoder",
    "guided_layer",
    "language_folder",
    "language_width",
    "licence_to_teach",
    "load",
    "load_encoder",
    "packaged_language",
    "save_official",
]

__getattr__, __dir__ = names_on_demand(
    __name__,
    {
        "checks": ("NotFiniteError",),
        "encoder": ("AudioEncoder", "HiddenStates"),
        "folders": ("ModelError", "language_folder"),
        "layer_guide": ("LayerGuideError", "guided_layer"),
        "layers.conformer": ("ConformerConfig",),
        "layers.convolution": ("ConvStemConfig",),
        "layers.gated_transformer": ("GatedTransformerConfig",),
        "layers.low_rank": ("LoRAConfig",),
        "layers.rotary_transformer": ("RotaryTransformerConfig",),
        "layers.transformer": ("TransformerConfig",),
        "layers.waveform": ("WaveformConvolutionsConfig",),
        "loading": ("FREE_LICENCES", "licence_to_teach", "load", "load_encoder"),
        "mert": ("MERT", "MERTConfig"),
        "mulan": (
            "AudioTowerConfig",
            "ClipEncoder",
            "MuLan",
            "MuLanClipsConfig",
            "MuLanConfig",
            "TextTowerConfig",
        ),
        "muq": ("MuQ", "MuQConfig"),
        "packaged": ("PACKAGED",),
        "guided_tasks": ("GuidedTask",),
        "published.writing": ("LayoutError", "save_official"),
        "registry": ("EncoderConfig", "build_encoder"),
        "saving": ("ModelCard",),
        "sentences": ("language_width", "packaged_language"),
        "small": ("SolfaSmall", "SolfaSmallConfig"),
        "tagger": ("LabelHeadConfig", "LabelsConfig", "Tagger", "TaggerConfig"),
        "text": ("TextModel",),
    },
)

"""MERT-v2 as it is published: names and settings -> ours."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa.errors import ArgumentError
from solfa.features import LogMelConfig
from solfa.models.mert2 import MERT2, MERT2Config
from solfa.models.published.format import Checkpoint, Format, GuidedTask, ProbedLayer
from solfa.models.published.names import Names, renamed

_STAGE, _BLOCK = "subsampling_module.*.", "subsampling_module.*.convnext_layers.*."
_LAYER = "layers.*."

NAMES: Names = (
    ("feature_extractor.mel_mean", "frontend.statistics.mel_mean"),
    ("feature_extractor.mel_std", "frontend.statistics.mel_std"),
    (_STAGE + "resampling_layer.0.", "frontend.stages.*.norm."),
    (_STAGE + "resampling_layer.2.", "frontend.stages.*.halve."),
    (_BLOCK + "depthwise_block.1.", "frontend.stages.*.blocks.*.depthwise."),
    (_BLOCK + "pointwise_block.0.", "frontend.stages.*.blocks.*.norm."),
    (_BLOCK + "pointwise_block.1.", "frontend.stages.*.blocks.*.widen."),
    (_BLOCK + "pointwise_block.3.", "frontend.stages.*.blocks.*.responses."),
    (_BLOCK + "pointwise_block.4.", "frontend.stages.*.blocks.*.narrow."),
    (_LAYER + "ffn1_layer_norm.", "context.layers.*.feed_forward_in.norm."),
    (_LAYER + "ffn1.w_1.", "context.layers.*.feed_forward_in.widen."),
    (_LAYER + "ffn1.w_2.", "context.layers.*.feed_forward_in.narrow."),
    (_LAYER + "attn_layer_norm.", "context.layers.*.attention.norm."),
    (_LAYER + "attn.query_proj.", "context.layers.*.attention.query."),
    (_LAYER + "attn.key_proj.", "context.layers.*.attention.key."),
    (_LAYER + "attn.value_proj.", "context.layers.*.attention.value."),
    (_LAYER + "attn.out_proj.", "context.layers.*.attention.out."),
    (_LAYER + "conv_module.layer_norm.", "context.layers.*.convolution.norm."),
    (_LAYER + "conv_module.conv_block.1.", "context.layers.*.convolution.gated."),
    (_LAYER + "conv_module.conv_block.3.", "context.layers.*.convolution.depthwise."),
    (_LAYER + "conv_module.conv_block.4.1.", "context.layers.*.convolution.depthwise_norm."),
    (_LAYER + "conv_module.conv_block.6.", "context.layers.*.convolution.mix."),
    (_LAYER + "ffn2_layer_norm.", "context.layers.*.feed_forward_out.norm."),
    (_LAYER + "ffn2.w_1.", "context.layers.*.feed_forward_out.widen."),
    (_LAYER + "ffn2.w_2.", "context.layers.*.feed_forward_out.narrow."),
    (_LAYER + "final_layer_norm.", "context.layers.*.norm."),
)
BESIDES = (  # numbers that are computed here, and positions, should a file hold them
    r"feature_extractor\.(spectrogram\.window|mel_scale\.fb)$",
    r".*\binv_freq$",
)
POINTWISE = re.compile(r"context\.layers\.\d+\.convolution\.(gated|mix)\.")
RESPONSES = re.compile(r"frontend\.stages\.\d+\.blocks\.\d+\.responses\.")
SIZES = {  # ours -> its name in config.json
    "n_layers": "num_hidden_layers",
    "dim": "hidden_size",
    "feed_forward_dim": "intermediate_size",
    "n_heads": "num_attention_heads",
    "kernel_frames": "conv_depthwise_kernel_size",
    "norm_eps": "layer_norm_eps",
    "stage_norm_eps": "subsampling_layer_norm_eps",
}
NEEDED = (
    *SIZES.values(), "num_mel_bins", "sampling_rate", "n_fft", "hop_length", "subsampling_channels",
    "subsampling_depths", "rotary_embedding_base",
)  # fmt: skip
PROBED: tuple[tuple[GuidedTask, str], ...] = (
    ("key", "GiantSteps"),
    ("genre", "GTZAN"),
    ("emotion", "EmoMusic"),
    ("tagging", "MagnaTagATune"),
    ("genre-tags", "MTG-Jamendo"),
    ("instrument-tags", "MTG-Jamendo"),
    ("mood-tags", "MTG-Jamendo"),
    ("beat", "GTZAN"),
    ("chords", "Chords1217"),
)


def mert2_config(published: Mapping[str, Any]) -> MERT2Config:
    """Our configuration for the ``config.json`` of a published MERT-v2.

    Raises:
        ValueError: a setting is missing, or is none of those that the published weights have.
    """
    missing = [name for name in NEEDED if name not in published]
    if missing:
        raise ArgumentError(f"config.json lacks {', '.join(missing)}. Fetch it again from where it came.")
    if published.get("win_length", published["n_fft"]) != published["n_fft"]:
        raise ArgumentError(
            f"No published MERT-v2 has this setting of config.json: win_length is {published['win_length']}, "
            f"known: {published['n_fft']}, as long as the transform."
        )
    return MERT2Config(
        mel=LogMelConfig(
            sample_rate=published["sampling_rate"],
            n_fft=published["n_fft"],
            hop_length=published["hop_length"],
            n_mels=published["num_mel_bins"],
        ),
        stage_dims=tuple(published["subsampling_channels"]),
        stage_layers=tuple(published["subsampling_depths"]),
        rotary_base=float(published["rotary_embedding_base"]),
        **{ours: published[theirs] for ours, theirs in SIZES.items()},
    )


def mert2_weights(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published MERT-v2 under our names and in our shapes.

    Raises:
        ValueError: names that no published MERT-v2 has, all of them listed.
    """
    return {
        name: _shaped(name, tensor) for name, tensor in renamed(published, NAMES, BESIDES, "MERT-v2").items()
    }


def _shaped(name: str, tensor: Tensor) -> Tensor:
    if POINTWISE.match(name) and tensor.ndim == 3:  # a pointwise convolution is a linear map
        return tensor[..., 0]
    return tensor.flatten() if RESPONSES.match(name) else tensor


def _checkpoint(layers: tuple[int | None, ...]) -> Checkpoint:
    """A checkpoint, with the layers that its card recommends for ``PROBED``; None: all of them, mixed."""
    probed = tuple(
        ProbedLayer(task, layer, f"MERT-v2's card, {data}")
        for (task, data), layer in zip(PROBED, layers, strict=True)
    )
    return Checkpoint("CC-BY-NC-4.0", 2_529_812_848, ("mert2", 24, 1024, 24_000), probed)


class MERT2Format(Format):
    """MERT-v2: ``config.json`` whose ``model_type`` is ``mert2``."""

    model = MERT2
    # The card recommends another layer for MTG-Jamendo's top 50 tags (13 and 22) than for MagnaTagATune's.
    checkpoints = {
        "m-a-p/MERT-v2-30s": _checkpoint((4, 23, None, 22, 19, 14, 16, 21, None)),
        "m-a-p/MERT-v2-FullSong": _checkpoint((23, 24, 24, 23, 16, 12, 13, 23, None)),
    }

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether a ``config.json`` is of a published MERT-v2."""
        return values.get("model_type") == "mert2"

    def config(self, folder: Path, values: Mapping[str, Any]) -> MERT2Config:
        """As ``mert2_config``."""
        return mert2_config(values)

    def weights(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As ``mert2_weights``."""
        return mert2_weights(published)

    def build(self, config: Any, licence: str, folder: Path, weights: Mapping[str, Tensor]) -> MERT2:
        """A MERT2."""
        return MERT2(config, licence)

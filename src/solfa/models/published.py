"""Names of published weights -> our names, one table per model."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from solfa.features import LogMelConfig
from solfa.models.layers.conformer import ConformerConfig
from solfa.models.layers.convolution import ConvStemConfig
from solfa.models.muq import MuQConfig

Names = tuple[tuple[str, str], ...]

MUQ_NAMES: Names = (
    (r"model\.conv\.conv\.(\d+)\.conv1\.", r"frontend.stem.blocks.\1.conv_in."),
    (r"model\.conv\.conv\.(\d+)\.bn1\.", r"frontend.stem.blocks.\1.norm_in."),
    (r"model\.conv\.conv\.(\d+)\.conv2\.", r"frontend.stem.blocks.\1.conv_out."),
    (r"model\.conv\.conv\.(\d+)\.bn2\.", r"frontend.stem.blocks.\1.norm_out."),
    (r"model\.conv\.conv\.(\d+)\.conv3\.", r"frontend.stem.blocks.\1.conv_skip."),
    (r"model\.conv\.conv\.(\d+)\.bn3\.", r"frontend.stem.blocks.\1.norm_skip."),
    (r"model\.conv\.linear\.", r"frontend.stem.projection."),
    (r"model\.conformer\.layer_norm\.", r"context.norm."),
    (r"model\.conformer\.layers\.(\d+)\.ffn1_layer_norm\.", r"context.layers.\1.feed_forward_in.norm."),
    (
        r"model\.conformer\.layers\.(\d+)\.ffn1\.intermediate_dense\.",
        r"context.layers.\1.feed_forward_in.widen.",
    ),
    (r"model\.conformer\.layers\.(\d+)\.ffn1\.output_dense\.", r"context.layers.\1.feed_forward_in.narrow."),
    (r"model\.conformer\.layers\.(\d+)\.self_attn_layer_norm\.", r"context.layers.\1.attention.norm."),
    (r"model\.conformer\.layers\.(\d+)\.self_attn\.linear_q\.", r"context.layers.\1.attention.query."),
    (r"model\.conformer\.layers\.(\d+)\.self_attn\.linear_k\.", r"context.layers.\1.attention.key."),
    (r"model\.conformer\.layers\.(\d+)\.self_attn\.linear_v\.", r"context.layers.\1.attention.value."),
    (r"model\.conformer\.layers\.(\d+)\.self_attn\.linear_out\.", r"context.layers.\1.attention.out."),
    (r"model\.conformer\.layers\.(\d+)\.conv_module\.layer_norm\.", r"context.layers.\1.convolution.norm."),
    (
        r"model\.conformer\.layers\.(\d+)\.conv_module\.pointwise_conv1\.",
        r"context.layers.\1.convolution.gated.",
    ),
    (
        r"model\.conformer\.layers\.(\d+)\.conv_module\.depthwise_conv\.",
        r"context.layers.\1.convolution.depthwise.",
    ),
    (
        r"model\.conformer\.layers\.(\d+)\.conv_module\.batch_norm\.",
        r"context.layers.\1.convolution.batch_norm.",
    ),
    (
        r"model\.conformer\.layers\.(\d+)\.conv_module\.pointwise_conv2\.",
        r"context.layers.\1.convolution.mix.",
    ),
    (r"model\.conformer\.layers\.(\d+)\.ffn2_layer_norm\.", r"context.layers.\1.feed_forward_out.norm."),
    (
        r"model\.conformer\.layers\.(\d+)\.ffn2\.intermediate_dense\.",
        r"context.layers.\1.feed_forward_out.widen.",
    ),
    (r"model\.conformer\.layers\.(\d+)\.ffn2\.output_dense\.", r"context.layers.\1.feed_forward_out.narrow."),
    (r"model\.conformer\.layers\.(\d+)\.final_layer_norm\.", r"context.layers.\1.norm."),
)

# Parts of the published files that are no part of the encoder: heads and targets of its training (load a
# target with solfa.targets.load_quantizer), and tensors that the published program makes but never uses.
MUQ_BESIDES = (
    r"model\.(linear|recon_proj|cls_token|rvq|quantizer_melspec_2048)\b",
    r"model\.conformer\.(pos_conv_embed|embed_positions)\.",
)


def muq_config(published: Mapping[str, Any]) -> MuQConfig:
    """Our configuration for the ``config.json`` of a published MuQ.

    Raises:
        ValueError: a setting that the published weights never have and that we do not build.
    """
    inner = published["w2v2_config"]
    if inner.get("position_embeddings_type") != "rotary" or inner.get("hidden_act") != "swish":
        raise ValueError("Only MuQ with rotary positions and swish is known; see w2v2_config in config.json.")
    sample_rate, hop_length = 24_000, published["hop_length"]
    stride = round(sample_rate / hop_length / published["label_rate"])
    if stride not in (2, 4):
        raise ValueError(
            f"label_rate {published['label_rate']} does not fit hop_length {hop_length}: 25 or 50 Hz."
        )
    return MuQConfig(
        mel=LogMelConfig(
            sample_rate=sample_rate,
            hop_length=hop_length,
            n_mels=published["n_mels"],
            mean_db=published["stat"]["melspec_2048_mean"],
            std_db=published["stat"]["melspec_2048_std"],
        ),
        stem=ConvStemConfig(n_channels=published["conv_dim"], time_strides=(2, stride // 2)),
        conformer=ConformerConfig(
            n_layers=published["encoder_depth"],
            dim=published["encoder_dim"],
            feed_forward_dim=inner["intermediate_size"],
            n_heads=inner["num_attention_heads"],
            kernel_frames=inner["conv_depthwise_kernel_size"],
            rotary_base=float(inner["rotary_embedding_base"]),
            norm_eps=inner["layer_norm_eps"],
            dropout=inner["hidden_dropout"],
        ),
    )


def muq_weights(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published MuQ encoder under our names and in our shapes.

    Raises:
        ValueError: names that no published MuQ has, all of them listed.
    """
    weights = renamed(published, MUQ_NAMES, MUQ_BESIDES, "MuQ")
    # A pointwise convolution is a linear map: (out, in, 1) -> (out, in).
    return {n: w[..., 0] if re.search(r"convolution\.(gated|mix)\.", n) else w for n, w in weights.items()}


def renamed(
    published: Mapping[str, Tensor], names: Names, besides: tuple[str, ...], kind: str
) -> dict[str, Tensor]:
    """Published tensors under our names.

    Args:
        published: tensors by their published names.
        names: pattern of a published name -> ours; the first that matches counts.
        besides: patterns of known names that are left out.
        kind: of the model, for the message.

    Raises:
        ValueError: names that match nothing, all of them listed.
    """
    weights, unknown = {}, []
    for name, tensor in published.items():
        if any(re.match(pattern, name) for pattern in besides):
            continue
        ours = next((re.sub(p, o, name, count=1) for p, o in names if re.match(p, name)), None)
        if ours is None:
            unknown.append(name)
        else:
            weights[ours] = tensor
    if unknown:
        raise ValueError(f"These names are not of a {kind} model: {', '.join(sorted(unknown))}.")
    return weights

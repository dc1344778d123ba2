"""Names and settings of published MERT weights -> ours."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from solfa.features import ConstantQConfig
from solfa.models.layers.transformer import TransformerConfig
from solfa.models.layers.waveform import WaveformConvolutionsConfig
from solfa.models.mert import MERTConfig
from solfa.models.published import Names, renamed

_LAYER = r"encoder\.layers\.(\d+)\."

MERT_NAMES: Names = (
    (r"feature_extractor\.conv_layers\.(\d+)\.conv\.", r"frontend.convolutions.blocks.\1.convolution."),
    (r"feature_extractor\.conv_layers\.(\d+)\.layer_norm\.", r"frontend.convolutions.blocks.\1.norm."),
    (r"feature_projection\.layer_norm\.", r"frontend.norm."),
    (r"feature_projection\.projection\.", r"frontend.projection."),
    # Weight normalisation has two spellings; files made before PyTorch 2.1 have the first.
    (r"encoder\.pos_conv_embed\.conv\.weight_g$", r"context.positions.length"),
    (r"encoder\.pos_conv_embed\.conv\.weight_v$", r"context.positions.direction"),
    (r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original0$", r"context.positions.length"),
    (r"encoder\.pos_conv_embed\.conv\.parametrizations\.weight\.original1$", r"context.positions.direction"),
    (r"encoder\.pos_conv_embed\.conv\.bias$", r"context.positions.bias"),
    (r"encoder\.layer_norm\.", r"context.norm."),
    (_LAYER + r"attention\.q_proj\.", r"context.layers.\1.attention.query."),
    (_LAYER + r"attention\.k_proj\.", r"context.layers.\1.attention.key."),
    (_LAYER + r"attention\.v_proj\.", r"context.layers.\1.attention.value."),
    (_LAYER + r"attention\.out_proj\.", r"context.layers.\1.attention.out."),
    (_LAYER + r"layer_norm\.", r"context.layers.\1.attention_norm."),
    (_LAYER + r"feed_forward\.intermediate_dense\.", r"context.layers.\1.feed_forward.widen."),
    (_LAYER + r"feed_forward\.output_dense\.", r"context.layers.\1.feed_forward.narrow."),
    (_LAYER + r"final_layer_norm\.", r"context.layers.\1.feed_forward_norm."),
)

# Tensors of published files that are no part of the encoder: the vector that hides frames in training, fixed
# constant-Q kernels (ours are computed), and heads and teachers of its training.
MERT_BESIDES = (
    r"masked_spec_embed$",
    r"feature_extractor_cqt\.",
    r"(encoder_cqt_model|encoder_mel_model|final_proj)\.",
    r"label_embs_concat$",
)

NEEDED = (
    "conv_dim",
    "conv_kernel",
    "conv_stride",
    "conv_bias",
    "feat_extract_norm",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "layer_norm_eps",
    "do_stable_layer_norm",
)


def is_mert(published: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is of a published MERT; the first ones call themselves HuBERT."""
    named = {published.get("model_type"), *(published.get("architectures") or ())}
    return not named.isdisjoint({"mert_model", "MERTModel", "hubert", "HubertModel"})


def mert_config(published: Mapping[str, Any], preprocessor: Mapping[str, Any] | None = None) -> MERTConfig:
    """Our configuration for a published MERT.

    Args:
        published: its ``config.json``.
        preprocessor: its ``preprocessor_config.json``, if it has one: says whether clips are standardised,
            and the sample rate. Without it they are not.

    Raises:
        ValueError: a setting that the published weights never have and that we do not build.
    """
    _refuse_unknown(published)
    preprocessor = preprocessor or {}
    sample_rate = preprocessor.get("sampling_rate", published.get("sample_rate"))
    if sample_rate is None:
        raise ValueError(
            "Neither config.json nor preprocessor_config.json states the sample rate. Fetch the latter too."
        )
    n_bins = published.get("feature_extractor_cqt_bins")
    return MERTConfig(
        sample_rate=sample_rate,
        normalize=preprocessor.get("do_normalize", bool(preprocessor)),  # where it is not stated, it is done
        convolutions=WaveformConvolutionsConfig(
            n_channels=published["conv_dim"][0],
            kernels=tuple(published["conv_kernel"]),
            strides=tuple(published["conv_stride"]),
            norm="time" if published["feat_extract_norm"] == "group" else "channels",
            has_bias=published["conv_bias"],
        ),
        constant_q=None
        if n_bins is None or not published.get("feature_extractor_cqt")
        else ConstantQConfig(
            sample_rate=sample_rate,
            hop_length=sample_rate // 50,
            n_bins=n_bins,
            bins_per_octave=n_bins // 7,
        ),
        transformer=_transformer(published),
        **_present(published, {"projection_dropout": "feat_proj_dropout"}),
    )


def mert_weights(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published MERT encoder under our names.

    Raises:
        ValueError: names that no published MERT has, all of them listed.
    """
    return renamed(published, MERT_NAMES, MERT_BESIDES, "MERT")


def _transformer(published: Mapping[str, Any]) -> TransformerConfig:
    """``attention_relax`` is left out: it changes no value, and the published program never applies it."""
    after: Literal["after", "deep"] = "deep" if published.get("deepnorm") else "after"
    dropouts = {
        "dropout": "hidden_dropout",
        "attention_dropout": "attention_dropout",
        "activation_dropout": "activation_dropout",
    }
    return TransformerConfig(
        n_layers=published["num_hidden_layers"],
        dim=published["hidden_size"],
        feed_forward_dim=published["intermediate_size"],
        n_heads=published["num_attention_heads"],
        position_kernel_frames=published["num_conv_pos_embeddings"],
        position_groups=published["num_conv_pos_embedding_groups"],
        norm="before" if published["do_stable_layer_norm"] else after,
        norm_eps=published["layer_norm_eps"],
        **_present(published, dropouts),
    )


def _present(published: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a file states, by our names; for the others our defaults hold."""
    return {ours: published[theirs] for ours, theirs in names.items() if theirs in published}


def _refuse_unknown(published: Mapping[str, Any]) -> None:
    missing = [name for name in NEEDED if name not in published]
    if missing:
        raise ValueError(f"config.json lacks {', '.join(missing)}. Fetch it again from where it came.")
    expected = {
        "hidden_act": ("gelu",),
        "feat_extract_activation": ("gelu",),
        "feat_extract_norm": ("group", "layer"),
        "feat_proj_layer_norm": (True,),
        "conv_pos_batch_norm": (False,),
    }
    problems = [
        f"{name} is {published[name]!r}, known: {' or '.join(repr(value) for value in known)}"
        for name, known in expected.items()
        if name in published and published[name] not in known
    ]
    if len(set(published["conv_dim"])) > 1:
        problems.append(f"conv_dim is {published['conv_dim']}, known: one width for all")
    if published["do_stable_layer_norm"] and published.get("deepnorm"):
        problems.append("deepnorm and do_stable_layer_norm are both true, known: one of them")
    if problems:
        raise ValueError(f"No published MERT has these settings of config.json: {'; '.join(problems)}.")

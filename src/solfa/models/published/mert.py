"""MERT as it is published: names and settings <-> ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from solfa.errors import ArgumentError
from solfa.features import ConstantQConfig
from solfa.models.folders import PREPROCESSOR, read_preprocessor
from solfa.models.layers.transformer import TransformerConfig
from solfa.models.layers.waveform import WaveformConvolutionsConfig
from solfa.models.mert import MERT, MERTConfig
from solfa.models.published.format import Besides, Checkpoint, ProbedLayer, WritableFormat
from solfa.models.published.names import Names, inverted, renamed

_LAYER = "encoder.layers.*."

MERT_NAMES: Names = (
    ("feature_extractor.conv_layers.*.conv.", "frontend.convolutions.blocks.*.convolution."),
    ("feature_extractor.conv_layers.*.layer_norm.", "frontend.convolutions.blocks.*.norm."),
    ("feature_projection.layer_norm.", "frontend.norm."),
    ("feature_projection.projection.", "frontend.projection."),
    # Weight normalisation has two spellings; files made before PyTorch 2.1 have the second.
    ("encoder.pos_conv_embed.conv.parametrizations.weight.original0", "context.positions.length"),
    ("encoder.pos_conv_embed.conv.parametrizations.weight.original1", "context.positions.direction"),
    ("encoder.pos_conv_embed.conv.weight_g", "context.positions.length"),
    ("encoder.pos_conv_embed.conv.weight_v", "context.positions.direction"),
    ("encoder.pos_conv_embed.conv.bias", "context.positions.bias"),
    ("encoder.layer_norm.", "context.norm."),
    (_LAYER + "attention.q_proj.", "context.layers.*.attention.query."),
    (_LAYER + "attention.k_proj.", "context.layers.*.attention.key."),
    (_LAYER + "attention.v_proj.", "context.layers.*.attention.value."),
    (_LAYER + "attention.out_proj.", "context.layers.*.attention.out."),
    (_LAYER + "layer_norm.", "context.layers.*.attention_norm."),
    (_LAYER + "feed_forward.intermediate_dense.", "context.layers.*.feed_forward.widen."),
    (_LAYER + "feed_forward.output_dense.", "context.layers.*.feed_forward.narrow."),
    (_LAYER + "final_layer_norm.", "context.layers.*.feed_forward_norm."),
)

# Tensors of published files that are no part of the encoder: the vector that hides frames in training, fixed
# constant-Q kernels (ours are computed), and heads and teachers of its training.
MERT_BESIDES = (
    r"masked_spec_embed$",
    r"feature_extractor_cqt\.",
    r"(encoder_cqt_model|encoder_mel_model|final_proj)\.",
    r"label_embs_concat$",
)

HUBERT = {"model_type": "hubert", "architectures": ["HubertModel"]}
# What HuBERT lacks, deepnorm and constant-Q frames, only the published program knows; it stays on the hub.
REMOTE = {
    "model_type": "mert_model",
    "architectures": ["MERTModel"],
    "auto_map": {
        "AutoConfig": "m-a-p/MERT-v1-95M--configuration_MERT.MERTConfig",
        "AutoModel": "m-a-p/MERT-v1-95M--modeling_MERT.MERTModel",
    },
}

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
        raise ArgumentError(
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


def published_mert_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of our MERT encoder under their published names."""
    return renamed(weights, inverted(MERT_NAMES), (), "solfa MERT")


def mert_settings(config: MERTConfig) -> dict[str, Any]:
    """The ``config.json`` of a published MERT: what ``mert_config`` turns into ``config``.

    A model that is a plain HuBERT calls itself so: any transformers reads it, without remote code.
    """
    convolutions, transformer, constant_q = config.convolutions, config.transformer, config.constant_q
    is_hubert = constant_q is None and transformer.norm != "deep"
    return {
        **(HUBERT if is_hubert else REMOTE),
        "sample_rate": config.sample_rate,
        "conv_dim": [convolutions.n_channels] * len(convolutions.kernels),
        "conv_kernel": list(convolutions.kernels),
        "conv_stride": list(convolutions.strides),
        "conv_bias": convolutions.has_bias,
        "feat_extract_norm": "group" if convolutions.norm == "time" else "layer",
        "feat_extract_activation": "gelu",
        "feat_proj_layer_norm": True,
        "feat_proj_dropout": config.projection_dropout,
        "feature_extractor_cqt": constant_q is not None,
        "feature_extractor_cqt_bins": 336 if constant_q is None else constant_q.n_bins,
        "hidden_size": transformer.dim,
        "intermediate_size": transformer.feed_forward_dim,
        "num_hidden_layers": transformer.n_layers,
        "num_attention_heads": transformer.n_heads,
        "num_conv_pos_embeddings": transformer.position_kernel_frames,
        "num_conv_pos_embedding_groups": transformer.position_groups,
        "conv_pos_batch_norm": False,
        "hidden_act": "gelu",
        "layer_norm_eps": transformer.norm_eps,
        "do_stable_layer_norm": transformer.norm == "before",
        "deepnorm": transformer.norm == "deep",
        "attention_relax": -1.0 if transformer.attention_relax is None else transformer.attention_relax,
        "hidden_dropout": transformer.dropout,
        "attention_dropout": transformer.attention_dropout,
        "activation_dropout": transformer.activation_dropout,
        "layerdrop": 0.0,
        "mask_time_prob": 0.0,  # there is no vector to hide frames with
        # transformers 5 would give the last hidden state without the final normalisation.
        "tie_last_hidden_states": True,
    }


def mert_preprocessor(config: MERTConfig) -> dict[str, Any]:
    """The ``preprocessor_config.json`` that ``mert_config`` reads, and that transformers reads."""
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "sampling_rate": config.sample_rate,
        "do_normalize": config.normalize,
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": True,
    }


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
        raise ArgumentError(f"config.json lacks {', '.join(missing)}. Fetch it again from where it came.")
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
        raise ArgumentError(f"No published MERT has these settings of config.json: {'; '.join(problems)}.")


MASK_TIME_PROB = 0.05  # of the published files: how much is hidden in fine-tuning, not in pre-training
READ_BY_HUBERT = 'from transformers import AutoModel\n\nmodel = AutoModel.from_pretrained("{folder}").eval()'
NC = "CC-BY-NC-4.0"


class MERTFormat(WritableFormat):
    """MERT: ``config.json`` and ``preprocessor_config.json``, which transformers reads."""

    model = MERT
    besides = MERT_BESIDES
    unwritten = ("default_layer", "transformer.attention_relax")
    # The defaults of the probes that MARBLE ships: v1 is the code behind its published tables, v2 its
    # successor. No search of layers comes with v2, so another layer may serve other data better.
    checkpoints = {
        "m-a-p/MERT-v1-95M": Checkpoint(
            NC,
            380_000_000,
            ("mert", 12, 768, 24_000),
            (
                ProbedLayer("key", 8, "MARBLE v1, GiantSteps; v2, GiantSteps and HookTheory"),
                ProbedLayer("genre", 7, "MARBLE v1 and v2, GTZAN"),
                ProbedLayer("emotion", 5, "MARBLE v1 and v2, EmoMusic"),
                ProbedLayer("instrument", 6, "MARBLE v1, NSynth"),
                ProbedLayer("pitch", 1, "MARBLE v1, NSynth"),
                ProbedLayer("singer", 2, "MARBLE v1, VocalSet"),
                ProbedLayer("technique", 9, "MARBLE v1, VocalSet"),
                ProbedLayer("genre-tags", 6, "MARBLE v1 and v2, MTG-Jamendo"),
                ProbedLayer("instrument-tags", 6, "MARBLE v1 and v2, MTG-Jamendo"),
                ProbedLayer("mood-tags", 6, "MARBLE v1 and v2, MTG-Jamendo"),
                ProbedLayer(
                    "tagging", None, "MARBLE v1 and v2, MagnaTagATune; v2, MTG-Jamendo top 50 (v1: 6)"
                ),
                ProbedLayer("beat", None, "MARBLE v2, GTZAN"),
                ProbedLayer("chords", None, "MARBLE v2, Chords1217"),
            ),
        ),
        "m-a-p/MERT-v1-330M": Checkpoint(
            NC, 1_260_000_000, ("mert", 24, 1024, 24_000), (ProbedLayer("genre", 10, "MARBLE v1, GTZAN"),)
        ),
        "m-a-p/MERT-v0": Checkpoint(NC, 380_000_000, ("mert", 12, 768, 16_000)),
        "m-a-p/MERT-v0-public": Checkpoint(NC, 380_000_000, ("mert", 12, 768, 16_000)),
    }

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """As ``is_mert``."""
        return is_mert(values)

    def config(self, folder: Path, values: Mapping[str, Any]) -> MERTConfig:
        """As ``mert_config``."""
        return mert_config(values, read_preprocessor(folder))

    def weights(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As ``mert_weights``."""
        return mert_weights(published)

    def build(self, config: Any, licence: str, folder: Path, weights: Mapping[str, Tensor]) -> MERT:
        """A MERT."""
        return MERT(config, licence)

    def settings(self, config: MERTConfig) -> dict[str, Any]:
        """As ``mert_settings``."""
        return mert_settings(config)

    def files(self, config: MERTConfig) -> dict[str, dict[str, Any]]:
        """Its sample rate, and whether clips are standardised."""
        return {PREPROCESSOR: mert_preprocessor(config)}

    def read_back(self, settings: Mapping[str, Any], config: MERTConfig) -> MERTConfig:
        """As ``mert_config``."""
        return mert_config(settings, mert_preprocessor(config))

    def published_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As ``published_mert_weights``."""
        return published_mert_weights(weights)

    def besides_of_run(
        self, config: MERTConfig, objective: Mapping[str, Any], weights: Mapping[str, Tensor]
    ) -> Besides:
        """The vector that hides frames."""
        vector = weights.get("masking.vector")
        if vector is None:
            return Besides()
        return Besides({"mask_time_prob": MASK_TIME_PROB}, {"masked_spec_embed": vector})

    def reader(self, settings: Mapping[str, Any]) -> tuple[str, str]:
        """Transformers, or the program beside the published weights where HuBERT is not enough."""
        if settings.get("model_type") == "hubert":
            return "transformers", READ_BY_HUBERT
        return "MERT's own", READ_BY_HUBERT.replace('")', '", trust_remote_code=True)')

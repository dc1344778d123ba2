"""MuQ as it is published: names and settings <-> ours."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa.errors import ArgumentError
from solfa.features import LogMelConfig
from solfa.models.layers.conformer import ConformerConfig
from solfa.models.layers.convolution import ConvStemConfig
from solfa.models.muq import MuQ, MuQConfig
from solfa.models.published.format import Besides, Checkpoint, ProbedLayer, WritableFormat
from solfa.models.published.muq_training import besides_of_run, never_used
from solfa.models.published.names import Names, inverted, renamed

MUQ_NAMES: Names = (
    ("model.conv.conv.*.conv1.", "frontend.stem.blocks.*.conv_in."),
    ("model.conv.conv.*.bn1.", "frontend.stem.blocks.*.norm_in."),
    ("model.conv.conv.*.conv2.", "frontend.stem.blocks.*.conv_out."),
    ("model.conv.conv.*.bn2.", "frontend.stem.blocks.*.norm_out."),
    ("model.conv.conv.*.conv3.", "frontend.stem.blocks.*.conv_skip."),
    ("model.conv.conv.*.bn3.", "frontend.stem.blocks.*.norm_skip."),
    ("model.conv.linear.", "frontend.stem.projection."),
    ("model.conformer.layer_norm.", "context.norm."),
    ("model.conformer.layers.*.ffn1_layer_norm.", "context.layers.*.feed_forward_in.norm."),
    (
        "model.conformer.layers.*.ffn1.intermediate_dense.",
        "context.layers.*.feed_forward_in.widen.",
    ),
    ("model.conformer.layers.*.ffn1.output_dense.", "context.layers.*.feed_forward_in.narrow."),
    ("model.conformer.layers.*.self_attn_layer_norm.", "context.layers.*.attention.norm."),
    ("model.conformer.layers.*.self_attn.linear_q.", "context.layers.*.attention.query."),
    ("model.conformer.layers.*.self_attn.linear_k.", "context.layers.*.attention.key."),
    ("model.conformer.layers.*.self_attn.linear_v.", "context.layers.*.attention.value."),
    ("model.conformer.layers.*.self_attn.linear_out.", "context.layers.*.attention.out."),
    ("model.conformer.layers.*.conv_module.layer_norm.", "context.layers.*.convolution.norm."),
    (
        "model.conformer.layers.*.conv_module.pointwise_conv1.",
        "context.layers.*.convolution.gated.",
    ),
    (
        "model.conformer.layers.*.conv_module.depthwise_conv.",
        "context.layers.*.convolution.depthwise.",
    ),
    (
        "model.conformer.layers.*.conv_module.batch_norm.",
        "context.layers.*.convolution.batch_norm.",
    ),
    (
        "model.conformer.layers.*.conv_module.pointwise_conv2.",
        "context.layers.*.convolution.mix.",
    ),
    ("model.conformer.layers.*.ffn2_layer_norm.", "context.layers.*.feed_forward_out.norm."),
    (
        "model.conformer.layers.*.ffn2.intermediate_dense.",
        "context.layers.*.feed_forward_out.widen.",
    ),
    ("model.conformer.layers.*.ffn2.output_dense.", "context.layers.*.feed_forward_out.narrow."),
    ("model.conformer.layers.*.final_layer_norm.", "context.layers.*.norm."),
)

# Parts of the published files that are no part of the encoder: heads and targets of its training (load a
# target with solfa.targets.load_quantizer), and tensors that the published program makes but never uses.
MUQ_BESIDES = (
    r"model\.(linear|recon_proj|cls_token|rvq|quantizer_melspec_2048)\b",
    r"model\.conformer\.(pos_conv_embed|embed_positions)\.",
)
POINTWISE = re.compile(r"context\.layers\.\d+\.convolution\.(gated|mix)\.")


def muq_config(published: Mapping[str, Any]) -> MuQConfig:
    """Our configuration for the ``config.json`` of a published MuQ.

    Raises:
        ValueError: a setting that the published weights never have and that we do not build.
    """
    _refuse_unknown(published)
    inner = published["w2v2_config"]
    sample_rate, hop_length = 24_000, published["hop_length"]
    stride = round(sample_rate / hop_length / published["label_rate"])
    if stride not in (2, 4):
        raise ArgumentError(
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


def muq_settings(config: MuQConfig) -> dict[str, Any]:
    """The ``config.json`` of a published MuQ without targets: what ``muq_config`` turns into ``config``."""
    conformer = config.conformer
    dropouts = ("activation_dropout", "attention_dropout", "conformer_conv_dropout", "hidden_dropout")
    return {
        "label_rate": 100 // math.prod(config.stem.time_strides),  # of mel frames every 10 ms
        "features": [],  # to make targets of
        "codebook_size": 0,  # of the head
        "hop_length": config.mel.hop_length,
        "n_mels": config.mel.n_mels,
        "conv_dim": config.stem.n_channels,
        "encoder_dim": conformer.dim,
        "encoder_depth": conformer.n_layers,
        "is_flash": False,
        "stat": {"melspec_2048_mean": config.mel.mean_db, "melspec_2048_std": config.mel.std_db},
        "w2v2_config": {
            **dict.fromkeys(dropouts, conformer.dropout),
            "layerdrop": 0.0,
            "conv_depthwise_kernel_size": conformer.kernel_frames,
            "feat_extract_activation": "gelu",
            "hidden_act": "swish",
            "hidden_size": conformer.dim,
            "intermediate_size": conformer.feed_forward_dim,
            "layer_norm_eps": conformer.norm_eps,
            "max_source_positions": 5000,
            "num_attention_heads": conformer.n_heads,
            "num_conv_pos_embeddings": 128,  # of a part that the official program makes and never uses
            "num_conv_pos_embedding_groups": math.gcd(16, conformer.dim),
            "num_hidden_layers": conformer.n_layers,
            "position_embeddings_type": "rotary",
            "rotary_embedding_base": conformer.rotary_base,
        },
    }


def _refuse_unknown(published: Mapping[str, Any]) -> None:
    settings = {**published["w2v2_config"], **published}
    expected: dict[str, Any] = {
        "position_embeddings_type": "rotary",
        "hidden_act": "swish",
        # Whatever its config.json says, the official program computes with these.
        "hop_length": 240,
        "n_mels": 128,
        "layer_norm_eps": 1e-5,
    }
    problems = [
        f"{name} is {settings.get(name)!r}, known: {known!r}"
        for name, known in expected.items()
        if settings.get(name) != known
    ]
    if problems:
        raise ArgumentError(f"No published MuQ has these settings of config.json: {'; '.join(problems)}.")


def muq_weights(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published MuQ encoder under our names and in our shapes.

    Raises:
        ValueError: names that no published MuQ has, all of them listed.
    """
    weights = renamed(published, MUQ_NAMES, MUQ_BESIDES, "MuQ")
    # A pointwise convolution is a linear map: (out, in, 1) -> (out, in).
    return {name: w[..., 0] if POINTWISE.match(name) else w for name, w in weights.items()}


def published_muq_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of our MuQ encoder under their published names and in their shapes."""
    shaped = {name: w[..., None] if POINTWISE.match(name) else w for name, w in weights.items()}
    return renamed(shaped, inverted(MUQ_NAMES), (), "solfa MuQ")


class MuQFormat(WritableFormat):
    """MuQ: ``config.json`` with ``w2v2_config``, which ``muq.MuQ`` reads."""

    model = MuQ
    besides = MUQ_BESIDES
    # The defaults of the probe that MARBLE v2 ships; no search of layers comes with it.
    checkpoints = {
        "OpenMuQ/MuQ-large-msd-iter": Checkpoint(
            "CC-BY-NC-4.0",
            1_330_000_000,
            ("muq", 12, 1024, 24_000),
            (
                ProbedLayer("genre", 6, "MARBLE v2, GTZAN"),
                ProbedLayer("emotion", 6, "MARBLE v2, EmoMusic"),
                ProbedLayer("key", None, "MARBLE v2, GiantSteps"),
                ProbedLayer("tagging", None, "MARBLE v2, MagnaTagATune"),
                ProbedLayer("beat", None, "MARBLE v2, GTZAN"),
            ),
        )
    }

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether a ``config.json`` is of a published MuQ."""
        return "w2v2_config" in values

    def config(self, folder: Path, values: Mapping[str, Any]) -> MuQConfig:
        """As ``muq_config``."""
        return muq_config(values)

    def weights(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As ``muq_weights``."""
        return muq_weights(published)

    def build(self, config: Any, licence: str, folder: Path, weights: Mapping[str, Tensor]) -> MuQ:
        """A MuQ."""
        return MuQ(config, licence)

    def settings(self, config: MuQConfig) -> dict[str, Any]:
        """As ``muq_settings``."""
        return muq_settings(config)

    def read_back(self, settings: Mapping[str, Any], config: MuQConfig) -> MuQConfig:
        """As ``muq_config``."""
        return muq_config(settings)

    def published_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As ``published_muq_weights``."""
        return published_muq_weights(weights)

    def never_used(self, config: MuQConfig, settings: Mapping[str, Any]) -> dict[str, Tensor]:
        """A class token, a head, positions: fixed or zero."""
        return never_used(config, settings)

    def besides_of_run(
        self, config: MuQConfig, objective: Mapping[str, Any], weights: Mapping[str, Tensor]
    ) -> Besides:
        """Head, quantizer and masking."""
        return besides_of_run(config, objective, weights)

    def reader(self, settings: Mapping[str, Any]) -> tuple[str, str]:
        """The package ``muq``."""
        return "muq 0.1.0", 'from muq import MuQ\n\nmodel = MuQ.from_pretrained("{folder}").eval()'

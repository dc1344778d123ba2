"""MuQ-MuLan as it is published: names and settings -> ours."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from solfa import checkpoint, runs
from solfa.errors import ArgumentError
from solfa.models.folders import language_model, part_folder
from solfa.models.layers.gated_transformer import GatedTransformerConfig
from solfa.models.mulan import AudioTowerConfig, MuLan, MuLanClipsConfig, MuLanConfig, TextTowerConfig
from solfa.models.packaged import FILES
from solfa.models.published.format import Checkpoint, Format
from solfa.models.published.muq import muq_config, muq_weights
from solfa.models.published.names import Names, renamed

_TOWER = "mulan.*."
_LAYER = _TOWER + "transformer.layers.*."
AUDIO_MODEL = "mulan.audio.model."

MULAN_NAMES: Names = (
    ("mulan.text.model.", "text.language.model."),
    (_TOWER + "proj.", "*.projection."),
    ("mulan.*_to_latents.", "*.to_shared."),
    (_LAYER + "0.norm.learned_gamma", "*.transformer.layers.*.attention.norm.weight"),
    (_LAYER + "0.to_q.", "*.transformer.layers.*.attention.query."),
    (_LAYER + "0.to_kv.", "*.transformer.layers.*.attention.key_value."),
    (_LAYER + "0.q_scale", "*.transformer.layers.*.attention.query_scale"),
    (_LAYER + "0.k_scale", "*.transformer.layers.*.attention.key_scale"),
    (_LAYER + "0.to_out.0.", "*.transformer.layers.*.attention.out."),
    (_LAYER + "1.0.learned_gamma", "*.transformer.layers.*.feed_forward.norm.weight"),
    (_LAYER + "1.1.", "*.transformer.layers.*.feed_forward.widen."),
    (_LAYER + "1.4.", "*.transformer.layers.*.feed_forward.narrow."),
)

# Tensors of the published file that no embedding needs: a mix of layers that is never used, the temperatures
# of its training, and positions that older versions of transformers wrote out.
MULAN_BESIDES = (
    r"mulan\.audio\.aggregator\.",
    r"mulan\.(contrast|multi_layer_contrastive_learning)\.",
    r"mulan\.text\.model\.embeddings\.position_ids$",
)


def mulan_config(published: Mapping[str, Any], audio: Mapping[str, Any]) -> MuLanConfig:
    """Our configuration for a published MuQ-MuLan.

    Args:
        published: its ``config.json``.
        audio: the ``config.json`` of the MuQ that it stands on.

    Raises:
        ValueError: a setting that the published weights never have and that we do not build.
    """
    encoder, text = muq_config(audio), published["text_model"]
    problems = []
    if published["mulan"]["sr"] != encoder.grid.sample_rate:
        problems.append(f"mulan.sr {published['mulan']['sr']}, while its MuQ has {encoder.grid.sample_rate}")
    if text.get("use_layer_idx", -1) != -1:
        problems.append(f"text_model.use_layer_idx {text['use_layer_idx']}, known: -1")
    if published["audio_model"].get("model_dim", encoder.conformer.dim) != encoder.conformer.dim:
        problems.append(
            f"audio_model.model_dim {published['audio_model']['model_dim']}, while its MuQ has "
            f"{encoder.conformer.dim}"
        )
    if problems:
        raise ArgumentError(
            f"No published MuQ-MuLan has these settings of config.json: {'; '.join(problems)}."
        )
    above_text = _transformer(published["text_transformer"])
    return MuLanConfig(
        audio=AudioTowerConfig(
            encoder=encoder,
            layer=published["audio_model"]["use_layer_idx"],
            transformer=_transformer(published["audio_transformer"]),
        ),
        text=TextTowerConfig(model_dim=text.get("model_dim") or above_text.dim, transformer=above_text),
        dim=published["mulan"]["dim_latent"],
        clips=MuLanClipsConfig(seconds=float(published["mulan"]["clip_secs"])),
    )


def mulan_weights(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a published MuQ-MuLan under our names.

    Raises:
        ValueError: names that no published MuQ-MuLan has, all of them listed.
    """
    inner = {name[len(AUDIO_MODEL) :]: w for name, w in published.items() if name.startswith(AUDIO_MODEL)}
    weights = {f"audio.encoder.{name}": tensor for name, tensor in muq_weights(inner).items()}
    rest = {name: w for name, w in published.items() if not name.startswith(AUDIO_MODEL)}
    return weights | renamed(rest, MULAN_NAMES, MULAN_BESIDES, "MuQ-MuLan")


def _transformer(published: Mapping[str, Any]) -> GatedTransformerConfig:
    return GatedTransformerConfig(
        n_layers=published["tf_depth"],
        dim=published["dim"],
        n_heads=published["heads"],
        head_dim=published["dim_head"],
        widening=published["ff_mult"],
        attention_dropout=published["attn_dropout"],
        feed_forward_dropout=published["ff_dropout"],
    )


class MuLanFormat(Format):
    """MuQ-MuLan: its MuQ and its language model lie inside its folder, or on the hub."""

    model = MuLan
    checkpoints = {"OpenMuQ/MuQ-MuLan-large": Checkpoint("CC-BY-NC-4.0", 2_600_000_000)}

    def recognises(self, values: Mapping[str, Any]) -> bool:
        """Whether a ``config.json`` is of a published MuQ-MuLan."""
        return {"mulan", "audio_model", "text_model"} <= values.keys()

    def config(self, folder: Path, values: Mapping[str, Any]) -> MuLanConfig:
        """As ``mulan_config``; the settings of its MuQ are fetched unless they are there."""
        if "muq_config" in values:
            return mulan_config(values, values["muq_config"])
        audio = part_folder(folder, values["audio_model"]["name"], [checkpoint.CONFIG])
        return mulan_config(values, runs.read_values(audio))

    def weights(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """As ``mulan_weights``."""
        return mulan_weights(published)

    def build(self, config: Any, licence: str, folder: Path, weights: Mapping[str, Tensor]) -> MuLan:
        """A MuLan whose language model is read from its own folder."""
        values = runs.read_values(folder)
        text = part_folder(folder, values["text_model"]["name"], list(FILES))
        return MuLan(config, language_model(text, weights), licence)

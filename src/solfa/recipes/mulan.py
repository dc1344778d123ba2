"""MuLan: music and words in one space, in three sizes."""

from solfa.config import override
from solfa.data.captions import CaptionsConfig, FactTextsConfig
from solfa.data.clips import ClipsConfig
from solfa.models import (
    AudioTowerConfig,
    GatedTransformerConfig,
    MuLanClipsConfig,
    MuLanConfig,
    SolfaSmallConfig,
    TextTowerConfig,
)
from solfa.models.layers.adapters import PooledAdapterConfig, ResidualAdapterConfig
from solfa.objectives import MusicTextConfig
from solfa.objectives.contrastive import SigmoidLossConfig
from solfa.recipes.muq import muq_tiny
from solfa.training import AdamWConfig, RunConfig


def mulan_large() -> RunConfig:
    """MuQ-MuLan-large: MuQ-large, XLM-R as it is, a transformer of 8 layers on it; figures as published.

    768 pairs are compared with each other, and ten such comparisons make a step. Published are 49 English and
    50 Chinese sentences around tags; ours are others. Not published: number of steps, dropout of tags.

    Command:  torchrun --nproc-per-node 32 -m solfa train mulan_large --set data.manifest=captions.jsonl
              --out runs/mulan_large
    Takes:    untested here; published: 1 to 2 days on 32 GPUs
    Reaches:  untested here
    """
    return RunConfig(
        objective=MusicTextConfig(start="OpenMuQ/MuQ-large-msd-iter", language="FacebookAI/xlm-roberta-base"),
        data=ClipsConfig(
            clip_seconds=10.0,
            clips_per_step=7_680,
            captions=CaptionsConfig(languages=("en", "zh")),
        ),
        optim=AdamWConfig(lr=1e-4, decay="constant", betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0),
        n_steps=20_000,
        max_gradient_norm=0.5,
        precision="float16",
    )


def mulan_small() -> RunConfig:
    """A small MuQ and the sentences of MiniLM, for one or two CPU cores: English only.

    Departs from the paper, having hours where that had years: clips of 5 s, the encoder learns a third as
    fast as what stands on it, texts are heard as whole sentences, and one that is trained on many of them
    needs no layers of its own. ``--set objective.audio_rate=0`` leaves the encoder as it is, several times
    as fast.

    Command:  solfa train mulan_small --set data.manifest=captions.jsonl --set objective.start=runs/muq_small
              --out runs/mulan_small
    Takes:    63 minutes on one core: 51 h of audio
    Reaches:  zero-shot ROC-AUC on the free benchmark 0.72 (tempo words), 0.68 (style), 0.65 (instruments); of
              80 unheard renderings 36 % of captions find theirs among the first ten (chance 14 %); of unheard
              recordings no better than chance (docs/experiments.md)
    """
    return RunConfig(
        objective=MusicTextConfig(
            mulan=MuLanConfig(
                audio=AudioTowerConfig(transformer=GatedTransformerConfig(n_layers=1, dim=256, n_heads=4)),
                text=TextTowerConfig(
                    model_dim=384, reads="sentence", transformer=GatedTransformerConfig(n_layers=0, dim=384)
                ),
                dim=256,
                clips=MuLanClipsConfig(seconds=5.0, last="end"),
            ),
            audio_rate=0.3,
            pairs_together=32,
        ),
        data=ClipsConfig(clip_seconds=5.0, clips_per_step=32, turns="one_each", captions=CaptionsConfig()),
        optim=AdamWConfig(lr=1e-3, warmup_steps=100, betas=(0.9, 0.99), weight_decay=0.05),
        n_steps=1_150,
        max_gradient_norm=1.0,
        log_every=10,
        validate_every=100,
        checkpoint_every=50,
    )


def mulan_adapters() -> RunConfig:
    """Two small adapters on a frozen encoder's stored vectors and on MiniLM's sentences, from facts in words.

    Texts are drawn from facts, and fit every excerpt as far as its facts go, not only their own; texts with
    one fact turned into its contrary are told to be wrong. A step compares a thousand pairs in a second.

    Command:  solfa data hear music/train.jsonl --out heard
              solfa data pool heard/excerpts.jsonl --model runs/solfa_small --layer 0 --layer 4 --layer 7
              --out pooled
              solfa train mulan_adapters --set data.manifest=heard/excerpts.jsonl --set data.pooled=pooled
              --set objective.start=runs/solfa_small --set objective.mulan.audio.pooled.layers=[0,4,7]
              --out runs/words
    Takes:    untested
    Reaches:  untested
    """
    return RunConfig(
        objective=MusicTextConfig(
            mulan=MuLanConfig(
                audio=AudioTowerConfig(
                    encoder=SolfaSmallConfig(), transformer=None, pooled=PooledAdapterConfig()
                ),
                text=TextTowerConfig(
                    model_dim=384, reads="sentence", transformer=None, adapter=ResidualAdapterConfig()
                ),
                dim=256,
                clips=MuLanClipsConfig(seconds=10.0, last="end"),
            ),
            loss=SigmoidLossConfig(start_bias=-5.0),
            audio_rate=0.0,
            pairs_together=1024,
        ),
        data=ClipsConfig(
            clip_seconds=10.0,
            clips_per_step=1024,
            n_valid_clips=512,
            turns="one_each",
            captions=CaptionsConfig(
                fields=("genre", "style", "mood", "theme", "instrument", "scene", "tempo", "mode", "loudness",
                        "brightness", "texture", "beat", "drums", "voice", "without"),
                facts=FactTextsConfig(),
            ),
        ),
        optim=AdamWConfig(lr=1e-3, warmup_steps=50, betas=(0.9, 0.99), weight_decay=0.1),
        n_steps=1_000,
        max_gradient_norm=1.0,
        log_every=20,
        validate_every=50,
        checkpoint_every=50,
    )  # fmt: skip


def mulan_tiny() -> RunConfig:
    """The encoder of muq_tiny, from random weights, on clips of 2 s: learns tones in a minute; for tests.

    Command:  solfa train mulan_tiny --set data.manifest=captions.jsonl --out runs/mulan_tiny
    Takes:    untested
    Reaches:  untested
    """
    return override(
        mulan_small(),
        {
            "objective.mulan.audio.encoder": muq_tiny().objective.encoder,  # type: ignore[union-attr]
            "objective.mulan.audio.transformer.n_layers": 0,
            "objective.mulan.audio.transformer.dim": 64,
            "objective.mulan.text.transformer.dim": 64,
            "objective.mulan.dim": 32,
            "objective.audio_rate": 1.0,
            "objective.pairs_together": 8,
            "data.clip_seconds": 2.0,
            "data.clips_per_step": 8,
            "data.n_valid_clips": 16,
            "optim.lr": 3e-3,
            "optim.warmup_steps": 10,
            "n_steps": 100,
            "log_every": 10,
            "validate_every": 50,
            "checkpoint_every": 50,
        },
    )

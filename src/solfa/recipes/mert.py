"""MERT: its encoders in four sizes."""

from solfa.config import override, to_dict
from solfa.data.clips import ClipsConfig
from solfa.features import ConstantQConfig, LogMelConfig
from solfa.models import MERTConfig
from solfa.models.mert2 import MERT2Config
from solfa.objectives import (
    BatchMixingConfig,
    CosineCodeHeadConfig,
    FeaturePenaltyConfig,
    KMeansFitConfig,
    MaskedPredictionConfig,
    PredictionConfig,
    SpanMaskingConfig,
)
from solfa.recipes.muq import mel_rvq, muq_iter2
from solfa.targets import (
    CQTFramesConfig,
    EncodecCodesConfig,
    MelRandomProjectionConfig,
    RandomProjectionConfig,
    ResidualVectorQuantizerConfig,
    RVQVAECodesConfig,
    StackedMelConfig,
)
from solfa.training import AdamWConfig, MuonConfig, RunConfig

MEL_75HZ = StackedMelConfig(mel=LogMelConfig(hop_length=320), n_stacked=1)  # at the frame rate of MERT


def mert_95m() -> RunConfig:
    """MERT-v1-95M, 12 layers of 768 on EnCodec's codes and constant-Q frames: figures as published.

    Departs from the published run: all clips last 5 s, where a batch was cut to its shortest clip of 3 to
    5 s; no layer is left out at random (published: 5 %); products are in bfloat16, there in float16.

    Command:  torchrun --nproc-per-node 8 -m solfa train mert_95m --set data.manifest=tracks.jsonl
              --out runs/mert_95m
    Takes:    untested here; published: 400,000 steps on 64 GPUs
    Reaches:  untested here
    """
    return RunConfig(
        objective=MaskedPredictionConfig(
            encoder=MERTConfig(),
            masking=SpanMaskingConfig(),
            mixing=BatchMixingConfig(),
            feature_penalty=FeaturePenaltyConfig(),
            predictions=(
                PredictionConfig(target=EncodecCodesConfig(), head=CosineCodeHeadConfig()),
                PredictionConfig(target=CQTFramesConfig()),
            ),
        ),
        data=ClipsConfig(clip_seconds=5.0, clips_per_step=1024),
        optim=AdamWConfig(lr=5e-4, warmup_steps=32_000, weight_decay=0.01),
        n_steps=400_000,
        precision="bfloat16",
        checkpoint_every=5_000,
        validate_every=5_000,
    )


def mert_330m() -> RunConfig:
    """MERT-v1-330M, 24 layers of 1024: figures as published; the released weights are those of step 65,000.

    What keeps it stable: normalisation before each part, relaxed attention, shorter gradients, no dropout.
    Departs from the published run as mert_95m does.

    Command:  torchrun --nproc-per-node 8 -m solfa train mert_330m --set data.manifest=tracks.jsonl
              --out runs/mert_330m
    Takes:    untested here; published: 64 GPUs, each taking eight batches to a step
    Reaches:  untested here
    """
    return override(
        mert_95m(),
        {
            "objective.encoder.transformer.n_layers": 24,
            "objective.encoder.transformer.dim": 1024,
            "objective.encoder.transformer.feed_forward_dim": 4096,
            "objective.encoder.transformer.n_heads": 16,
            "objective.encoder.transformer.norm": "before",
            "objective.encoder.transformer.attention_relax": 32.0,
            "objective.encoder.transformer.dropout": 0.0,
            "objective.encoder.transformer.attention_dropout": 0.0,
            "objective.encoder.projection_dropout": 0.0,
            "objective.mixing.max_seconds": 1.5,
            "objective.feature_penalty.gradient_multiplier": 1.0,
            "objective.predictions.0.head.dim": 128,
            "data.clip_seconds": 5.12,
            "data.clips_per_step": 3584,
            "optim.lr": 1.5e-3,
            "max_gradient_norm": 1.0,
        },
    )


def kmeans_v0() -> RunConfig:
    """The acoustic teachers of mert_v0, fitted together: 300 clusters of log-mel, 200 of chroma, at 50 Hz.

    Numbers of clusters and of bins (229, 264) are remembered from the paper, not read in it.

    Command:  solfa train kmeans_v0 --set data.manifest=tracks.jsonl --out runs/kmeans_v0
    Takes:    untested
    Reaches:  untested
    """
    return override(
        kmeans_75hz(),
        {
            "objective.targets.0.features.mel.sample_rate": 16_000,
            "objective.targets.1.features.chroma.sample_rate": 16_000,
        },
    )


def kmeans_75hz() -> RunConfig:
    """The clusters of kmeans_v0 at 24 kHz and 75 Hz, to teach mert_small by.

    Command:  solfa train kmeans_75hz --set data.manifest=tracks.jsonl --out runs/kmeans_75hz
    Takes:    200 s of processor time, validation included
    Reaches:  on held-out tracks 70 % of the variance of log-mel explained and 80 % of chroma; perplexities
              96 and 134 (in training 80 %, 78 %, 193, 147)
    """
    return RunConfig(
        objective=KMeansFitConfig(),
        data=ClipsConfig(clip_seconds=5.0, clips_per_step=64, channel="random"),
        n_steps=40,
        log_every=5,
        validate_every=20,
        checkpoint_every=20,
    )


def mert_v0() -> RunConfig:
    """MERT-v0: the encoder of mert_95m at 16 kHz and 50 Hz, on clusters of log-mel and chroma and constant-Q.

    All else is as in mert_95m: what else the published run did otherwise is not known.

    Command:  torchrun --nproc-per-node 8 -m solfa train mert_v0 --set data.manifest=tracks.jsonl
              --set objective.predictions.0.target.fitted=runs/kmeans_v0
              --set objective.predictions.1.target.fitted=runs/kmeans_v0 --out runs/mert_v0
    Takes:    untested
    Reaches:  untested
    """
    teachers = kmeans_v0().objective
    assert isinstance(teachers, KMeansFitConfig)
    codes = [PredictionConfig(target=target, head=CosineCodeHeadConfig()) for target in teachers.targets]
    notes = PredictionConfig(target=CQTFramesConfig(constant_q=ConstantQConfig(sample_rate=16_000)))
    return override(
        mert_95m(),
        {
            "objective.encoder.sample_rate": 16_000,
            "objective.predictions": [to_dict(prediction) for prediction in (*codes, notes)],
        },
    )


def mel_rvq_75hz() -> RunConfig:
    """A quantizer for MERT's frame rate, fitted to single mel frames: 8 codebooks of 1024.

    Command:  solfa train mel_rvq_75hz --set data.manifest=tracks.jsonl --out runs/mel_rvq_75hz
    Takes:    untested
    Reaches:  untested
    """
    return override(
        mel_rvq(),
        {
            "objective.target.frames": MEL_75HZ,
            "objective.target.quantizer": ResidualVectorQuantizerConfig(dim=MEL_75HZ.dim),
        },
    )


def mert_v2() -> RunConfig:
    """An encoder of MERT-v2's architecture, on stored codes of another encoder's hidden states.

    The published models were trained on codes of layer 7 of MuQ and layer 32 of Qwen2-Audio side by side, for
    which there is neither code nor report. Here one encoder teaches, and masking and schedule are those of
    muq_large. The first three commands of muq_iter2 store the codes, with ``--layer 7`` of MuQ.

    Command:  torchrun --nproc-per-node 8 -m solfa train mert_v2 --set data.manifest=tracks.jsonl
              --set data.codes=codes --out runs/mert_v2
    Takes:    untested here
    Reaches:  untested here
    """
    return override(muq_iter2(), {"objective.encoder": to_dict(MERT2Config())})


def mert_small() -> RunConfig:
    """MERT with 6 layers of 256 and 96 channels, for two CPU cores or one GPU: 5.4 M parameters.

    Departs from the paper: codes are those of an RVQ-VAE that is fitted in half an hour; and Muon,
    normalisation before each part and no dropout make the most of few steps.

    Command:  solfa train mert_small --set data.manifest=train.jsonl
              --set objective.predictions.0.target.fitted=runs/rvq_vae --out runs/mert_small
    Takes:    1,250 of its steps: 75 minutes on one busy core (docs/experiments.md)
    Reaches:  after these, on other tracks, 2.3 % of the first codebook and 0.7 % of all (commonest 0.4 %),
              constant-Q frames 3.4 % better than their mean
    """
    return override(
        mert_95m(),
        {
            "objective.encoder.convolutions.n_channels": 96,
            "objective.encoder.transformer.n_layers": 6,
            "objective.encoder.transformer.dim": 256,
            "objective.encoder.transformer.feed_forward_dim": 1024,
            "objective.encoder.transformer.n_heads": 4,
            "objective.encoder.transformer.norm": "before",
            "objective.encoder.transformer.dropout": 0.0,
            "objective.encoder.transformer.attention_dropout": 0.0,
            "objective.encoder.projection_dropout": 0.0,
            "objective.predictions.0.target": RVQVAECodesConfig(),
            "objective.predictions.0.head.initial_size": 0.05,
            "data.clips_per_step": 6,
            "optim": MuonConfig(lr=2e-3, adam_lr=5e-4, warmup_steps=100),
            "n_steps": 5_000,
            "log_every": 20,
            "validate_every": 500,
            "checkpoint_every": 250,
        },
    )


def mert_tiny() -> RunConfig:
    """MERT with 2 layers of 64 on codes of a random projection and semitones: nothing to fit or fetch.

    Command:  solfa train mert_tiny --set data.manifest=tracks.jsonl --out runs/mert_tiny
    Takes:    untested
    Reaches:  untested
    """
    quantizer = RandomProjectionConfig(dim=MEL_75HZ.dim, codebook_size=1024)
    return override(
        mert_small(),
        {
            "objective.encoder.convolutions.n_channels": 32,
            "objective.encoder.transformer.n_layers": 2,
            "objective.encoder.transformer.dim": 64,
            "objective.encoder.transformer.feed_forward_dim": 256,
            "objective.encoder.transformer.n_heads": 2,
            "objective.predictions.0.target": MelRandomProjectionConfig(frames=MEL_75HZ, quantizer=quantizer),
            "objective.predictions.0.head.dim": 16,
            "objective.predictions.1.target.constant_q.n_bins": 84,
            "objective.predictions.1.target.constant_q.bins_per_octave": 12,
            "data.clip_seconds": 2.0,
            "data.clips_per_step": 8,
            "optim": AdamWConfig(lr=2e-3, warmup_steps=20),
            "n_steps": 200,
            "log_every": 10,
            "validate_every": 100,
            "checkpoint_every": 100,
        },
    )

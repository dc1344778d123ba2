"""MuQ: its quantizers, its encoders in four sizes, and their second iteration."""

from solfa.config import override
from solfa.data.clips import ClipsConfig
from solfa.models import MuQConfig
from solfa.objectives import MaskedPredictionConfig, QuantizerFitConfig, TrackAgreementConfig
from solfa.targets import HiddenRVQConfig, StoredCodesConfig
from solfa.training import AdamWConfig, MuonConfig, RunConfig


def mel_rvq() -> RunConfig:
    """The quantizer of MuQ, fitted to mel frames: 8 codebooks of 1024, every figure as published.

    Command:  solfa train mel_rvq --set data.manifest=tracks.jsonl --out runs/mel_rvq
    Takes:    2,103 of its steps: 25 minutes on one busy core (docs/experiments.md)
    Reaches:  67 % of the variance of mel frames explained on other tracks, after 2,000 steps
    """
    return RunConfig(
        objective=QuantizerFitConfig(),
        data=ClipsConfig(clip_seconds=5.0, clips_per_step=32, channel="random"),
        optim=AdamWConfig(lr=1e-4, decay="constant", betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0),
        n_steps=4_000,
        max_gradient_norm=None,
        validate_every=500,
        checkpoint_every=500,
    )


def muq_large() -> RunConfig:
    """MuQ with 12 layers of 1024 on Mel-RVQ codes, every figure as published: 316 M parameters.

    Command:  torchrun --nproc-per-node 8 -m solfa train muq_large --set data.manifest=tracks.jsonl
              --set objective.predictions.0.target.fitted=runs/mel_rvq --out runs/muq_large
    Takes:    untested here; published: 3 to 7 days on 32 GPUs
    Reaches:  untested here
    """
    return RunConfig(
        objective=MaskedPredictionConfig(encoder=MuQConfig()),
        data=ClipsConfig(clip_seconds=30.0, clips_per_step=192),
        optim=AdamWConfig(lr=5e-4, warmup_steps=32_000, weight_decay=0.01),
        n_steps=400_000,
        checkpoint_every=5_000,
        validate_every=5_000,
    )


def muq_base() -> RunConfig:
    """MuQ with 12 layers of 512, for one or a few GPUs; bfloat16.

    Command:  torchrun --nproc-per-node 2 -m solfa train muq_base --set data.manifest=tracks.jsonl
              --set objective.predictions.0.target.fitted=runs/mel_rvq --out runs/muq_base
    Takes:    untested
    Reaches:  untested
    """
    return override(
        muq_large(),
        {
            "objective.encoder.stem.n_channels": 128,
            "objective.encoder.conformer.dim": 512,
            "objective.encoder.conformer.feed_forward_dim": 2048,
            "objective.encoder.conformer.n_heads": 8,
            "data.clip_seconds": 20.0,
            "data.clips_per_step": 96,
            "optim.warmup_steps": 8_000,
            "n_steps": 100_000,
            "precision": "bfloat16",
        },
    )


def muq_small() -> RunConfig:
    """MuQ with 6 layers of 192, for two CPU cores or one GPU: 5.2 M parameters.

    Departs from the paper twice, having an hour where that had days. Muon in place of Adam learns more
    from the first hours of music. And clips of one track are drawn together: masked prediction begins with
    what changes from frame to frame, and for long loses what stands still through a recording, by which
    people call two tracks alike (docs/experiments.md).

    Command:  solfa train muq_small --set data.manifest=train.jsonl
              --set objective.predictions.0.target.fitted=runs/mel_rvq --out runs/muq_small
    Takes:    3,600 of its steps, 60 h of audio: 83 minutes on one core (docs/experiments.md)
    Reaches:  masked accuracy 4.6 % on other tracks (commonest code 1.9 %); 58 % of clips find a clip of the
              same track first among 380 of 53 unheard tracks (log-mel 49 %, untrained 46 %), by layer 0
    """
    return override(
        muq_base(),
        {
            "objective.encoder.stem.n_channels": 16,
            "objective.encoder.conformer.n_layers": 6,
            "objective.encoder.conformer.dim": 192,
            "objective.encoder.conformer.feed_forward_dim": 768,
            "objective.encoder.conformer.n_heads": 4,
            "objective.encoder.conformer.dropout": 0.0,
            "objective.encoder.default_layer": 0,  # the best one for finding clips of the same track
            "objective.agreement": TrackAgreementConfig(weight=2.0),
            "data.clip_seconds": 5.0,
            "data.clips_per_step": 12,
            "data.clips_per_track": 2,
            "optim": MuonConfig(lr=2e-3, adam_lr=5e-4, warmup_steps=100),
            "n_steps": 5_000,
            "log_every": 20,
            "validate_every": 500,
            "checkpoint_every": 250,
        },
    )


def muq_tiny() -> RunConfig:
    """MuQ with 2 layers of 64: learns something on a laptop processor in two minutes; used by demo and tests.

    Command:  make demo-train
    Takes:    see README
    Reaches:  see README
    """
    return override(
        muq_small(),
        {
            "objective.encoder.stem.n_channels": 8,
            "objective.encoder.conformer.n_layers": 2,
            "objective.encoder.conformer.dim": 64,
            "objective.encoder.conformer.feed_forward_dim": 256,
            "objective.encoder.conformer.n_heads": 2,
            "objective.encoder.default_layer": -1,
            "objective.agreement": None,
            "data.clip_seconds": 4.0,
            "data.clips_per_step": 8,
            "data.clips_per_track": 1,
            "optim": AdamWConfig(lr=2e-3, warmup_steps=20),
            "n_steps": 200,
            "log_every": 10,
            "validate_every": 100,
            "checkpoint_every": 100,
        },
    )


def hidden_rvq() -> RunConfig:
    """The quantizer of a second iteration, fitted to stored hidden states: 8 codebooks of 1024.

    It sees as many frames in a step as mel_rvq, from five times as many tracks: they need not be decoded.
    At ten times the rate of mel_rvq a tenth of its steps are enough (docs/experiments.md).
    Sizes are those of muq_large; of another encoder, set ``objective.target.quantizer.dim`` to its width.
    Where the folder holds several layers, ``data.frames_layer`` chooses one.

    Command:  solfa train hidden_rvq --set data.manifest=tracks.jsonl --set data.frames=hidden
              --out runs/hidden_rvq
    Takes:    3 to 5 minutes on one busy core, for a width of 192
    Reaches:  of hidden states of muq_small on other tracks, 95 % of the variance explained for layer 5
    """
    return override(
        mel_rvq(),
        {
            "objective.target": HiddenRVQConfig(),
            "data.clip_seconds": 1.0,
            "data.clips_per_step": 160,
            "data.channel": "mean",
            "optim.lr": 1e-3,
            "n_steps": 600,
            "validate_every": 200,
            "checkpoint_every": 200,
        },
    )


def muq_iter2() -> RunConfig:
    """Second iteration: as muq_large, on stored codes of the first encoder's hidden states.

    The layer that teaches is chosen where hidden states are stored: about five sixths of the depth, layer 10
    of 12. Four commands, of which each reads what the one before it wrote:

    Command:  solfa embed tracks.jsonl --model runs/muq_large --layer 10 --frames --out hidden
              solfa train hidden_rvq --set data.manifest=tracks.jsonl --set data.frames=hidden
              --out runs/hidden_rvq
              solfa data label tracks.jsonl --target runs/hidden_rvq --frames hidden --out codes
              torchrun --nproc-per-node 8 -m solfa train muq_iter2 --set data.manifest=tracks.jsonl
              --set data.codes=codes --out runs/muq_iter2
    Takes:    untested here
    Reaches:  untested here
    """
    return override(muq_large(), {"objective.predictions.0.target": StoredCodesConfig()})


def muq_small_iter2() -> RunConfig:
    """Second iteration of muq_small: the commands of muq_iter2, with layer 5 of 6 and quantizer.dim=192.

    Command:  solfa train muq_small_iter2 --set data.manifest=train.jsonl --set data.codes=codes
              --out runs/muq_small_iter2
    Takes:    720 of its steps: 16 to 22 minutes on one busy core (docs/experiments.md)
    Reaches:  after these, sister clips of other tracks recall@1 49 to 51 %, as muq_small after as many
    """
    return override(muq_small(), {"objective.predictions.0.target": StoredCodesConfig()})

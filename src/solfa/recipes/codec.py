"""The RVQ-VAE, a codec whose codes teach MERT."""

from solfa.config import override
from solfa.data.clips import ClipsConfig
from solfa.objectives import AdversaryConfig, CodecFitConfig
from solfa.training import MuonConfig, RunConfig


def rvq_vae() -> RunConfig:
    """A codec at 75 Hz and 6 kbps, 8 codebooks of 1024, for two CPU cores or one GPU: 2.6 M parameters.

    Command:  solfa train rvq_vae --set data.manifest=tracks.jsonl --out runs/rvq_vae
    Takes:    1,200 of its steps, 5.3 h of audio: 45 minutes on one busy core (docs/experiments.md)
    Reaches:  mel bands 3.2 dB off on unheard tracks, spectral convergence 0.29, SNR 8 dB; perplexity of the
              codebooks 584 to 970 of 1024
    """
    return RunConfig(
        objective=CodecFitConfig(),
        data=ClipsConfig(clip_seconds=1.0, clips_per_step=16, channel="random"),
        optim=MuonConfig(lr=4e-3, adam_lr=1e-3, warmup_steps=20, betas=(0.9, 0.99), weight_decay=0.0),
        n_steps=2_000,
        max_gradient_norm=1.0,
        log_every=20,
        validate_every=500,
        checkpoint_every=250,
    )


def rvq_vae_adversarial() -> RunConfig:
    """As rvq_vae, with discriminators that teach it detail: for a GPU.

    Command:  solfa train rvq_vae_adversarial --set data.manifest=tracks.jsonl --out runs/rvq_vae_adversarial
    Takes:    untested
    Reaches:  untested
    """
    return override(
        rvq_vae(),
        {
            "objective.adversary": AdversaryConfig(),
            "data.clips_per_step": 64,
            "optim.lr": 1e-3,
            "optim.adam_lr": 3e-4,
            "optim.warmup_steps": 500,
            "n_steps": 100_000,
            "validate_every": 5_000,
            "checkpoint_every": 5_000,
        },
    )


def rvq_vae_tiny() -> RunConfig:
    """A codec of a few channels: learns something in a minute; used by tests.

    Command:  solfa train rvq_vae_tiny --set data.manifest=tracks.jsonl --out runs/rvq_vae_tiny
    Takes:    untested
    Reaches:  untested
    """
    return override(
        rvq_vae(),
        {
            "objective.codec.n_channels": (16, 32, 32, 32),
            "objective.codec.dilations": (1,),
            "objective.codec.quantizer.dim": 32,
            "objective.codec.quantizer.codebook_size": 64,
            "data.clips_per_step": 8,
            "n_steps": 200,
            "log_every": 10,
            "validate_every": 100,
            "checkpoint_every": 100,
        },
    )

"""Fine-tuning: an encoder learns the labels of a user's own files or of a task."""

from solfa.config import override
from solfa.data.clips import ClipsConfig
from solfa.models import LoRAConfig
from solfa.objectives import FineTuningConfig
from solfa.training import AdamWConfig, RunConfig


def finetune() -> RunConfig:
    """The whole encoder and a head on a weighted sum of its layers, for some hundred labelled files.

    ``--set objective.learns.kind=frozen`` makes it a probe, and the last two layers alone learn with
    ``--set objective.learns='{"kind": "last_layers", "n_layers": 2}'``.

    Command:  solfa train finetune --set data.labels=labels.csv --set objective.start=runs/muq_small
              --out runs/mine
    Takes:    untested
    Reaches:  untested
    """
    return RunConfig(
        objective=FineTuningConfig(),
        data=ClipsConfig(clip_seconds=5.0, clips_per_step=16, turns="one_each"),
        optim=AdamWConfig(lr=1e-3, warmup_steps=20, betas=(0.9, 0.999)),
        n_steps=200,
        max_gradient_norm=1.0,
        log_every=10,
        validate_every=25,
        checkpoint_every=100,
        n_checkpoints_kept=1,
        keep_best=True,
    )


def finetune_lora() -> RunConfig:
    """As finetune, with thin matrices beside the encoder's that learn in their place.

    Command:  solfa train finetune_lora --set data.labels=labels.csv --set objective.start=runs/muq_small
              --out runs/mine
    Takes:    untested
    Reaches:  untested
    """
    return override(finetune(), {"objective.learns": LoRAConfig(), "objective.encoder_rate": 1.0})

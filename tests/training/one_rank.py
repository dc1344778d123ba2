"""One process of a training: takes one step and writes its gradients; see test_two_processes.py."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from solfa import distributed
from solfa.config import load_config
from solfa.training import Placement, RunConfig, Trainer


def take_a_step(config_file: Path, out: Path, clips_per_device: int) -> None:
    """Gradients before they are clipped away, and buffers afterwards, as the first process has them."""
    config = load_config(RunConfig, config_file)
    cpu = torch.device("cpu")
    with distributed.process_group(cpu):
        place = Placement(
            run=out.with_suffix(".run"), device=cpu, clips_per_device=clips_per_device, n_workers=0
        )
        trainer = Trainer(config, place)
        gradients = {}

        def keep(*_: object) -> None:
            gradients.update(
                {n: p.grad.clone() for n, p in trainer.objective.named_parameters() if p.grad is not None}
            )

        trainer.optimizers[0].register_step_pre_hook(keep)
        trainer.train()
        if distributed.is_main():
            buffers = {f"buffer.{name}": value.clone() for name, value in trainer.objective.named_buffers()}
            save_file(gradients | buffers, out)

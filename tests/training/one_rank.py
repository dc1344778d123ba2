"""One process of a training: takes one step and writes its gradients; run by test_two_processes.py.

python one_rank.py CONFIG OUT CLIPS_PER_DEVICE
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from solfa import distributed
from solfa.config import load_config
from solfa.training import Placement, RunConfig, Trainer


def main() -> None:
    torch.set_num_threads(1)
    config, out = load_config(RunConfig, Path(sys.argv[1])), Path(sys.argv[2])
    cpu = torch.device("cpu")
    with distributed.process_group(cpu):
        trainer = Trainer(
            config,
            Placement(
                run=out.with_suffix(".run"), device=cpu, clips_per_device=int(sys.argv[3]), n_workers=0
            ),
        )
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


main()

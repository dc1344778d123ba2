"""One process of a group that compares unequal numbers of pairs; see test_unequal_pairs.py."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from solfa import distributed
from solfa.objectives.contrastive import (
    DecoupledLossConfig,
    PairLoss,
    SigmoidLossConfig,
    SoftmaxLossConfig,
)

KINDS = {"softmax": SoftmaxLossConfig, "decoupled": DecoupledLossConfig, "sigmoid": SigmoidLossConfig}


def compare(kind: str, out: Path, counts: list[int]) -> None:
    """Write the loss, and what it asks of every vector and of its own parameters."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(2, sum(counts), 6, generator=generator), dim=-1)
    with distributed.process_group(torch.device("cpu")):
        loss = PairLoss(KINDS[kind](pairs_at_once=3))
        counts = counts if distributed.world_size() > 1 else [sum(counts)]
        audio, text = (side.split(counts)[distributed.rank()].clone().requires_grad_() for side in vectors)
        value = loss(audio, text)[0].sum()
        value.backward()
        results = {
            "loss": distributed.all_reduce_sum(value),
            "audio": distributed.all_gather(audio.grad),
            "text": distributed.all_gather(text.grad),
        }
        results |= {f"loss.{n}": distributed.all_reduce_sum(p.grad) for n, p in loss.named_parameters()}
        if distributed.is_main():
            save_file({name: tensor.contiguous() for name, tensor in results.items()}, out)

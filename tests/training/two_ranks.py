"""One of two processes that exchange tensors; run by test_two_ranks.py.

python two_ranks.py DEVICE OUT
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import Tensor

from solfa import distributed
from solfa.data.clips import Clips
from solfa.objectives import KMeansFit, KMeansFitConfig, Objective, StepOutput, kmeans_fit
from solfa.targets import (
    EMAResidualQuantizer,
    EMAResidualQuantizerConfig,
    KMeansCodesConfig,
    VectorQuantizer,
    VectorQuantizerConfig,
)
from solfa.training.monitor import Totals
from solfa.training.parallel import Parallel, tracks_of

KIND = sys.argv[1]
DEVICE = torch.device(KIND, distributed.local_rank()) if KIND == "cuda" else torch.device(KIND)
SHAPE = {"dim": 8, "codebook_size": 16, "stale_steps": 1}


def no_pickles(*_: Any, **__: Any) -> None:
    raise AssertionError("a pickled tensor of another device stays on that device")


def exchanged() -> dict[str, Tensor]:
    """What a rank holds after the helpers of ``distributed``."""
    rank = distributed.rank()
    mine = {name: value.to(DEVICE) for name, value in _mine(rank).items()}
    held = {f"first.{name}": distributed.broadcast(value) for name, value in mine.items()}
    distributed.share_first(mine.values())
    texts = distributed.gather_texts("klänge " * (1 + rank) if rank else "", DEVICE)
    assert all(value.device == DEVICE for value in held.values())
    return held | mine | {"texts": torch.tensor([len(text) for text in texts])}


def _mine(rank: int) -> dict[str, Tensor]:
    return {
        "float32": torch.full((2, 3), float(rank)),
        "float64": torch.full((), rank + 0.5, dtype=torch.float64),
        "int64": torch.arange(3) + rank,
        "uint8": torch.full((2,), rank, dtype=torch.uint8),
        "bool": torch.tensor([rank == 0, True]),
        "empty": torch.zeros(0, 4),
    }


def fitted() -> dict[str, Tensor]:
    """Quantizers that replace entries, from unequal numbers of frames, on ranks that draw differently."""
    rank = distributed.rank()
    torch.manual_seed(0)
    quantizers = {
        "vq": VectorQuantizer(VectorQuantizerConfig(**SHAPE)),
        "ema": EMAResidualQuantizer(EMAResidualQuantizerConfig(**SHAPE, n_codebooks=2, free_steps=0)),
    }
    torch.manual_seed(rank)
    with torch.no_grad():
        for quantizer in quantizers.values():
            quantizer.to(DEVICE)
            for _ in range(3):
                quantizer.train()(torch.randn(1, 20 + rank, 8).to(DEVICE))
    return {f"{kind}.{n}": w for kind, q in quantizers.items() for n, w in q.state_dict().items()}


def clusters() -> dict[str, Tensor]:
    """Centres of k-means where the second rank adds up with a little error, as it may."""
    rank, plain = distributed.rank(), kmeans_fit._move_centres

    def inexact(target: Any, rows: Tensor, random: np.random.RandomState) -> None:
        plain(target, rows * (1 + 1e-7 * rank), random)

    kmeans_fit._move_centres = inexact
    objective = KMeansFit(KMeansFitConfig(targets=(KMeansCodesConfig(n_clusters=5),))).train().to(DEVICE)
    for step in range(2):
        number = torch.tensor([2 * step + rank])
        waveform = torch.randn(1, 24_000, generator=torch.Generator().manual_seed(int(number)))
        objective(Clips(waveform.to(DEVICE), 24_000, number, torch.zeros(1, dtype=torch.long)))
        objective.finish_step()
    return {name: value.clone() for name, value in objective.state_dict().items()}


def figures() -> dict[str, Tensor]:
    """Totals of which the second rank has other names, or none; and tracks of a loss that is not finite."""
    rank = distributed.rank()
    two, four = torch.tensor([2.0, 4.0], device=DEVICE)
    step = StepOutput(two, four, {"only_here": torch.tensor([4.0, 8.0], device=DEVICE)})
    some, none = Totals(DEVICE), Totals(DEVICE)
    if rank == 0:
        some.add(step)
    found = {"loss": some.figures()["loss"], "only_here": some.figures()["only_here"][1],
             "none": float(len(none.figures()))}  # fmt: skip
    losses = [torch.tensor(torch.nan if rank == n == 1 else 1.0, device=DEVICE) for n in range(2)]
    tracks = [torch.tensor([10 * rank + n, 10 * rank + n + 5]) for n in range(2)]
    bad = tracks_of([StepOutput(loss, step.count) for loss in losses], tracks)
    everyone = tracks_of([step], tracks[:1])
    return {
        "figures": torch.tensor([found[name] for name in sorted(found)]),
        "bad": torch.tensor(bad),
        "all": torch.tensor(everyone),
    }


class Measuring(Objective):
    """Measures a scale at its start, a little differently on each rank."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("scale", torch.zeros(2))
        self.register_buffer("passing", torch.zeros(2), persistent=False)


def started() -> dict[str, Tensor]:
    """Buffers and weights that each rank has measured by itself."""
    objective = Measuring().to(DEVICE)
    parallel = Parallel(objective, DEVICE, "float32")
    with torch.no_grad():
        for value in (objective.weight, objective.scale, objective.passing):
            value += 1 + 1e-7 * distributed.rank()
    parallel.share_state()
    return {"weight": objective.weight.detach(), "scale": objective.scale, "passing": objective.passing}


def main() -> None:
    torch.set_num_threads(1)
    if DEVICE.type == "cuda":
        torch.cuda.set_device(DEVICE)
    dist.broadcast_object_list = dist.all_gather_object = no_pickles
    with distributed.process_group(DEVICE):
        found = {
            f"{check.__name__}.{name}": value.detach().cpu().clone().contiguous()
            for check in (exchanged, fitted, clusters, figures, started)
            for name, value in check().items()
        }
        save_file(found, Path(f"{sys.argv[2]}.{distributed.rank()}"))


main()

"""Trains by one process; and by one, four that share weights out, two, and one; run by test_sharding.py.

Between, two processes are killed while they save.

A program of its own: it forks after the imports and before any thread exists, so that a process costs little.

    python sharded_ranks.py FOLDER

FOLDER holds a config.json of each run, called NAME.json; runs are NAME.one and NAME.shared.
"""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import torch._dynamo  # which optimisers import: once for all processes

from solfa import checkpoint, distributed, runs
from solfa.config import load_config
from solfa.objectives import starting_point
from solfa.training import Interrupted, Placement, RunConfig, Trainer, sharding

CPU = torch.device("cpu")
STAGES = ((1, 3), (4, 7), (2, 14), (1, None))  # so many processes train until after that step
KILLED_AFTER = 9  # steps, in the middle of a save; those of the four are the last that are whole


def train(config: RunConfig, run: Path, stop_after: int | None, *, is_sharded: bool) -> Trainer:
    """Train, or go on with it, until a step; everything is saved then."""

    def stop(step: int, figures: object) -> None:
        if stop_after is not None:
            trainer.stop_requested = step >= stop_after - (distributed.world_size() > 1)  # known a step later

    place = Placement(
        run=run,
        device=CPU,
        clips_per_device=4,
        n_workers=0,
        is_sharded=is_sharded,
        recomputes=is_sharded,
    )
    trainer = Trainer(config, place, stop)
    try:
        trainer.train(resume=True)
    except Interrupted:
        assert trainer.step == stop_after
    return trainer


def check_muon() -> None:
    """Matrices that are shared out are updated as whole ones, also where some ranks hold no row of them."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    from solfa.training.muon import Muon
    from solfa.training.sharded_muon import ShardedMuon

    mesh, random = init_device_mesh("cpu", (distributed.world_size(),)), torch.Generator().manual_seed(0)
    shapes = [(7, 5), (3, 8), (16, 16), (1, 4), (9, 2), (4, 4)]
    whole = [torch.nn.Parameter(torch.randn(*shape, generator=random)) for shape in shapes]
    parts = [torch.nn.Parameter(distribute_tensor(m.detach().clone(), mesh, [Shard(0)])) for m in whole]
    settings = {"lr": 0.1, "weight_decay": 0.1}
    optimizers = [Muon(whole, **settings), ShardedMuon(parts, **settings)]
    for _ in range(3):
        for matrix, part in zip(whole, parts, strict=True):
            matrix.grad = torch.randn(*matrix.shape, generator=random)
            part.grad = distribute_tensor(matrix.grad, mesh, [Shard(0)])
        for optimizer in optimizers:
            optimizer.step()
    for matrix, part in zip(whole, parts, strict=True):
        torch.testing.assert_close(part.detach().full_tensor(), matrix.detach(), rtol=1e-5, atol=1e-6)


def check_start(trainer: Trainer, run: Path) -> None:
    """Weights of another run are taken over by weights that are shared out."""
    starting_point(str(run)).begin(trainer.objective)
    wanted = checkpoint.read_weights(runs.weights_file(run))
    for name, parameter in trainer.objective.named_parameters():
        assert torch.equal(distributed.whole(parameter.detach()), wanted[name]), name


def in_processes(n: int, work: Callable[[], None]) -> list[int]:
    """Do something in processes that make a group; their exit codes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    children = []
    for rank in range(n):
        child = os.fork()
        if child == 0:
            group = {"RANK": str(rank), "WORLD_SIZE": str(n), "MASTER_PORT": str(port)}
            os.environ.update(group | {"MASTER_ADDR": "127.0.0.1"} if n > 1 else {})
            code = 0
            try:
                with distributed.process_group(CPU):
                    work()
            except BaseException:
                traceback.print_exc()
                code = 1
            sys.stderr.flush()
            os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    configs = {path.stem: load_config(RunConfig, path) for path in sorted(folder.glob("*.json"))}

    def alone() -> None:
        for name, config in configs.items():
            train(config, folder / f"{name}.one", None, is_sharded=False)

    def shared(stop_after: int | None) -> None:
        if distributed.world_size() > 1:
            check_muon()
        for name, config in configs.items():
            trainer = train(config, folder / f"{name}.shared", stop_after, is_sharded=True)
            learned = [p for p in trainer.objective.parameters() if p.requires_grad]
            held = sum(distributed.local(p).numel() for p in learned)
            assert distributed.world_size() == 1 or held < 0.6 * sum(p.numel() for p in learned)
            if name == "muq" and distributed.world_size() == 4:
                check_start(trainer, folder / "muq.one")

    def killed() -> None:
        def kill(*_: object, **__: object) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        if distributed.rank() == 1:
            sharding.shards_on_disk.save = kill
        name = next(iter(configs))
        train(configs[name], folder / f"{name}.shared", KILLED_AFTER, is_sharded=True)

    codes = in_processes(1, alone)
    for n, stop_after in STAGES:
        if n == 2 and not any(codes):
            assert all(in_processes(2, killed))
        if not any(codes):
            codes = in_processes(n, lambda stop_after=stop_after: shared(stop_after))  # type: ignore[misc]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()

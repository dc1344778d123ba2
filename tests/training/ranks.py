"""Processes that form a group, forked off one that has imported everything: each costs a moment."""

import os
import socket
import sys
import traceback
from collections.abc import Callable
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any

FORKING = get_context("forkserver")
# What the process that forks imports beforehand; torch._dynamo is what optimisers import.
FORKING.set_forkserver_preload(["torch._dynamo", "training.one_rank"])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _work(
    group: dict[str, str], complaint: Path, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    import torch

    os.environ.update(group)
    torch.set_num_threads(1)
    try:
        work(*arguments)
    except BaseException:
        complaint.write_text(traceback.format_exc(), encoding="utf-8")
        raise


def run_ranks(
    work: Callable[..., None], *arguments: Any, n_processes: int, folder: Path, seconds: float = 240
) -> None:
    """Let each process of a group do ``work``, a function of a module; one alone is in no group.

    Raises AssertionError with what they complained of if one fails, or takes longer than ``seconds``.
    """
    common = {"WORLD_SIZE": str(n_processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    _start_the_one_that_forks()
    started = []
    for rank in range(n_processes):
        group = common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if n_processes > 1 else {}
        complaint = folder / f"complaint of {rank}.txt"
        complaint.unlink(missing_ok=True)
        process = FORKING.Process(target=_work, args=(group, complaint, work, arguments), daemon=True)
        process.start()
        started.append((process, complaint))
    for process, _ in started:
        process.join(seconds)  # those of a group end together
    codes = [process.exitcode for process, _ in started]
    for process, _ in started:
        process.kill()
    said = "\n".join(file.read_text(encoding="utf-8") for _, file in started if file.exists())
    assert codes == [0] * n_processes, f"{codes}\n{said}"


def command(words: list[str]) -> None:
    """What the command line does with these words."""
    from solfa.cli import main

    sys.argv = ["solfa", *words]
    main.run()


def _start_the_one_that_forks() -> None:
    """It begins with the environment alone, and must find the modules that pytest finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(path for path in sys.path if path))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before

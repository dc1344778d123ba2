"""A group of processes leaves nothing behind when it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from training.ranks import free_port

THREADS_AFTER_A_GROUP = """
from pathlib import Path

import torch

from solfa import distributed


def threads():
    return {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}


alone = threads()
with distributed.process_group(torch.device("cpu")):
    import torch._dynamo  # checkpointing imports it, at its first use
    assert threads() > alone, "a group has threads of its own"
print(*threads() - alone)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are read from /proc")
def test_threads_of_a_group_end_with_it() -> None:
    group = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    process = subprocess.run(
        [sys.executable, "-c", THREADS_AFTER_A_GROUP], env=os.environ | group, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.split() == []

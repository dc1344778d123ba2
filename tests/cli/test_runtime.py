"""Freed memory is there for the next tensor, and waiting threads sleep, unless the user decides otherwise."""

import os
import platform
import subprocess
import sys

import pytest

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")

PAGES_FETCHED = """
import resource
import sys

import torch

from solfa.cli.runtime import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
rounds = []
for _ in range(12):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(25_000_000)  # 100 MB
    rounds.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(rounds[1:]))  # the least: a system that is short of memory takes pages away in between
"""


def pages_fetched(how: str, **environment: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PAGES_FETCHED, how]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


@glibc
def test_a_tensor_takes_the_place_of_one_that_was_freed() -> None:
    assert 3 * pages_fetched("kept") < pages_fetched("given back")


@glibc
def test_what_the_user_has_set_is_left_alone() -> None:
    assert 3 * pages_fetched("kept") < pages_fetched("kept", MALLOC_MMAP_THRESHOLD_="1000000")


@pytest.mark.parametrize(
    ("set_by_user", "expected"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")]
)
def test_threads_are_told_to_sleep_before_pytorch_is_imported(
    set_by_user: dict[str, str], expected: str
) -> None:
    code = (
        "import os, sys\n"
        "from solfa.cli import main\n"
        "def app(): print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)\n"
        "main.app = app\n"
        "main.run()"
    )
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_WAIT", "GOMP_SPIN"))
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean | set_by_user, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected, "False"]

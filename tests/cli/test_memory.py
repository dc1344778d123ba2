"""Memory that was freed is there for the next tensor, unless the user decides otherwise."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")

PAGES_FETCHED = """
import resource
import sys

import torch

from solfa.cli.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(12):
    torch.ones(25_000_000)  # 100 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_fetched(how: str, **environment: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", PAGES_FETCHED, how]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_a_tensor_takes_the_place_of_one_that_was_freed() -> None:
    assert 3 * pages_fetched("kept") < pages_fetched("given back")


def test_what_the_user_has_set_is_left_alone() -> None:
    assert 3 * pages_fetched("kept") < pages_fetched("kept", MALLOC_MMAP_THRESHOLD_="1000000")

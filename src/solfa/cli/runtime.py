"""What a command asks of C libraries before it works: keep freed memory, and let waiting threads sleep."""

import ctypes
import os
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's numbers
KEPT_BYTES = 2**30
MEMORY_OF_THE_USER = (
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_MMAP_MAX_",
    "GLIBC_TUNABLES",
)
WAITING_OF_THE_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def keep_freed_memory() -> None:
    """Let glibc keep up to 1 GiB of freed memory, in blocks of any size up to that.

    Fetching it anew, page by page, is a good part of the work: by itself glibc gives tensors of more than
    32 MB back to the system as soon as they are freed. Other systems and libraries are left as they are,
    and so is what the user has set in the environment.
    """
    if sys.platform != "linux" or any(name in os.environ for name in MEMORY_OF_THE_USER):
        return
    with suppress(AttributeError):  # a C library without it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def wait_without_spinning() -> None:
    """Have OpenMP's threads sleep where they wait, unless the user has said how they should wait.

    By themselves they spin for milliseconds after each product, beside another busy program on the very core
    that the last of them needs: indexing took up to 4.4 times as long with all threads as with one. OpenMP
    reads this when PyTorch is imported, so it has to come before that.
    """
    if not any(name in os.environ for name in WAITING_OF_THE_USER):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

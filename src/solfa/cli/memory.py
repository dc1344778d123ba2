"""Freed memory is kept for the next tensor: fetching it anew, page by page, is a good part of the work."""

import ctypes
import os
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's numbers
KEPT_BYTES = 2**30
OF_THE_USER = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Let glibc keep up to 1 GiB of freed memory, in blocks of any size up to that.

    By itself it gives tensors of more than 32 MB back to the system as soon as they are freed. Other systems
    and libraries are left as they are, and so is what the user has set in the environment.
    """
    if sys.platform != "linux" or any(name in os.environ for name in OF_THE_USER):
        return
    with suppress(AttributeError):  # a C library without it
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)

"""Memory that a process frees and soon needs again."""

import ctypes
import sys

MALLOPT_TRIM_THRESHOLD, MALLOPT_MMAP_MAX = -1, -4  # numbers of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Ask the C library to reuse freed blocks instead of handing them back to the kernel.

    PyTorch on a CPU allocates and frees large tensors many times a second. By default each of them is mapped
    anew and every page of it faulted in, which can take longer than the arithmetic. With this the process
    keeps its highest use of memory until it ends.

    Returns:
        Whether it was possible: on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(MALLOPT_MMAP_MAX, 0) and mallopt(MALLOPT_TRIM_THRESHOLD, -1))

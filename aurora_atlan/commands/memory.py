"""How the serving process gives memory back to the system."""

from __future__ import annotations

import ctypes

# Of glibc's <malloc.h>: blocks of at least so many bytes are mapped one by one, and unmapped when freed.
_M_MMAP_THRESHOLD = -3
_THRESHOLD_BYTES = 1024 * 1024


def give_back_large_blocks() -> None:
    """Fix the size above which freed memory goes back at once; does nothing where the C library is not glibc.

    Left to itself glibc raises that size after the first large block is freed, and then every thread's arena
    keeps one. Hashing a password takes 19 MiB: with 32 request threads, 192 of them left 357 MB behind,
    15 MB with this. Of the process as a whole, so for the command line alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)

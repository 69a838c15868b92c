"""How the serving process treats its memory and its threads. Of the whole process, so for the command line alone."""

from __future__ import annotations

import ctypes
import gc

# Of glibc's <malloc.h>: blocks of at least so many bytes are mapped one by one, and unmapped when freed.
_M_MMAP_THRESHOLD = -3
_THRESHOLD_BYTES = 1024 * 1024

# Of Linux's <linux/prctl.h>.
_PR_FUTEX_HASH = 78
_PR_FUTEX_HASH_SET_SLOTS = 1
# Some for each thread that there may be by default.
_FUTEX_SLOTS = 4096

# Generations of the garbage collector: so many objects that live on, or rounds of the one before, make a round.
_COLLECTOR_THRESHOLDS = (50_000, 20, 100)


def give_back_large_blocks() -> None:
    """Fix the size above which freed memory goes back at once; does nothing where the C library is not glibc.

    Left to itself glibc raises that size after the first large block is freed, and then every thread's arena
    keeps one. Hashing a password takes 19 MiB: with 32 request threads, 192 of them left 357 MB behind,
    15 MB with this.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD_BYTES)


def spread_waiting_threads() -> None:
    """Have the kernel keep the threads that wait in many places; does nothing where it cannot, as before Linux 6.16.

    By itself it has few, 16 on a machine of two processors, and each wake-up looks at all who wait in the same place:
    with the threads of 512 events a twentieth of a booking. See prctl(2), PR_FUTEX_HASH.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        slots, unused = ctypes.c_ulong(_FUTEX_SLOTS), ctypes.c_ulong(0)
        prctl(_PR_FUTEX_HASH, ctypes.c_ulong(_PR_FUTEX_HASH_SET_SLOTS), slots, unused, unused)


def collect_rarely() -> None:
    """Have the garbage collector look at what is new and may be garbage, and seldom; to be called once all is started.

    What serves for ever is never looked at again. What requests and bookings leave behind goes without the collector,
    which looks for cycles only: looking after every 700 objects, as it would, costs one booking in 17.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)

"""Memory that a step frees is there for the next one."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of mallopt(3)
NEVER, NONE = -1, 0


def keep_freed_memory():
    """Has the C library keep what is freed, for all later allocations of this process.

    By default glibc takes each large block from the system and gives it back when it is freed.
    Every training step frees and takes the same blocks, and the system clears each of their
    pages again. Does nothing where the C library is another one.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # none of that name; no library to ask
        return
    mallopt(M_MMAP_MAX, NONE)
    mallopt(M_TRIM_THRESHOLD, NEVER)

"""Memory that a step frees is there for the next one, in pages that are large."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # parameters of mallopt(3)
NEVER, NONE = -1, 0
MADV_HUGEPAGE = 14  # advice of madvise(2)
HUGE = 2**21  # bytes of a huge page


def set_up_allocation():
    """Has the C library keep what is freed, in huge pages, for all later blocks of this process.

    Huge pages, where Linux has them for those who ask, take fewer translations of addresses: what
    reads whole matrices is faster. Does nothing where the C library is another one than glibc.
    """
    library = keep_freed_memory()
    if library is not None:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        _ask_for_huge_pages(library, size)


def keep_freed_memory() -> ctypes.CDLL | None:
    """Has the C library keep what is freed; gives it, or `None` if it is another one than glibc.

    By default glibc takes each large block from the system and gives it back when it is freed.
    Every training step frees and takes the same blocks, and the system clears each of their
    pages again.
    """
    try:
        library = ctypes.CDLL(None)
        mallopt = library.mallopt
    except (AttributeError, OSError, TypeError):  # none of that name; no library to ask
        return None
    mallopt(M_MMAP_MAX, NONE)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    return library


def _ask_for_huge_pages(library: ctypes.CDLL, size: int):
    """Takes so many bytes, says that they are to be in huge pages, and gives them back.

    The C library keeps them, as addresses only: the system gives memory to what is written to.
    """
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    library.free.argtypes = [ctypes.c_void_p]
    block = library.malloc(size)
    if block is None:  # more than the process may have
        return
    first = -(-block // HUGE) * HUGE
    library.madvise(first, (block + size - first) // HUGE * HUGE, MADV_HUGEPAGE)
    library.free(block)

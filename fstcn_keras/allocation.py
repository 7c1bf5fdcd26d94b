"""Keeps memory in huge pages."""

import contextlib
import ctypes
import os
from pathlib import Path

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # parameters of mallopt(3)
NEVER, NONE, FEW = -1, 0, 2
MADV_HUGEPAGE = 14  # advice of madvise(2)
HUGE_PAGE_BYTES = 2**21
STRICT = "2"  # Linux's accounting of memory in which addresses count that are not written to


def set_up_allocation() -> None:
    """Has the C library keep what is freed, and large blocks lie in huge pages.

    Huge pages, where Linux has them for those who ask, take fewer translations of addresses: what
    reads whole maps and matrices is faster. They stay with the process, so that later blocks lie in
    them too. TensorFlow takes its memory in a few large blocks; PyTorch, which the benchmarks
    compare with, in many, which the system would otherwise clear again for every step. Does nothing
    where the C library is another one than glibc, or where addresses alone cost something.
    """
    try:
        library = ctypes.CDLL(None)
        mallopt = library.mallopt
    except (AttributeError, OSError, TypeError):  # none of that name; no library to ask
        return
    if not _addresses_are_free():
        return
    mallopt(M_MMAP_MAX, NONE)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    _ask_for_huge_pages(library, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


def keep_few_arenas() -> None:
    """Has the C library take no 64 MiB of addresses for each thread, where addresses are few."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, FEW)


def _addresses_are_free() -> bool:
    """Tells whether a process may take addresses at no cost, as long as it does not write there."""
    import resource  # not on all systems

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    accounting = Path("/proc/sys/vm/overcommit_memory")
    strict = accounting.exists() and accounting.read_text().strip() == STRICT
    return limit == resource.RLIM_INFINITY and not strict


def _ask_for_huge_pages(library: ctypes.CDLL, size: int) -> None:
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
    first = -(-block // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
    whole = (block + size - first) // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
    library.madvise(first, whole, MADV_HUGEPAGE)
    library.free(block)

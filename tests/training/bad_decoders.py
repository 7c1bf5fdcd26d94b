"""Files that do to the process that opens them what bad videos do to a decoder.

Importing this takes no TensorFlow: a process to be spoilt starts at once.
"""

import ctypes
import os
import signal
import sys

from training.parallel import MEMORY_MIB


class Deadly(os.PathLike):
    """Kills the process that opens it."""

    def __fspath__(self) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Greedy(os.PathLike):
    """Takes more memory than there is for it."""

    def __fspath__(self) -> str:
        return str(len(bytes((MEMORY_MIB + 1) * 2**20)))


class Telling(os.PathLike):
    """Tells instead of frames whether what resizes them has been imported."""

    def __fspath__(self) -> str:
        raise ValueError(f"imported: {'scipy.sparse' in sys.modules}")


class Hanging(os.PathLike):
    """Waits in C without end, as a decoder may; no signal of Python's gets through."""

    def __fspath__(self) -> str:
        hang()
        raise AssertionError


def hang():
    print("hangs", flush=True)
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(128)
    for _ in range(2):
        library.pthread_mutex_lock(mutex)

"""Folders that one process at a time works in."""

import contextlib
import fcntl
from pathlib import Path


@contextlib.contextmanager
def locked(folder: Path):
    """Holds the folder for this process; the kernel lets go of it if the process dies."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that prepares {folder}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

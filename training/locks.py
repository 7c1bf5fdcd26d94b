"""Folders that one process at a time works in."""

import contextlib
import fcntl
from pathlib import Path
from typing import Literal


@contextlib.contextmanager
def locked(folder: Path, doing: Literal["prepares", "trains"]):
    """Holds the folder for what this process does; the kernel lets go of it if the process dies."""
    with (folder / f".{doing}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that {doing} {folder}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield

"""Folders that one process at a time works in."""

import contextlib
import fcntl
from pathlib import Path
from typing import Literal

Doing = Literal["prepares", "trains"]


@contextlib.contextmanager
def locked(folder: Path, doing: Doing):
    """Holds the folder for what this process does; the kernel lets go of it if the process dies."""
    with _file(folder, doing).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that {doing} {folder}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_locked(folder: Path, doing: Doing) -> bool:
    """Whether a process holds the folder."""
    try:
        with _file(folder, doing).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _file(folder: Path, doing: Doing) -> Path:
    return folder / f".{doing}.lock"

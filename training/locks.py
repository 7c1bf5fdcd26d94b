"""Folders that one process at a time works in."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

Activity = Literal["prepares", "trains"]


@contextlib.contextmanager
def locked(folder: Path, activity: Activity) -> Iterator[None]:
    """Holds the folder for what this process does; the kernel lets go of it if the process dies."""
    lock = FileLock(_file(folder, activity))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(f"waiting for another process that {activity} {folder}", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path, activity: Activity) -> bool:
    """Returns whether a process holds the folder."""
    file = _file(folder, activity)
    if not file.exists():
        return False
    try:
        with FileLock(file, blocking=False):
            return False
    except Timeout:
        return True


def _file(folder: Path, activity: Activity) -> Path:
    return folder / f".{activity}.lock"

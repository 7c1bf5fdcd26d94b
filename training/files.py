"""Files that are whole or not there, and folders that one process at a time works in."""

import contextlib
import fcntl
import os
from pathlib import Path


def write_aside(file: Path, text: str):
    """Writes the text to a file beside, then renames it."""
    aside = file.with_name(f"{file.name}.partial")
    try:
        aside.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
        os.replace(aside, file)
    finally:
        aside.unlink(missing_ok=True)


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

"""Work for a worker that takes no framework."""

import os
import time

from benchmarks.workers import Work


def step(*, seconds: float = 0.0, flops: float = 1.0, fails: str = "") -> Work:
    """Sleeps, or fails: for lack of memory, by a fault of the program, or by dying."""

    def call():
        time.sleep(seconds)
        if fails == "memory":
            raise MemoryError("512 clips")
        if fails == "program":
            raise OwnError("wrong", "axis")
        if fails == "dies":
            os._exit(9)

    return Work(call, flops)


def reason(error: Exception) -> str | None:
    return f"no memory for\n{error}" if isinstance(error, MemoryError) else None


class OwnError(Exception):
    """Does not survive a pipe: pickling calls it with one argument."""

    def __init__(self, text: str, place: str):
        super().__init__(f"{text} {place}")

"""Ends a command in time, whatever it waits for when a signal comes."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

END_S = 4.0  # after Ctrl-C or SIGTERM
EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}


@contextlib.contextmanager
def ended_in_time() -> Iterator[None]:
    """Ends this process `END_S` after a signal at the latest.

    Python answers a signal when the C code that runs comes back, which a decoder may not do. For
    the main thread alone; elsewhere, and for signals that nothing handles, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers, written = os.pipe()
    os.set_blocking(written, False)
    left = threading.Event()
    threading.Thread(target=_watch, args=(numbers, left), daemon=True).start()
    before = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(before)
        os.close(written)


@contextlib.contextmanager
def signals_answered() -> Iterator[None]:
    """Leaves signals to what answers them in its own time; for the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)


@contextlib.contextmanager
def answering(handler: Callable | signal.Handlers) -> Iterator[None]:
    """Answers Ctrl-C and SIGTERM in this way; in the main thread alone, as Python has it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number in EXIT_CODES}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def _watch(numbers: int, left: threading.Event):
    """Ends the process a while after the number of such a signal comes."""
    with open(numbers, "rb", buffering=0) as stream:
        while number := stream.read(1):
            code = EXIT_CODES.get(number[0])
            if code is not None and not left.wait(END_S):
                os._exit(code)

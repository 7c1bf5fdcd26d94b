"""Decodes and scores requests, bounded in number and time."""

import asyncio
import atexit
import contextlib
import importlib
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from fstcn_keras.process import limit_memory
from fstcn_keras.serving.limits import DECODER_MEMORY_MIB, Limits
from fstcn_keras.serving.metrics import Metrics
from fstcn_keras.serving.refusals import BadRequest, Overloaded, TooLarge

BODIES_IN_MEMORY = 4  # what a decoder must hold: a body, twice while it comes, and what is in it
_DECODING = "fstcn_keras.serving.decoding"  # what a process imports before its memory is bounded

_CRASHES = {
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGSYS", "SIGTRAP")
}

T = TypeVar("T")


class Workers:
    """Runs processes that decode and one thread that scores.

    A request that crashes the decoder, or takes too long, costs one process, which is replaced.
    The network runs one video after another, so that each has all cores.

    Args:
        limits: bounds on requests.
        decoders: number of processes that decode.
        decoder_memory: MiB that each of them may take beyond its own code (on Linux).
        metrics: where requests and decoders are counted; by default nobody reads them.

    Raises:
        ValueError: if `decoders` is not positive, or the memory not four bodies' at least.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        decoders: int,
        decoder_memory: int = DECODER_MEMORY_MIB,
        metrics: Metrics | None = None,
    ) -> None:
        if decoders < 1:
            raise ValueError(f"`decoders` must be positive. Received: {decoders}")
        least = math.ceil(BODIES_IN_MEMORY * limits.request_bytes / 2**20)
        if decoder_memory < least:
            raise ValueError(
                f"`decoder_memory` must be at least {least} MiB, {BODIES_IN_MEMORY} times "
                f"`request_bytes`. Received: {decoder_memory}"
            )
        self.limits = limits
        self.metrics = metrics or Metrics(limits)
        self._ahead = asyncio.Semaphore(decoders + 1)  # requests whose frames may be held decoded
        self._decoder_memory = decoder_memory
        self._in_work = 0
        self._without_work = asyncio.Event()
        self._without_work.set()
        self._closed = False
        self._scorer = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._callers = ThreadPoolExecutor(decoders, thread_name_prefix="decoder")
        self._decoders = {_Decoder(decoder_memory) for _ in range(decoders)}
        self._idle: asyncio.Queue[_Decoder] = asyncio.Queue()
        for decoder in self._decoders:
            self._idle.put_nowait(decoder)
        self.metrics.watch_decoders(lambda: [d.number for d in [*self._decoders]], decoder_memory)

    @contextlib.contextmanager
    def admitted(self) -> Iterator[None]:
        """Holds one of the places for requests, `limits.waiting` in number.

        Raises:
            Overloaded: if all are taken.
        """
        self.check_place()
        self._in_work += 1
        self._without_work.clear()
        self.metrics.requests_in_work.set(self._in_work)
        try:
            yield
        finally:
            self._in_work -= 1
            if not self._in_work:
                self._without_work.set()
            self.metrics.requests_in_work.set(self._in_work)

    async def without_work(self) -> None:
        """Waits until no request is in work."""
        await self._without_work.wait()

    def check_place(self) -> None:
        """Makes sure that one of the places is free.

        Raises:
            Overloaded: if none is.
        """
        if self._in_work >= self.limits.waiting:
            raise Overloaded(f"{self._in_work} requests are in work already: try again later")

    async def within_time(self, work: Awaitable[T]) -> T:
        """Returns the result of the work.

        Raises:
            Overloaded: if it takes longer than `limits.seconds`.
        """
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await work
        except TimeoutError as error:
            raise Overloaded(
                f"not answered within {self.limits.seconds:g} s: send less, or try again later",
                reason="timeout",
            ) from error

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Holds one of the turns in which a request may have its frames decoded and held."""
        with self.metrics.timed("queue"):
            await self._ahead.acquire()
        try:
            yield
        finally:
            self._ahead.release()

    async def decode(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs `function(*arguments)` in a process that decodes; given up, the process is killed.

        Raises:
            BadRequest: if the function does, or the process died of it.
            TooLarge: if it needs more memory than a decoder may take.
            Overloaded: if the process was killed from outside, as for want of memory, or has died
                before and no other can be started.
            RuntimeError: if the function raises anything else, or no process takes the call.
        """
        with self.metrics.timed("decoder_queue"):
            decoder = await self._idle.get()
        loop = asyncio.get_running_loop()
        try:
            for _ in range(2):  # an idle decoder may be dying
                decoder = self._alive(decoder)
                call = loop.run_in_executor(self._callers, decoder.call, function, *arguments)
                with contextlib.suppress(_NotTaken), self.metrics.timed("decode"):
                    return await call
                decoder.kill()
            raise RuntimeError("two processes in a row died before they took the call")
        except (EOFError, OSError) as error:
            if decoder.was_killed():
                logging.getLogger(__name__).warning("a decoder was killed from outside")
                raise Overloaded(
                    "the decoder was killed from outside: try again later", reason="killed"
                ) from error
            decoder.kill()
            raise BadRequest("the decoder crashed on what was sent") from error
        except asyncio.CancelledError:
            decoder.kill()
            raise
        finally:
            with contextlib.suppress(Overloaded):  # the next call tries again
                decoder = self._alive(decoder)
            self._idle.put_nowait(decoder)

    async def score(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs `function(*arguments)` in the thread that scores."""
        asked = time.perf_counter()

        def scored() -> T:
            self.metrics.observe("network_queue", time.perf_counter() - asked)
            with self.metrics.timed("score"):
                return function(*arguments)

        return await self.load(scored)

    async def load(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs `function(*arguments)` in the same thread, and does not count it as scoring."""
        return await asyncio.get_running_loop().run_in_executor(self._scorer, function, *arguments)

    def close(self) -> None:
        """Ends the processes and the thread, whatever they do; no process is started any more."""
        self._closed = True
        for decoder in self._decoders:
            decoder.kill()
        self._callers.shutdown()
        self._scorer.shutdown(wait=False, cancel_futures=True)

    def _alive(self, decoder: "_Decoder") -> "_Decoder":
        """Returns the decoder, or a fresh one in its place if it has died before `close`.

        Raises:
            Overloaded: if no process can be started; the dead one keeps its place.
        """
        if self._closed or decoder.is_alive():
            return decoder
        try:
            fresh = _Decoder(self._decoder_memory)
        except OSError as error:  # as for want of memory, processes or files
            logging.getLogger(__name__).warning("no decoder can be started: %s", error)
            raise Overloaded(
                "no process that decodes can be started: try again later", reason="no_decoder"
            ) from error
        decoder.kill()  # it is dead: this takes it off the list of what is to be ended
        self._decoders.remove(decoder)
        self._decoders.add(fresh)
        self.metrics.decoder_restarts.inc()
        return fresh


class _NotTaken(Exception):
    """Says that a process died before it began with a call."""


class _Decoder:
    """Runs what it is sent in a process, one call at a time; it ends with this one.

    Args:
        memory: see `Workers`.
    """

    def __init__(self, memory: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, pipe = context.Pipe()
        self._process = context.Process(target=_run_calls, args=(pipe, memory), daemon=True)
        self._process.start()
        pipe.close()
        atexit.register(self.kill)  # comes before multiprocessing's, whose SIGTERM is ignored

    @property
    def number(self) -> int:
        """Returns the number of the process."""
        return self._process.pid or 0

    def is_alive(self) -> bool:
        """Tells whether it can take a call."""
        return self._process.is_alive()

    def was_killed(self) -> bool:
        """Tells whether a signal that no crash sends has ended it, of a process at its end."""
        self._process.join(1)
        code = self._process.exitcode
        return code is not None and code < 0 and -code not in _CRASHES

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Returns the function's result, or raises its error; blocks.

        Raises:
            _NotTaken: if the process dies before it begins with it.
            EOFError: if it dies of it.
            OSError: the same.
        """
        try:
            self._pipe.send((function, arguments))
            self._pipe.recv()
        except (EOFError, OSError) as error:
            raise _NotTaken from error
        result, failure = self._pipe.recv()
        if failure is not None:
            raise failure
        return result

    def kill(self) -> None:
        """Ends the process, whatever it does; a call in it raises EOFError or OSError."""
        self._process.kill()
        self._process.join()
        atexit.unregister(self.kill)


def _run_calls(pipe: Connection, memory: int) -> None:
    # Ctrl-C, systemd and `timeout` send them to all processes: they are the server's to answer
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.disable()  # libraries log pieces of what they read
    threading.Thread(target=_end_with_parent, daemon=True).start()
    importlib.import_module(_DECODING)
    limit_memory(memory)
    has_memory = True
    while has_memory:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send("taken")
        outcome: tuple[Any, Exception | None]
        try:
            outcome = function(*arguments), None
        except BadRequest as error:
            outcome = None, type(error)(str(error))  # without what it came from
        except MemoryError:
            outcome = None, TooLarge(f"to decode it takes more than {memory} MiB of memory")
            has_memory = False  # what is left may be in pieces: a fresh process takes its place
        except Exception as error:
            outcome = None, RuntimeError(f"decoding failed: {type(error).__name__}")
        pipe.send(outcome)


def _end_with_parent() -> None:
    """Ends this process, whatever it does, when the server has been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

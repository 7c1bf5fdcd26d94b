"""Where requests wait, are decoded and scored: bounded in number and time."""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pebble import ProcessExpired, ProcessPool
from prometheus_client import Gauge

from fstcn_keras.serving.limits import BadRequest, Limits, Overloaded

IN_WORK = Gauge("fstcn_requests_in_work", "Requests that are decoded, scored or wait for it")


class Workers:
    """Processes that decode and one thread that scores.

    A file that crashes the decoder, or takes too long, costs one process, which is replaced.
    The network runs one request after another, so that each has all cores.

    Args:
        limits: bounds on requests.
        decoders: number of processes that decode.
    """

    def __init__(self, limits: Limits, *, decoders: int):
        self.limits = limits
        self._in_work = 0
        self._scorer = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        context = multiprocessing.get_context("spawn")
        self._decoders = ProcessPool(max_workers=decoders, context=context)

    async def run(self, work: Callable):
        """Awaits `work()` as one request, within the limits.

        Raises:
            Overloaded: if too many requests are in work, or this one is not done in time.
        """
        if self._in_work >= self.limits.waiting:
            raise Overloaded(f"{self._in_work} requests are in work already: try again later")
        self._in_work += 1
        IN_WORK.set(self._in_work)
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await work()
        except TimeoutError as error:
            raise Overloaded(
                f"not answered within {self.limits.seconds:g} s: send less, or try again later"
            ) from error
        finally:
            self._in_work -= 1
            IN_WORK.set(self._in_work)

    async def decode(self, function: Callable, *arguments):
        """`function(*arguments)` in a process that decodes; given up, the process ends.

        Raises:
            BadRequest: if the process died of it.
        """
        try:
            return await asyncio.wrap_future(self._decoders.schedule(function, args=arguments))
        except ProcessExpired as error:
            raise BadRequest("the decoder crashed on what was sent") from error

    async def score(self, function: Callable, *arguments):
        """`function(*arguments)` in the thread that scores."""
        return await asyncio.get_running_loop().run_in_executor(self._scorer, function, *arguments)

    def close(self):
        """Ends the processes and the thread, whatever they do."""
        self._decoders.stop()
        self._decoders.join()
        self._scorer.shutdown(cancel_futures=True)

"""Bounds requests while they arrive: they hold no place in work before they are whole."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.refusals import Overloaded

GRACE_S = 5.0
BYTES_PER_S = 4096  # of a body, on average


class Arrivals:
    """Holds the requests that are not whole yet, in bounds of time, number and bytes in all.

    Where they hold too many bytes together, the one that holds most is given up.

    Example:
        >>> async def receive(arrivals):
        ...     async with arrivals.arriving() as arrival:
        ...         arrival.grow(1000)
        ...     return arrivals.held_bytes
        >>> asyncio.run(receive(Arrivals(Limits())))
        0

    Args:
        limits: of each of them; in all they may take `waiting` times `request_bytes`.
        number: at a time; beyond it the oldest is given up. `None`: any number.
        grace_s: seconds that each may take before the least rate, `BYTES_PER_S`, counts.
    """

    def __init__(
        self, limits: Limits, *, number: int | None = None, grace_s: float = GRACE_S
    ) -> None:
        self.held_bytes = 0
        self._limits = limits
        self._number = number
        self._grace_s = grace_s
        self._arriving: dict[Arrival, None] = {}
        self._ended = False
        self._too_large: Arrival | None = None  # the last that was given up for its bytes

    @contextlib.asynccontextmanager
    async def arriving(self) -> AsyncIterator["Arrival"]:
        """Gives the time and memory within which a request must arrive.

        Raises:
            TimeoutError: if it does not come in time.
            Overloaded: if it holds most of too many bytes, or the server ends.
        """
        if self._ended:
            raise Overloaded("the server is ending", reason="ending")
        if self._number is not None and len(self._arriving) >= self._number:
            self._give_up(next(iter(self._arriving)))
        arrival = Arrival(self, self._limits, self._grace_s)
        self._arriving[arrival] = None
        try:
            async with arrival.timeout:
                yield arrival
        except TimeoutError as error:
            if self._ended:
                raise Overloaded("the server is ending", reason="ending") from error
            if arrival is self._too_large:
                raise Overloaded(
                    "requests of too many bytes are arriving: try again later"
                ) from error
            raise
        finally:
            self._forget(arrival)

    def end(self) -> None:
        """Gives all of them up, and those to come."""
        self._ended = True
        for arrival in list(self._arriving):
            self._give_up(arrival)

    def take(self, arrival: "Arrival", number: int) -> bool:
        """Counts so many more bytes of one of them; returns false if it is given up."""
        if arrival not in self._arriving:
            return False
        arrival.bytes += number
        self.held_bytes += number
        if self.held_bytes > self._limits.waiting * self._limits.request_bytes:
            self._too_large = max(self._arriving, key=lambda other: other.bytes)
            self._give_up(self._too_large)
        return arrival in self._arriving

    def _give_up(self, arrival: "Arrival") -> None:
        self._forget(arrival)
        arrival.end_at(0)

    def _forget(self, arrival: "Arrival") -> None:
        if arrival in self._arriving:
            del self._arriving[arrival]
            self.held_bytes -= arrival.bytes


class Arrival:
    """Holds what a request that is not whole yet has taken."""

    def __init__(self, arrivals: Arrivals, limits: Limits, grace_s: float) -> None:
        self.bytes = 0
        self._grace_s = grace_s
        self._arrivals = arrivals
        self._limits = limits
        self._begin = asyncio.get_running_loop().time()
        self.timeout = asyncio.timeout_at(self._deadline())

    def grow(self, number: int) -> None:
        """Counts so many more bytes, which buy time, unless it is given up."""
        if self._arrivals.take(self, number):
            self.end_at(self._deadline())

    def end_at(self, when: float) -> None:
        """Sets the time of the loop at which it is given up, unless it is already."""
        if not self.timeout.expired():
            self.timeout.reschedule(when)

    def _deadline(self) -> float:
        return self._begin + min(self._limits.seconds, self._grace_s + self.bytes / BYTES_PER_S)

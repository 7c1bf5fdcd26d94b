"""Bounds what a connection over HTTP may hold, and for how long, beside its request in work.

Beyond the number of connections the one that is oldest among those without a request in work is
closed, so that a new one, as of a health check, gets its turn; where each has one, the oldest of
those that do not take their answers; and where all do, the new one. What is refused here never
becomes a request that the application sees, and is counted and logged here.
"""

import asyncio
import itertools
import resource
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fstcn_keras.serving.metrics import Metrics
from fstcn_keras.serving.observation import AccessLog, Observation

HEADER_BYTES = 64 * 2**10
HEADER_S = 10.0
SENDING_S = 30.0  # in which a client must take some of what is there for it
MAX_CONNECTIONS = 512  # fewer where the process may have few files open: a quarter of them
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n\r\n"


def max_connections() -> int:
    """Returns the number of connections at a time, which leaves files for all else.

    Example:
        >>> 0 < max_connections() <= MAX_CONNECTIONS
        True
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(1, min(MAX_CONNECTIONS, files // 4)) if files > 0 else MAX_CONNECTIONS


class BoundedProtocol(HttpToolsProtocol):
    """Reads requests as uvicorn does, within the bounds of this module.

    Args:
        metrics: where requests are counted that are refused before they are one.
        log: where they are logged.
        options: what uvicorn gives its protocol.
    """

    def __init__(self, *, metrics: Metrics, log: AccessLog, **options: Any) -> None:
        super().__init__(**options)
        self._header_bytes = 0
        self._is_in_header = False
        self._header_timer: asyncio.TimerHandle | None = None
        self._sending_timer: asyncio.TimerHandle | None = None
        self._metrics, self._log = metrics, log

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a connection if there is room for it, or another one makes room.

        One client's may be half of all.
        """
        super().connection_made(transport)
        opened = self._opened()
        most, host = max_connections(), self.client and self.client[0]
        same = [other for other in opened if other.client and other.client[0] == host]
        has_room = len(same) < max(1, most // 2) or _close_one(same)
        if has_room and (len(opened) < most or _close_one(opened)):
            opened[self] = None
            self._wait_for_header()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._opened().pop(self, None)
        self._cancel_timer()
        self._end_sending_time()
        super().connection_lost(exc)

    def abort(self) -> None:
        """Closes the connection at once, whatever is still to be sent."""
        self._opened().pop(self, None)
        self.transport.abort()

    def pause_writing(self) -> None:
        """Waits for the client to take what is there for it, but not for long."""
        super().pause_writing()
        self._sending_timer = self.loop.call_later(SENDING_S, self.abort)

    def resume_writing(self) -> None:
        """Goes on, as the client has taken most of it."""
        super().resume_writing()
        self._end_sending_time()

    def data_received(self, data: bytes) -> None:
        """Reads on, and closes the connection if its header is too long."""
        if self._header_timer is None and not self.is_in_work() and not self._has_body_to_come():
            self._wait_for_header()
        was_in_header = self._awaits_header()
        super().data_received(data)
        if was_in_header and self._awaits_header():
            self._count(len(data))

    def on_message_begin(self) -> None:
        """Counts anew; a header may come while the request before it is in work."""
        super().on_message_begin()
        self._is_in_header = True
        if self._header_timer is None:
            self._header_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header, or the trailer of a body in chunks."""
        super().on_header(name, value)
        if not self._awaits_header():
            self._count(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Ends the time for them."""
        self._is_in_header = False
        self._cancel_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends the body, also where its answer came before its end."""
        super().on_message_complete()
        if self.cycle is not None:
            self.cycle.more_body = False

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._observe_refusal("400", "bad_request")
        super().send_400_response(msg)

    def is_in_work(self) -> bool:
        """Tells whether it has a whole request that is not answered."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    def is_unread(self) -> bool:
        """Tells whether its client does not take what is there for it, at the moment."""
        return self._sending_timer is not None

    def _opened(self) -> "dict[BoundedProtocol, None]":
        """Returns the server's connections that are not given up, in the order of their coming."""
        return vars(self.server_state).setdefault("opened", {})

    def _awaits_header(self) -> bool:
        return self._is_in_header or self._header_timer is not None

    def _has_body_to_come(self) -> bool:
        return self.cycle is not None and self.cycle.more_body

    def _count(self, number: int) -> None:
        self._header_bytes += number
        if self._header_bytes > HEADER_BYTES and not self.transport.is_closing():
            self._observe_refusal("431", "too_large")
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def _wait_for_header(self) -> None:
        self._header_bytes = 0
        self._header_timer = self.loop.call_later(HEADER_S, self._end_waiting)

    def _end_waiting(self) -> None:
        if self._header_bytes:  # a connection that is silent asks for nothing
            self._observe_refusal("408", "slow")
        self.abort()

    def _observe_refusal(self, status: str, reason: str) -> None:
        observed = Observation("other", received=self._header_bytes, reason=reason)
        client = self.client[0] if self.client else ""
        observed.end(status, client=client, metrics=self._metrics, log=self._log)

    def _cancel_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _end_sending_time(self) -> None:
        if self._sending_timer is not None:
            self._sending_timer.cancel()
            self._sending_timer = None


def _close_one(connections: Iterable[BoundedProtocol]) -> bool:
    """Closes the first connection without a request in work, or else the first that is unread.

    Returns false if there is none.
    """
    idle = (one for one in connections if not one.is_in_work())
    unread = (one for one in connections if one.is_unread())
    found = next(itertools.chain(idle, unread), None)
    if found is not None:
        found.abort()
    return found is not None

"""Follows each request: its id, its line in the access log, and its place in the metrics."""

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

from fastapi.exceptions import RequestValidationError
from kserve.errors import ModelNotFound, ModelNotReady, ServerNotReady
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fstcn_keras.serving.metrics import Metrics
from fstcn_keras.serving.refusals import (
    BadRequest,
    NoMessage,
    Overloaded,
    TooLarge,
    UnknownEncoding,
    UnknownModel,
)

ID_HEADER = "X-Request-Id"
REFUSALS_PER_S = 10  # that are logged one by one
CLIENT_LEFT = 499  # as proxies have it
_PROTOCOLS = {"/v1/": "v1", "/v2/": "v2", "/page/": "page", "/metrics": "metrics"}
_OBSERVATION = "fstcn.observation"  # its key in the scope of a request
_REASONS = {  # the first that fits
    TooLarge: "too_large",
    UnknownEncoding: "encoding",
    UnknownModel: "unknown",
    NoMessage: "no_message",
    BadRequest: "bad_request",
    RequestValidationError: "bad_request",
    TimeoutError: "slow",
    ModelNotReady: "warming_up",
    ServerNotReady: "warming_up",
    ModelNotFound: "unknown",
    NotImplementedError: "unknown",
    HTTPException: "unknown",
    Exception: "internal_error",
}


def refusal_reason(error: Exception) -> str:
    """Names why a request is refused, in one word.

    Example:
        >>> refusal_reason(TooLarge("...")), refusal_reason(Overloaded("...", reason="timeout"))
        ('too_large', 'timeout')
    """
    if isinstance(error, Overloaded):
        return error.reason
    return next(reason for kind, reason in _REASONS.items() if isinstance(error, kind))


class AccessLog:
    """Writes a line of JSON for each request, and of many refusals in one second a few.

    Example:
        >>> import io
        >>> log, file = AccessLog(None), io.StringIO()
        >>> AccessLog(file).write({"status": 200}, refused=False)
        >>> json.loads(file.getvalue())["status"]
        200

    Args:
        file: where to; `None`: nowhere.
    """

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._second = 0
        self._refusals = 0
        self._left_out = 0

    def write(self, line: dict, *, refused: bool) -> None:
        """Writes the line, unless too many refusals came in this second."""
        if self._file is None:
            return
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._refusals = second, 0
        self._refusals += refused
        if refused and self._refusals > REFUSALS_PER_S:
            self._left_out += 1
            return
        told = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **line}
        if self._left_out:
            told["refusals_left_out"] = self._left_out
            self._left_out = 0
        print(json.dumps(told), file=self._file, flush=True)


@dataclass
class Observation:
    """Holds what is known of a request in work.

    Example:
        >>> observed = Observation("v1")
        >>> len(observed.id), observed.reason
        (32, '')

    Attributes:
        protocol: see `Metrics`.
        id: made by the server, whatever the client sends.
        route: which of the server's own it is, never the path that was asked for.
        received: bytes of its body.
        reason: why it was refused; empty if it was not.
    """

    protocol: str
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    route: str = ""
    received: int = 0
    reason: str = ""
    _begin: float = field(default_factory=time.perf_counter)

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Notes why the body of a `with` is left by an error, and lets it pass.

        A client that leaves has not been refused.
        """
        try:
            yield
        except ClientDisconnect:
            raise
        except Exception as error:
            self.reason = refusal_reason(error)
            raise

    def end(self, status: str, *, client: str, metrics: Metrics, log: AccessLog) -> None:
        """Counts the request and logs it."""
        metrics.count_request(self.protocol, status)
        if self.reason:
            metrics.count_refusal(self.protocol, self.reason)
        line = {
            "id": self.id,
            "client": client,
            "protocol": self.protocol,
            "route": self.route,
            "status": status,
            "received_bytes": self.received,
            "seconds": round(time.perf_counter() - self._begin, 3),
        }
        if self.reason:
            line["reason"] = self.reason
        log.write(line, refused=bool(self.reason))


def observation(scope: Scope) -> Observation:
    """Returns that of a request over HTTP."""
    return scope[_OBSERVATION]


class Observed:
    """Observes all requests over HTTP, gives each answer its id, and answers errors with 500.

    Only that of an answer that has begun passes, so that its connection is closed.

    Args:
        app: what answers.
        metrics: where they are counted.
        log: where they are logged.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, log: AccessLog) -> None:
        self._app = app
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        kinds = (kind for start, kind in _PROTOCOLS.items() if path.startswith(start))
        observed = Observation("page" if path == "/" else next(kinds, "other"))
        scope[_OBSERVATION] = observed
        status = CLIENT_LEFT

        async def receiving() -> Message:
            message = await receive()
            observed.received += len(message.get("body", b""))
            return message

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[ID_HEADER] = observed.id
            await send(message)

        try:
            with observed.noting():
                await self._app(scope, receiving, sending)
        except Exception:
            if status != CLIENT_LEFT:
                raise
            logging.getLogger(__name__).exception("internal error")
            answer = JSONResponse({"error": "internal error"}, status_code=500)
            await answer(scope, receiving, sending)
        finally:
            observed.route = getattr(scope.get("route"), "path", "")
            client = (scope.get("client") or ("",))[0]
            observed.end(str(status), client=client, metrics=self._metrics, log=self._log)

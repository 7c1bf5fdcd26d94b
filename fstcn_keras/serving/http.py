"""Answers over HTTP by KServe's V1 and V2, with metrics and a page for people."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from kserve.errors import ModelNotFound, ModelNotReady, ServerNotReady
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fstcn_keras.serving.arrivals import Arrivals
from fstcn_keras.serving.compression import decompressed
from fstcn_keras.serving.connections import BoundedProtocol, max_connections
from fstcn_keras.serving.kserve_model import ClassifierDataPlane, FixedRepository
from fstcn_keras.serving.metrics import Metrics
from fstcn_keras.serving.observation import AccessLog, Observed, observation, refusal_reason
from fstcn_keras.serving.page_routes import add_page
from fstcn_keras.serving.refusals import (
    BadRequest,
    Overloaded,
    TooLarge,
    UnknownEncoding,
    UnknownModel,
)
from fstcn_keras.serving.requests import V2Request
from fstcn_keras.serving.workers import Workers

RETRY_AFTER_S = 1
KEEP_ALIVE_S = 65  # as KServe has it: longer than clients and proxies keep idle connections
_JSON_LENGTH = "Inference-Header-Content-Length"


def build_app(
    plane: ClassifierDataPlane, arrivals: Arrivals, folder: Path, log: AccessLog
) -> FastAPI:
    """Builds the application with all its routes, for the model of the plane, from this folder.

    Every answer that is no success is JSON, `{"error": what was wrong}`: 400 for a bad request,
    404 for an unknown model, 408 for a body that does not come, 413 beyond the limits of size, 415
    for a body compressed otherwise than by gzip or deflate,
    503 with `Retry-After` when busy or not ready. None repeats what was sent, and no trace of
    the program shows.
    """
    model = plane.model
    app = FastAPI(title="fstcn-keras", docs_url=None, redoc_url=None, openapi_url=None)
    add_page(app, plane, folder)

    # these come before KServe's, which would parse JSON in this process
    @app.get("/v1/models/{model_name}:predict")
    async def refuse_get() -> None:  # KServe would take `:predict` for part of the name
        raise HTTPException(405, "Method Not Allowed", {"Allow": "POST"})

    @app.post("/v2/models/{model_name}/infer")
    @app.post("/v2/models/{model_name}/versions/{version}/infer")
    async def infer_v2(model_name: str, request: Request, version: str | None = None) -> Response:
        plane.check_version(version)
        json_length = request.headers.get(_JSON_LENGTH)
        body = V2Request(await request.body(), json_length)
        answer, length = (await plane.infer_v2(model_name, body)).to_rest()
        if length is None:
            return JSONResponse(answer)
        headers = {_JSON_LENGTH: str(length)}
        return Response(answer, headers=headers, media_type="application/octet-stream")

    @app.get("/v2/models/{model_name}/versions/{version}")
    async def describe_version(model_name: str, version: str) -> JSONResponse:
        plane.check_version(version)
        return JSONResponse(await plane.model_metadata(model_name))

    @app.get("/v2/models/{model_name}/versions/{version}/ready")
    async def tell_version_ready(model_name: str, version: str) -> JSONResponse:
        plane.check_version(version)
        if not await plane.model_ready(model_name):
            raise ModelNotReady(model_name)
        return JSONResponse({"name": model_name, "ready": True})

    repository = FixedRepository(plane.model_registry)
    register_v1_endpoints(app, plane, repository)
    register_v2_endpoints(app, plane, repository)
    app.add_api_route("/metrics", metrics_handler)
    _handle_errors(app, model.name)
    app.add_middleware(Admission, workers=model.workers, arrivals=arrivals)
    app.add_middleware(Observed, metrics=model.workers.metrics, log=log)
    return app


def _handle_errors(app: FastAPI, name: str) -> None:
    statuses = {BadRequest: 400, UnknownModel: 404, TooLarge: 413, Overloaded: 503}
    for kind, status in statuses.items():
        app.add_exception_handler(kind, _answer_with(status))
    for kind, (status, text) in {
        ModelNotFound: (404, f"unknown model: this server has {name}"),
        NotImplementedError: (404, "the model has no explainer"),
        RequestValidationError: (400, "the address holds something else than what is expected"),
        ModelNotReady: (503, "the model is warming up"),
        ServerNotReady: (503, "the model is warming up"),
    }.items():
        app.add_exception_handler(kind, _answer_with(status, text))
    # Starlette's type of handlers does not tell which error comes to which
    app.add_exception_handler(HTTPException, _answer_http)  # type: ignore[arg-type]


def http_server(app: FastAPI, *, metrics: Metrics, log: AccessLog, drain_s: int) -> uvicorn.Server:
    """Makes a server that runs until its `should_exit`, and then answers the requests in work.

    Args:
        app: what answers.
        metrics: where requests are counted that do not get as far as that.
        log: where they are logged.
        drain_s: seconds for the requests in work at the end.
    """

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:  # they stop more than this server
            yield

    config = uvicorn.Config(
        app,
        log_level="error",  # its warnings are of what clients send
        access_log=False,
        timeout_graceful_shutdown=drain_s,
        timeout_keep_alive=KEEP_ALIVE_S,
        # uvicorn calls it as it would a class
        http=functools.partial(BoundedProtocol, metrics=metrics, log=log),  # type: ignore[arg-type]
        backlog=min(128, max_connections()),
        ws="none",
    )
    return Server(config)


class Admission:
    """Reads the body of a request within bounds, and admits it once it is whole.

    Those that come while too many are in work are not read.

    Args:
        app: the application behind it.
        workers: whose limits are observed.
        arrivals: what bounds the reading.
    """

    def __init__(self, app: ASGIApp, *, workers: Workers, arrivals: Arrivals) -> None:
        self._app = app
        self._workers = workers
        self._arrivals = arrivals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, as ASGI has it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        try:
            with observation(scope).noting():
                await self._admit(scope, receive, send)
        except Overloaded as error:
            await _error(503, str(error))(scope, receive, send)
        except TooLarge as error:
            await _error(413, str(error))(scope, receive, send)
        except UnknownEncoding as error:
            await _error(415, str(error))(scope, receive, send)
        except BadRequest as error:
            await _error(400, str(error))(scope, receive, send)
        except TimeoutError:
            closed = {"Connection": "close"}
            await _error(408, "the body did not arrive in time", closed)(scope, receive, send)
        except ClientDisconnect:
            pass

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._workers.check_place()
        headers = dict(scope["headers"])
        with self._workers.metrics.timed("read"):
            body = await self._read(headers, receive)
        with contextlib.ExitStack() as place:
            place.enter_context(self._workers.admitted())
            body = await self._decompressed(body, headers)
            await self._answer(scope, body, receive, send, answered=place.close)

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        most = self._workers.limits.request_bytes
        too_large = TooLarge(f"the body is longer than {most} bytes")
        if int(headers.get(b"content-length", b"0")) > most:
            raise too_large
        body = bytearray()
        more = True
        async with self._arrivals.arriving() as arrival:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                arrival.grow(len(part))
                body += part
                more = message.get("more_body", False)
                if len(body) > most:
                    raise too_large
        return bytes(body)

    async def _decompressed(self, body: bytes, headers: dict[bytes, bytes]) -> bytes:
        encoding = headers.get(b"content-encoding", b"").decode("latin-1")
        if encoding.strip().lower() in ("", "identity"):
            return body
        most = self._workers.limits.request_bytes
        return await asyncio.to_thread(decompressed, body, encoding, most)

    async def _answer(
        self,
        scope: Scope,
        body: bytes,
        receive: Receive,
        send: Send,
        *,
        answered: Callable[[], None],
    ) -> None:
        """Lets the application answer, and gives it up when the client leaves before.

        It calls `answered` as soon as the answer is out, before anything else is read: the client
        may have sent its next request by the time the application has ended.

        Raises:
            ClientDisconnect: if it has left.
        """
        is_answered = False

        async def sending(message: Message) -> None:
            nonlocal is_answered
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body")
            if is_answered:
                answered()

        work = asyncio.ensure_future(self._app(scope, _replay(body), sending))
        left = asyncio.ensure_future(receive())  # the body is here: nothing else comes
        try:
            await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not is_answered:
                raise ClientDisconnect
            await work
        finally:
            for task in (work, left):
                task.cancel()
            await asyncio.gather(work, left, return_exceptions=True)


def _replay(body: bytes) -> Receive:
    """Returns a channel that gives the body once."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await asyncio.Future()

    return replayed


def _answer_with(status: int, text: str | None = None) -> Callable:
    """Returns a handler that answers with the text, or with that of the error."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        observation(request.scope).reason = refusal_reason(error)
        return _error(status, str(error) if text is None else text)

    return handle


async def _answer_http(request: Request, error: HTTPException) -> JSONResponse:
    observation(request.scope).reason = refusal_reason(error)
    return _error(error.status_code, error.detail, error.headers)


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    if status == 503:
        headers = {"Retry-After": str(RETRY_AFTER_S)}
    return JSONResponse({"error": text}, status_code=status, headers=headers)

"""The HTTP side: KServe's V1 and V2, metrics, and a page for people."""

import asyncio
import json
from collections.abc import Callable
from importlib import resources

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from kserve.errors import InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from kserve.protocol.rest.server import metrics_handler
from kserve.protocol.rest.v1_endpoints import register_v1_endpoints
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints
from starlette.exceptions import HTTPException

from fstcn_keras.serving.kserve_model import ClassifierDataPlane, ClassifierModel, FixedRepository
from fstcn_keras.serving.limits import BadRequest, Limits, Overloaded, TooLarge

RETRY_AFTER_S = 1
_CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
_CONTENT_POLICY += "connect-src 'self'; media-src blob:; img-src data:"


def build_app(model: ClassifierModel, plane: ClassifierDataPlane, limits: Limits) -> FastAPI:
    """The application with all its routes.

    Every answer that is no success is JSON, `{"error": what was wrong}`: 400 for a bad request,
    404 for an unknown model, 413 beyond the limits of size, 503 with `Retry-After` when busy or
    not ready. None repeats what was sent, and no trace of the program shows.
    """
    app = FastAPI(title="fstcn-keras", docs_url=None, redoc_url=None, openapi_url=None)
    repository = FixedRepository(plane.model_registry)
    register_v1_endpoints(app, plane, repository)
    register_v2_endpoints(app, plane, repository)
    app.add_api_route("/metrics", metrics_handler)
    page = resources.files("fstcn_keras.serving").joinpath("page.html").read_text("utf-8")
    page = page.replace("MODEL_NAME", json.dumps(model.name))

    @app.get("/")
    async def show_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _CONTENT_POLICY})

    for kind, status in {
        BadRequest: 400,
        InvalidInput: 400,
        TooLarge: 413,
        Overloaded: 503,
    }.items():
        app.add_exception_handler(kind, _answer_with(status, str))
    for kind, (status, text) in {
        ModelNotFound: (404, f"unknown model: this server has {model.name}"),
        NotImplementedError: (404, "the model has one version and no explainer"),
        ModelNotReady: (503, "the model is warming up"),
        ServerNotReady: (503, "the model is warming up"),
        Exception: (500, "internal error"),
    }.items():
        app.add_exception_handler(kind, _answer_with(status, lambda _, text=text: text))
    app.add_exception_handler(RequestValidationError, _answer_with(400, _invalid_fields))
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_middleware(BodyLimit, limits=limits)
    return app


class BodyLimit:
    """Reads the body of every request before it is answered, within bounds of length and time.

    Args:
        app: the application behind it.
        limits: `request_bytes` and `seconds` are observed.
    """

    def __init__(self, app, *, limits: Limits):
        self._app = app
        self._limits = limits

    async def __call__(self, scope, receive, send):
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._limits.seconds):
                body = await self._read(dict(scope["headers"]), receive)
        except TooLarge as error:
            await _error(413, str(error))(scope, receive, send)
        except TimeoutError:
            await _error(408, "the body did not arrive in time")(scope, receive, send)
        else:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, headers: dict[bytes, bytes], receive) -> bytes:
        limit = self._limits.request_bytes
        length = headers.get(b"content-length", b"0")
        body = bytearray()
        more = True
        while more and len(body) <= limit and int(length) <= limit:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if more or len(body) > limit:
            raise TooLarge(f"the body is longer than {limit} bytes")
        return bytes(body)


def _replay(body: bytes, receive) -> Callable:
    """A channel that gives the body once, then what the connection gives."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed():
        return messages.pop() if messages else await receive()

    return replayed


def _answer_with(status: int, text_of: Callable[[Exception], str]) -> Callable:
    async def handle(_: Request, error: Exception) -> JSONResponse:
        return _error(status, text_of(error))

    return handle


async def _answer_http(_: Request, error: HTTPException) -> JSONResponse:
    return _error(error.status_code, error.detail)


def _error(status: int, text: str) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return JSONResponse({"error": text}, status_code=status, headers=headers)


def _invalid_fields(error: RequestValidationError) -> str:
    """What pydantic missed, without what was sent."""
    first = error.errors()[0]
    return f"the body is not a request of this protocol: {first['type']}"

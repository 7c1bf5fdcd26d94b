"""Answers over gRPC by KServe's inference service (V2)."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from grpc import (
    HandlerCallDetails,
    RpcMethodHandler,
    StatusCode,
    aio,
    stream_unary_rpc_method_handler,
)
from kserve.errors import ModelNotFound, ModelNotReady
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service
from kserve.protocol.grpc.grpc_predict_v2_pb2 import (
    ModelInferResponse,
    ModelMetadataRequest,
    ModelMetadataResponse,
    ModelReadyRequest,
    ModelReadyResponse,
)
from kserve.protocol.grpc.servicer import InferenceServicer

from fstcn_keras.serving.arrivals import Arrivals
from fstcn_keras.serving.connections import max_connections
from fstcn_keras.serving.kserve_model import ClassifierDataPlane, FixedRepository
from fstcn_keras.serving.limits import INT_MAX
from fstcn_keras.serving.observation import ID_HEADER, AccessLog, Observation
from fstcn_keras.serving.refusals import BadRequest, NoMessage, Overloaded, TooLarge, UnknownModel
from fstcn_keras.serving.requests import GrpcRequest
from fstcn_keras.serving.workers import Workers

MAX_CALLS = 1000  # at a time; those whose message has not come are bounded further
MAX_MESSAGE = 64 * 2**10  # bytes, but for inference, whose messages this process does not parse
HANDSHAKE_MS = 3000
IDLE_MS = 10_000  # of a connection without a call; clients connect again by themselves
AGE_MS = 120_000  # of a connection, after which its calls may end; clients connect again
SENDING_S = 5  # for the last answers when the server stops
_STATUS = {  # of each error, and what is said instead of its own text
    UnknownModel: (StatusCode.NOT_FOUND, None),
    TooLarge: (StatusCode.RESOURCE_EXHAUSTED, None),
    BadRequest: (StatusCode.INVALID_ARGUMENT, None),
    DecodeError: (StatusCode.INVALID_ARGUMENT, "not a message of this protocol"),
    Overloaded: (StatusCode.RESOURCE_EXHAUSTED, None),
    TimeoutError: (StatusCode.DEADLINE_EXCEEDED, "the message did not come in time"),
    ModelNotFound: (StatusCode.NOT_FOUND, "unknown model"),
    ModelNotReady: (StatusCode.UNAVAILABLE, "the model is warming up"),
    Exception: (StatusCode.INTERNAL, "internal error"),
}


def grpc_server(
    plane: ClassifierDataPlane, workers: Workers, arrivals: Sequence[Arrivals], log: AccessLog
) -> aio.Server:
    """Makes the service, without a port yet; messages may be as long as bodies over HTTP.

    A client that never takes an answer holds its calls until its connection is closed: as soon as
    it makes no further ones, and at the latest by its age.

    Args:
        plane: what answers.
        workers: whose limits are observed.
        arrivals: what bounds the messages of inference calls, and those of all others.
        log: where calls are logged.
    """
    limits = workers.limits
    options = [
        ("grpc.max_receive_message_length", limits.request_bytes),
        ("grpc.so_reuseport", 0),
        ("grpc.max_allowed_incoming_connections", max_connections()),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_connection_idle_ms", IDLE_MS),
        ("grpc.max_connection_age_ms", AGE_MS),
        ("grpc.max_connection_age_grace_ms", int(min(2000 * limits.seconds, INT_MAX))),
    ]
    server = aio.server(
        interceptors=[_Calls(workers, arrivals, log)],
        options=options,
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    service.add_GRPCInferenceServiceServicer_to_server(_Servicer(plane), server)
    return server


async def stop(server: aio.Server, workers: Workers, *, drain_s: float) -> None:
    """Stops the service: requests in work are answered, and who takes no answer is not waited for.

    Args:
        server: that was started.
        workers: what has the requests in work.
        drain_s: seconds for them.
    """
    stopping = asyncio.ensure_future(server.stop(drain_s))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(workers.without_work(), drain_s)
    await asyncio.wait({stopping}, timeout=SENDING_S)
    if not stopping.done():
        stopping.cancel()
        await asyncio.wait({stopping})
        await server.stop(None)


class _Servicer(InferenceServicer):
    """Answers as KServe's does, but inference messages go to the decoding processes unread."""

    def __init__(self, plane: ClassifierDataPlane) -> None:
        super().__init__(plane, FixedRepository(plane.model_registry))
        self._plane = plane

    async def ModelInfer(self, message: bytes, context: aio.ServicerContext) -> ModelInferResponse:
        model = self._plane.model
        request = GrpcRequest(message, model.name, model.version)
        response = await self._plane.infer_v2(model.name, request)
        return response.to_grpc()

    async def ModelReady(
        self, request: ModelReadyRequest, context: aio.ServicerContext
    ) -> ModelReadyResponse:
        self._plane.check_version(request.version)
        return await super().ModelReady(request, context)

    async def ModelMetadata(
        self, request: ModelMetadataRequest, context: aio.ServicerContext
    ) -> ModelMetadataResponse:
        self._plane.check_version(request.version)
        return ModelMetadataResponse(**await self._plane.model_metadata(request.name))


class _Calls(aio.ServerInterceptor):
    """Admits calls, reads their message within bounds of time, and turns errors to status codes.

    gRPC itself would wait for the message of a unary call without end, so the calls are answered
    as streams of one message; clients cannot tell the difference. Inference takes its place among
    the requests in work once its message is there. The text of an error never repeats what was
    sent.
    """

    def __init__(self, workers: Workers, arrivals: Sequence[Arrivals], log: AccessLog) -> None:
        self._workers, self._log = workers, log
        self._inference, self._other = arrivals

    async def intercept_service(
        self,
        continuation: Callable[[HandlerCallDetails], Awaitable[RpcMethodHandler]],
        handler_call_details: HandlerCallDetails,
    ) -> RpcMethodHandler | None:
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method
            return None

        is_inference = handler_call_details.method.endswith("/ModelInfer")
        arrivals = self._inference if is_inference else self._other

        async def admit(observed: Observation, context: aio.ServicerContext) -> Any:
            if is_inference:
                self._workers.check_place()
            timed = self._workers.metrics.timed if is_inference else contextlib.nullcontext
            with timed("read"):
                async with arrivals.arriving():
                    message = await context.read()
            if message is aio.EOF:
                raise NoMessage("the call ended without a message")
            observed.received = len(message)
            if is_inference:
                with self._workers.admitted():
                    return await handler.unary_unary(message, context)
            if len(message) > MAX_MESSAGE:
                raise TooLarge(f"the message is longer than {MAX_MESSAGE} bytes")
            return await handler.unary_unary(handler.request_deserializer(message), context)

        async def answer(_: Any, context: aio.ServicerContext) -> Any:
            observed = Observation("grpc", route=handler_call_details.method)
            await context.send_initial_metadata(((ID_HEADER.lower(), observed.id),))
            code, told = StatusCode.CANCELLED, ""  # unless it is known better
            try:
                with observed.noting():
                    response = await admit(observed, context)
                code = StatusCode.OK
            except Exception as error:
                code, text = next(v for kind, v in _STATUS.items() if isinstance(error, kind))
                told = text or str(error)
                if code is StatusCode.INTERNAL:
                    logging.getLogger(__name__).exception("internal error")
            finally:
                metrics, client = self._workers.metrics, context.peer()
                observed.end(code.name, client=client, metrics=metrics, log=self._log)
            if code is not StatusCode.OK:
                await context.abort(code, told)
            return response

        return stream_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )

"""Answers over gRPC by KServe's inference service (V2)."""

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
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse
from kserve.protocol.grpc.servicer import InferenceServicer

from fstcn_keras.serving.arrivals import Arrivals
from fstcn_keras.serving.kserve_model import ClassifierDataPlane, FixedRepository
from fstcn_keras.serving.limits import BadRequest, Overloaded
from fstcn_keras.serving.requests import V2_FORM, Tensor
from fstcn_keras.serving.workers import Workers

MAX_CALLS = 1000  # at a time; those whose message has not come are bounded further
_STATUS = {  # of each error, and what is said instead of its own text
    BadRequest: (StatusCode.INVALID_ARGUMENT, None),
    DecodeError: (StatusCode.INVALID_ARGUMENT, "not a message of this protocol"),
    Overloaded: (StatusCode.RESOURCE_EXHAUSTED, None),
    TimeoutError: (StatusCode.DEADLINE_EXCEEDED, "the message did not come in time"),
    ModelNotFound: (StatusCode.NOT_FOUND, "unknown model"),
    ModelNotReady: (StatusCode.UNAVAILABLE, "the model is warming up"),
    Exception: (StatusCode.INTERNAL, "internal error"),
}


def grpc_server(
    plane: ClassifierDataPlane, workers: Workers, arrivals: Sequence[Arrivals]
) -> aio.Server:
    """Makes the service, without a port yet; messages may be as long as bodies over HTTP.

    Args:
        plane: what answers.
        workers: whose limits are observed.
        arrivals: what bounds the messages of inference calls, and those of all others.
    """
    limits = workers.limits
    options = [("grpc.max_receive_message_length", limits.request_bytes), ("grpc.so_reuseport", 0)]
    server = aio.server(
        interceptors=[_Calls(workers, *arrivals)],
        options=options,
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    service.add_GRPCInferenceServiceServicer_to_server(_Servicer(plane), server)
    return server


class _Servicer(InferenceServicer):
    """Answers as KServe's does, but tensors go to the decoding processes unread."""

    def __init__(self, plane: ClassifierDataPlane) -> None:
        super().__init__(plane, FixedRepository(plane.model_registry))
        self._plane = plane

    async def ModelInfer(
        self, request: ModelInferRequest, context: aio.ServicerContext
    ) -> ModelInferResponse:
        response = await self._plane.infer_v2(request.model_name, _tensor(request))
        answer = response.to_grpc()
        answer.id = request.id
        return answer


def _tensor(request: ModelInferRequest) -> Tensor:
    if len(request.inputs) != 1 or len(request.raw_input_contents) > 1:
        raise BadRequest(f"expected {V2_FORM}")
    (given,) = request.inputs
    data = (*request.raw_input_contents, None)[0]
    if data is None:
        if given.contents.uint_contents:
            raise BadRequest("UINT8 data must be sent in `raw_input_contents`")
        data = list(given.contents.bytes_contents)
    return Tensor(given.name, given.datatype, list(given.shape), data)


class _Calls(aio.ServerInterceptor):
    """Admits calls, reads their message within bounds of time, and turns errors to status codes.

    gRPC itself would wait for the message of a unary call without end, so the calls are answered
    as streams of one message; clients cannot tell the difference. Inference takes its place among
    the requests in work once its message is there. The text of an error never repeats what was
    sent.
    """

    def __init__(self, workers: Workers, inference: Arrivals, other: Arrivals) -> None:
        self._workers = workers
        self._inference, self._other = inference, other

    async def intercept_service(
        self,
        continuation: Callable[[HandlerCallDetails], Awaitable[RpcMethodHandler]],
        handler_call_details: HandlerCallDetails,
    ) -> RpcMethodHandler | None:
        handler = await continuation(handler_call_details)
        if handler is None:  # no such method
            return None

        is_inference = handler_call_details.method.endswith("/ModelInfer")
        place = self._workers.admitted if is_inference else contextlib.nullcontext
        arrivals = self._inference if is_inference else self._other

        async def answer(_: Any, context: aio.ServicerContext) -> Any:
            try:
                if is_inference:
                    self._workers.check_place()
                async with arrivals.arriving():
                    message = await context.read()
                if message is aio.EOF:
                    raise BadRequest("the call ended without a message")
                with place():
                    request = handler.request_deserializer(message)
                    return await handler.unary_unary(request, context)
            except Exception as error:
                status, text = next(v for kind, v in _STATUS.items() if isinstance(error, kind))
                if status is StatusCode.INTERNAL:
                    logging.getLogger(__name__).exception("internal error")
                await context.abort(status, text or str(error))

        return stream_unary_rpc_method_handler(
            answer, response_serializer=handler.response_serializer
        )

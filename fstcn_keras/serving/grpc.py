"""The gRPC side: KServe's inference service (V2)."""

from grpc import StatusCode, aio
from grpc_interceptor import AsyncExceptionToStatusInterceptor
from kserve.errors import InferenceError, ModelNotFound, ModelNotReady
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service
from kserve.protocol.grpc.servicer import InferenceServicer

from fstcn_keras.serving.kserve_model import ClassifierDataPlane, FixedRepository
from fstcn_keras.serving.limits import BadRequest, Limits, Overloaded

_MALFORMED = "not a request of this protocol"
_STATUS = {  # of each error, and what is said instead of its own text
    BadRequest: (StatusCode.INVALID_ARGUMENT, None),
    Overloaded: (StatusCode.RESOURCE_EXHAUSTED, None),
    ModelNotFound: (StatusCode.NOT_FOUND, "unknown model"),
    ModelNotReady: (StatusCode.UNAVAILABLE, "the model is warming up"),
    InferenceError: (StatusCode.INVALID_ARGUMENT, _MALFORMED),
    ValueError: (StatusCode.INVALID_ARGUMENT, _MALFORMED),
    KeyError: (StatusCode.INVALID_ARGUMENT, _MALFORMED),
    TypeError: (StatusCode.INVALID_ARGUMENT, _MALFORMED),
    Exception: (StatusCode.INTERNAL, "internal error"),
}


async def start_grpc(plane: ClassifierDataPlane, address: str, limits: Limits) -> aio.Server:
    """Starts the service at `host:port`; messages may be as long as bodies of requests.

    Raises:
        RuntimeError: if the address cannot be bound.
    """
    options = [("grpc.max_receive_message_length", limits.request_bytes), ("grpc.so_reuseport", 0)]
    server = aio.server(interceptors=[_Errors()], options=options)
    servicer = InferenceServicer(plane, FixedRepository(plane.model_registry))
    service.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    server.add_insecure_port(address)
    await server.start()
    return server


class _Errors(AsyncExceptionToStatusInterceptor):
    """Errors to status codes; the text never repeats what was sent."""

    async def handle_exception(self, error, request_or_iterator, context, method_name):
        status, text = next(v for kind, v in _STATUS.items() if isinstance(error, kind))
        await context.abort(status, text or str(error))

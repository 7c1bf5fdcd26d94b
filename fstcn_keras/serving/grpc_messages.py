"""Parses messages of KServe's gRPC protocol in the decoding processes.

A message of many empty parts takes fifty times its size once it is parsed.
"""

import functools
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf.message import DecodeError

from fstcn_keras.serving.refusals import BadRequest


def parsed(message: bytes) -> Any:
    """Returns the `ModelInferRequest` of these bytes.

    Example:
        >>> parsed(b"\\n\\x07actions").model_name
        'actions'

    Raises:
        BadRequest: if they are none.
    """
    try:
        return _messages().ModelInferRequest.FromString(message)
    except DecodeError as error:
        raise BadRequest("not a message of this protocol") from error


@functools.cache
def _messages() -> ModuleType:
    """Loads KServe's module of messages without the rest of KServe, which takes seconds."""
    kserve = importlib.util.find_spec("kserve")
    assert kserve is not None
    assert kserve.origin is not None
    file = Path(kserve.origin).parent / "protocol" / "grpc" / "grpc_predict_v2_pb2.py"
    spec = importlib.util.spec_from_file_location("grpc_predict_v2_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

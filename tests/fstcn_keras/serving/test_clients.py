"""The clients that people have: KServe's by V1, V2 and gRPC, Triton's by HTTP and gRPC."""

import asyncio
import base64

import pytest

pytest.importorskip("kserve")

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferResponse

from tests.fstcn_keras.serving.test_server import inference, is_expected

http = pytest.importorskip("tritonclient.http", reason="pip install 'tritonclient[http,grpc]'")
grpc = pytest.importorskip("tritonclient.grpc", reason="pip install 'tritonclient[http,grpc]'")

pytestmark = pytest.mark.slow
NAME = "tiny run"
OUTPUTS = ("classes", "scores", "sci")


@pytest.fixture(scope="module")
def expected(classifier, frames):
    return classifier.predict_video(frames)


def arrays(response) -> dict[str, np.ndarray | list[str]]:
    """What a client makes of an answer by V2, names as text."""
    found = {name: response.as_numpy(name) for name in OUTPUTS}
    names = [name if isinstance(name, str) else name.decode() for name in found["classes"]]
    return {**found, "classes": names}


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_kserves_rest_client(server, video, expected, protocol):
    async def ask():
        client = InferenceRESTClient(RESTConfig(protocol=protocol, timeout=60))
        assert await client.is_server_live(server.url)
        if protocol == "v2":
            assert await client.is_server_ready(server.url)
        assert await client.is_model_ready(server.url, NAME)
        body = {"instances": [{"video": {"b64": base64.b64encode(video).decode()}}]}
        data = inference("video", [video]) if protocol == "v2" else body
        answer = await client.infer(server.url, data, model_name=NAME)
        await client.close()
        return answer

    answer = asyncio.run(ask())
    found = arrays(answer) if protocol == "v2" else answer["predictions"][0]
    assert is_expected(found, expected)


def test_kserves_grpc_client(server, video, expected):
    async def ask():
        async with InferenceGRPCClient(url=server.grpc_address, timeout=60) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready(NAME)
            return await client.infer(inference("video", [video]))

    answer = asyncio.run(ask())
    assert not isinstance(answer, ModelInferResponse)
    assert is_expected(arrays(answer), expected)


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("library", [http, grpc], ids=["http", "grpc"])
def test_tritons_clients(server, frames, expected, library, compression):
    is_http = library is http
    address = server.url.removeprefix("http://") if is_http else server.grpc_address
    with library.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(NAME)
        assert client.is_model_ready(NAME, "1")
        for metadata in (client.get_model_metadata(NAME), client.get_server_metadata()):
            assert (metadata["name"] if is_http else metadata.name) in (NAME, "kserve")
        given = library.InferInput("frames", list(frames.shape), "UINT8")
        given.set_data_from_numpy(frames)
        name = "request_compression_algorithm" if is_http else "compression_algorithm"
        for outputs in (None, [library.InferRequestedOutput(name) for name in OUTPUTS]):
            answer = client.infer(NAME, [given], outputs=outputs, **{name: compression})
            assert is_expected(arrays(answer), expected)

"""The clients that people have: KServe's by V1, V2 and gRPC, Triton's by HTTP and gRPC."""

import asyncio
import base64
import importlib.util
import json
import os

import pytest

pytest.importorskip("kserve")

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferResponse, RESTConfig

from tests.fstcn_keras.serving.test_server import inference, is_expected
from tests.processes import HANG_S, ROOT, run_command

pytestmark = pytest.mark.slow
NAME = "tiny run"
# this code before others', as `run_command` has it, and whatever else the environment names
OTHER_PATHS = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def expected(classifier, frames):
    return classifier.predict_video(frames)


def arrays(response: InferResponse) -> dict[str, np.ndarray | list[str]]:
    """What KServe's clients make of an answer by V2, names as text."""
    found = {output.name: output.as_numpy() for output in response.outputs}
    names = [name if isinstance(name, str) else name.decode() for name in found["classes"]]
    return {**found, "classes": names}


@pytest.mark.parametrize("protocol", ["v1", "v2"])
def test_kserves_rest_client(server, video, expected, protocol):
    async def ask():
        client = InferenceRESTClient(RESTConfig(protocol=protocol, timeout=HANG_S))
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
        async with InferenceGRPCClient(url=server.grpc_address, timeout=HANG_S) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready(NAME)
            return await client.infer(inference("video", [video]))

    assert is_expected(arrays(asyncio.run(ask())), expected)


@pytest.mark.skipif(
    importlib.util.find_spec("tritonclient") is None,
    reason="pip install 'tritonclient[http,grpc]'",
)
@pytest.mark.parametrize("compression", ["", "gzip", "deflate"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tritons_clients(server, frames, expected, tmp_path, protocol, compression):
    address = {"http": server.url.removeprefix("http://"), "grpc": server.grpc_address}[protocol]
    np.save(tmp_path / "frames.npy", frames)
    arguments = (protocol, address, NAME, tmp_path / "frames.npy", compression)
    done = run_command("tests.fstcn_keras.serving.triton", *arguments, **OTHER_PATHS)
    assert done.returncode == 0, done.stderr
    for answer in json.loads(done.stdout):
        assert is_expected(answer, expected)

"""Damaged requests and videos: the server answers each, in time, and never with 500.

The large version sends 2,000 requests and 500 videos: pytest -m slow
tests/fstcn_keras/serving/test_fuzz.py
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("kserve")

import grpc
import httpx
import numpy as np

from tests.fstcn_keras.serving.test_server import V1, V2, base64_of, inference, pngs, tensor
from tests.servers import own_lines
from tests.videos import encoded, noise, write_video

LIMIT_S = 30  # the server's own, by default
ANSWERS = {200, 400, 404, 405, 408, 413, 503}
ODD = [None, True, -1, 0, 2**31, 2**63, 1e300, "", "x", [], [[]], {}, {"b64": 0}, "\0", "é" * 99]
Headers = dict[str, str]


def edited(generator: np.random.Generator, data: bytes) -> bytes:
    """The bytes with one to eight pieces changed, lost, repeated or added."""
    result = bytearray(data)
    for _ in range(generator.integers(1, 9)):
        start = int(generator.integers(len(result) + 1))
        length = int(2 ** generator.integers(11))
        piece = result[start : start + length]
        match generator.integers(6):
            case 0:
                result[start : start + 1] = generator.bytes(1)
            case 1:
                del result[start : start + length]
            case 2:
                result[start:start] = piece
            case 3:
                result[start : start + len(piece)] = generator.bytes(len(piece))
            case 4:
                result[start : start + 4] = generator.choice([b"\0\0\0\0", b"\xff\xff\xff\xff"])
            case 5 if generator.random() < 0.2:
                del result[start:]
    return bytes(result)


def edited_json(generator: np.random.Generator, value):
    """The value with a random part of it replaced by something odd, lost or repeated."""
    if isinstance(value, dict | list) and value and generator.random() < 0.8:
        result = value.copy()
        keys = list(result) if isinstance(result, dict) else range(len(result))
        key = keys[generator.integers(len(keys))]
        if generator.random() < 0.1:
            del result[key]
        else:
            result[key] = edited_json(generator, result[key])
        return result
    return ODD[generator.integers(len(ODD))]


def requests(generator: np.random.Generator, video: bytes) -> Iterator[tuple[str, Headers, bytes]]:
    """Damaged requests without end: their path, headers and body."""
    frames = noise(2, height=70, width=72)
    png, jpeg = pngs(frames)[0], encoded(frames[0], "jpeg")
    images = [[{"b64": base64_of(image)}] * 2 for image in (png, jpeg)]
    whole = [(V1, {"instances": [{"frames": both}]}) for both in images]
    whole += [
        (V1, {"instances": [{"video": {"b64": base64_of(video)}}]}),
        (V2, {"id": "1", **tensor("frames", "UINT8", [2, 3, 4, 3], data=[7] * 72)}),
        (V2, tensor("frames", "BYTES", [2], data=[base64_of(jpeg)] * 2)),
    ]
    form = httpx.Request("POST", "http://x", files={"video": ("a.avi", video), "b": b"1"})
    form.read()
    raw = json.dumps(tensor("frames", "BYTES", [1])).encode()
    raw_body = raw + len(png).to_bytes(4, "little") + png
    while True:
        path, body = whole[generator.integers(len(whole))]
        match generator.integers(5):
            case 0:
                yield path, {}, json.dumps(edited_json(generator, body)).encode()
            case 1:
                yield path, {}, edited(generator, json.dumps(body).encode())
            case 2:
                headers = {"Content-Type": form.headers["Content-Type"]}
                yield V1, headers, edited(generator, form.content)
            case 3:
                headers = {"Inference-Header-Content-Length": str(len(raw))}
                yield V2, headers, edited(generator, raw_body)
            case 4:
                kind = generator.choice(["video/mp4", "multipart/form-data", "a", ";", ""])
                headers = {"Content-Type": kind, "ce-specversion": "1.0", "ce-id": "x"}
                yield path, headers, edited(generator, json.dumps(body).encode())


def answers(number: int, client: httpx.Client, next_request: Callable) -> Counter:
    """How often each status came; every answer in time, and well formed."""
    statuses = Counter()
    for count in range(number):
        path, headers, body = next_request()
        begin = time.monotonic()
        response = client.post(path, headers=headers, content=body)
        assert time.monotonic() - begin < LIMIT_S + 10, (count, headers, body[:1000])
        assert response.status_code in ANSWERS, (count, response.text, headers, body[:1000])
        assert (response.status_code == 200) != ("error" in response.json())
        statuses[response.status_code] += 1
    return statuses


@pytest.mark.parametrize(
    ("num_requests", "num_videos"), [(60, 15), pytest.param(2000, 500, marks=pytest.mark.slow)]
)
def test_damaged_requests(server, log, small_video, num_requests, num_videos):
    generator = np.random.default_rng(num_videos)
    damaged = requests(generator, small_video)
    with server.client() as client:
        statuses = answers(num_requests, client, lambda: next(damaged))
        assert statuses[400] > num_requests / 2  # most are not merely refused by size or path

        def damaged_video():
            kind = {"Content-Type": "video/x"}
            return V1, kind, edited(generator, videos[generator.integers(len(videos))])

        videos = [small_video, *other_videos(log.parent)]
        statuses = answers(num_videos, client, damaged_video)
        assert statuses[200] > 0  # some are damaged in part only
        assert client.post(V1, files={"video": small_video}).status_code == 200
    assert server.process.poll() is None
    assert own_lines(log.read_text()) == []


def other_videos(folder) -> list[bytes]:
    frames = noise(12, height=72, width=80)
    kinds = {"a.mp4": "libx264", "a.webm": "vp8", "a.mpg": "mpeg2video", "a.mkv": "ffv1"}
    files = (write_video(folder / name, frames, codec=kind) for name, kind in kinds.items())
    return [file.read_bytes() for file in files]


@pytest.fixture(scope="module")
def small_video(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("fuzz") / "a.avi"
    return write_video(path, noise(12, height=72, width=80), codec="mpeg4").read_bytes()


def test_damaged_grpc_messages(server, log, small_video):
    message = inference("video", [small_video]).to_grpc().SerializeToString()
    generator = np.random.default_rng(0)
    codes = Counter()
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for _ in range(100):
            try:
                call(edited(generator, message), timeout=LIMIT_S + 10)
            except grpc.RpcError as error:
                codes[error.code()] += 1
    assert set(codes) <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert codes[grpc.StatusCode.INVALID_ARGUMENT] > 10
    assert own_lines(log.read_text()) == []

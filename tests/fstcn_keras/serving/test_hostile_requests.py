"""Requests and files that are made to take the server's memory or time, or to reach further."""

import asyncio
import contextlib
import json
import socket
import struct
from pathlib import Path

import psutil
import pytest

pytest.importorskip("kserve")

import grpc

from fstcn_keras.serving.connections import max_connections
from fstcn_keras.serving.decoding import decode_request
from fstcn_keras.serving.limits import CODE_MIB, Limits
from fstcn_keras.serving.refusals import BadRequest, TooLarge
from fstcn_keras.serving.requests import GrpcRequest, Request, V1Request, V2Request
from fstcn_keras.serving.workers import Workers
from tests.fstcn_keras.serving.conftest import PLAN
from tests.fstcn_keras.serving.test_observation import growth
from tests.fstcn_keras.serving.test_server import inference
from tests.processes import HANG_S
from tests.videos import noise, write_video

MEMORY_MIB = 256
LIMITS = Limits(request_bytes=32 * 2**20)


@pytest.fixture(scope="module")
def decoders():
    decoders = Workers(LIMITS, decoders=1, decoder_memory=MEMORY_MIB)
    yield decoders
    decoders.close()


def refusal(decoders: Workers, request: Request) -> BadRequest:
    """Why the request is refused; the decoder stays within its memory meanwhile."""
    peaks = []

    async def decode():
        call = asyncio.create_task(decoders.decode(decode_request, request, PLAN, LIMITS))
        (decoder,) = decoders._decoders
        process = psutil.Process(decoder._process.pid)
        while not call.done():
            with contextlib.suppress(psutil.NoSuchProcess):  # after memory ran out
                peaks.append(process.memory_info().rss)
            await asyncio.sleep(0.005)
        await call

    with pytest.raises(BadRequest) as raised:
        asyncio.run(decode())
    assert max(peaks) < (CODE_MIB + MEMORY_MIB) * 2**20
    return raised.value


def claiming_mov(file: Path, samples: int) -> bytes:
    """A MOV whose table of sample sizes gives one size for so many samples."""
    content = bytearray(
        write_video(file, noise(2, height=32, width=32), codec="mpeg4").read_bytes()
    )
    struct.pack_into(">II", content, content.index(b"stsz") + 8, 1, samples)
    struct.pack_into(">I", content, content.index(b"stts") + 12, samples)
    struct.pack_into(">I", content, content.index(b"stsc") + 16, samples)
    return bytes(content)


def test_a_table_of_sixty_million_samples(decoders, tmp_path):
    mov = claiming_mov(tmp_path / "claim.mov", 60_000_000)
    assert len(mov) < 4000
    assert "no frame could be decoded" in str(refusal(decoders, V1Request(mov, "video/quicktime")))


def v2(shape: list[int], data: str) -> V2Request:
    text = f'{{"inputs": [{{"name": "frames", "datatype": "UINT8", "shape": {shape}, "data": '
    return V2Request(f"{text}{data}}}]}}".encode(), None)


NESTED = "[" * 500 + "]" * 500
V2_ATTACKS = {
    # NumPy would make every number a string as long as the longest
    "a long string": (v2([1, 10, 10, 3], json.dumps(["x" * 10**6] + [0] * 299)), "from 0 to 255"),
    "a short string": (v2([1, 1, 1, 3], '[0, 0, "1"]'), "from 0 to 255"),
    "a truth value": (v2([1, 1, 1, 3], "[0, 0, true]"), "from 0 to 255"),
    "an object": (v2([1, 1, 1, 3], "[0, 0, {}]"), "from 0 to 255"),
    "many numbers": (v2([1, 1, 1, 3], json.dumps([0] * 10**6)), "but 1000000 numbers"),
    "deep lists": (v2([1, 1, 1, 3], NESTED), "ragged, or nested in another way"),
    "lists at the end": (v2([1, 1, 1, 3], f"[0, 0, {NESTED}]"), "from 0 to 255"),
}


@pytest.mark.parametrize("name", V2_ATTACKS)
def test_tensors_are_checked_before_they_are_made(decoders, name):
    request, reason = V2_ATTACKS[name]
    found = refusal(decoders, request)
    assert not isinstance(found, TooLarge)
    assert reason in str(found)


@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        ("{},", "too many objects"),
        ("[],", "too many lists"),
        ('"",', "too many strings"),
        ("0,", f"takes more than {MEMORY_MIB} MiB"),
    ],
)
def test_json_of_many_items_is_not_parsed(decoders, piece, reason):
    body = '{"instances": [' + piece * (31 * 2**20 // len(piece)) + "0]}"
    found = refusal(decoders, V1Request(body.encode(), "application/json"))
    assert isinstance(found, TooLarge)
    assert reason in str(found)


@pytest.mark.parametrize("part", [b"*\0", b"*\2*\0", b":\0", b'"\2\n\0'])
def test_messages_of_many_parts(decoders, part):
    """Parsed, 32 MB of empty inputs would take 1.5 GB."""
    message = b"\n\1x" + part * (LIMITS.request_bytes // len(part))
    assert refusal(decoders, GrpcRequest(message, "x", "1"))


def test_a_form_of_many_parts(decoders):
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    found = refusal(
        decoders, V1Request(part * 100_000 + b"--x--\r\n", "multipart/form-data; boundary=x")
    )
    assert isinstance(found, TooLarge)
    assert "more than 108 parts" in str(found)


@pytest.mark.parametrize("parameter", ["", "; boundary", "; boundary="])
def test_a_form_without_a_boundary(parameter):
    """In a video there are many pairs of hyphens."""
    request = V1Request(b"--" * 1000, f"multipart/form-data{parameter}")
    with pytest.raises(BadRequest, match="names no boundary") as raised:
        decode_request(request, PLAN, LIMITS)
    assert not isinstance(raised.value, TooLarge)


def test_memory_beyond_the_limit_is_refused_and_the_next_request_answered(decoders):
    with pytest.raises(TooLarge, match=f"takes more than {MEMORY_MIB} MiB"):
        asyncio.run(decoders.decode(eval, f"len(bytes({MEMORY_MIB + 1} * 2**20))"))
    assert (
        asyncio.run(decoders.decode(eval, f"len(bytes({MEMORY_MIB // 2} * 2**20))"))
        == MEMORY_MIB // 2 * 2**20
    )


def test_a_decoder_holds_four_bodies_at_least():
    with pytest.raises(ValueError, match="at least 128 MiB, 4 times"):
        Workers(LIMITS, decoders=1, decoder_memory=99)


def connected(server, stack: contextlib.ExitStack) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return stack.enter_context(socket.create_connection((host, int(port)), timeout=HANG_S))


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_unfinished_headers_leave_room_for_health(server):
    with contextlib.ExitStack() as stack, server.client() as client:
        connections = []
        for _ in range(max_connections() + 20):
            connections.append(connected(server, stack))
            connections[-1].sendall(b"GET / HTTP/1.1\r\nX: ")
        assert client.get("/v2/health/live").json() == {"live": True}
        closed = [is_closed(connection) for connection in connections]
        assert closed.count(False) <= max_connections() // 2  # one client's part
        assert all(closed[:20])  # the oldest


@pytest.mark.parametrize(
    "begin",
    [
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nX: ",
        b"POST /v1/models/x:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n",
    ],
    ids=["headers", "one header", "trailers"],
)
def test_headers_without_end_are_cut(server, begin):
    more = b"x" * 10_000 if begin.endswith(b": ") else b"A: " + b"x" * 1000 + b"\r\n"
    with contextlib.ExitStack() as stack:
        connection = connected(server, stack)
        connection.sendall(begin)
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(20_000_000 // len(more)):
                connection.sendall(more)
        assert server.process.poll() is None


@contextlib.contextmanager
def stopped_decoders(server):
    """Lets no request be decoded."""
    decoders = server.decoders()
    for decoder in decoders:
        decoder.suspend()
    try:
        yield
    finally:
        for decoder in decoders:
            with contextlib.suppress(psutil.NoSuchProcess):
                decoder.resume()


def test_clients_that_leave_free_their_places(server, video):
    """Over HTTP and gRPC; the server itself would refuse them after 30 s."""

    def come_and_leave():
        connection = connected(server, stack)
        header = f"POST /v1/models/x:predict HTTP/1.1\r\nContent-Length: {len(video)}\r\n\r\n"
        connection.sendall(header.replace("/x:", "/tiny%20run:").encode() + video)
        channel = stack.enter_context(grpc.insecure_channel(server.grpc_address))
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        future = call.future(inference("video", [video]).to_grpc().SerializeToString())
        server.wait_for_requests(2)
        connection.close()
        server.wait_for_requests(1)
        future.cancel()
        server.wait_for_requests(0)

    with contextlib.ExitStack() as stack, stopped_decoders(server), server.client() as client:
        grown = growth(client, come_and_leave)
    for protocol, status in (("v1", "499"), ("grpc", "CANCELLED")):
        assert grown["fstcn_requests_total", ("protocol", protocol), ("status", status)] == 1
    refused = [key for key, value in grown.items() if key[0] == "fstcn_refusals_total" and value]
    assert refused == []  # they have left


@pytest.mark.slow
def test_a_header_that_does_not_come(server):
    with contextlib.ExitStack() as stack:
        connection = connected(server, stack)
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""

"""Many connections, slow bodies and large ones at once: health, a good client, and the memory."""

import contextlib
import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("kserve")

import grpc
import httpx
import psutil
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from PIL import Image

from fstcn_keras.serving.grpc import MAX_CALLS
from fstcn_keras.serving.limits import Limits, most_memory_mib
from fstcn_keras.serving.observation import ID_HEADER
from tests.fstcn_keras.serving.http2 import INFER, LIVE, PREFACE, calls_without_window, half_calls
from tests.fstcn_keras.serving.test_hostile_requests import claiming_mov
from tests.fstcn_keras.serving.test_server import inference
from tests.processes import HANG_S
from tests.servers import ServerProcess
from tests.videos import encoded, grey_ramp, write_video

FILES = 256  # that the server may have open
LIMITS = Limits(request_bytes=8 * 2**20, waiting=16)
DECODER_MEMORY = 256
TRIES = 10
V1 = "/v1/models/tiny run:predict"
HEAD = "POST /v1/models/tiny%20run:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
HALF_CALLS = 60


@pytest.fixture(scope="module")
def served(run, tmp_path_factory):
    log = tmp_path_factory.mktemp("logs") / "stderr.txt"
    options = ["--max-request-bytes", str(LIMITS.request_bytes), "--decoders", "1"]
    options += ["--decoder-memory", str(DECODER_MEMORY), "--max-waiting", str(LIMITS.waiting)]
    with ServerProcess(run, *options, log=log, files=FILES) as process:
        yield process
        assert log.stat().st_size < 10_000


def connections(address: str, number: int, sent: bytes, stack: contextlib.ExitStack):
    """So many of them, each of which has sent the same."""
    host, port = address.removeprefix("http://").rsplit(":", 1)
    for _ in range(number):
        with contextlib.suppress(OSError):  # closed at once, or not taken
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=5))
            one.setblocking(False)
            one.send(sent)


@contextlib.contextmanager
def calls_without_a_message(server, method: str, number: int) -> Iterator[None]:
    """So many calls over gRPC, each on a connection of its own."""
    with contextlib.ExitStack() as stack:
        never = threading.Event()
        stack.callback(never.set)
        for _ in range(number):
            channel = stack.enter_context(
                grpc.insecure_channel(server.grpc_address, [("grpc.use_local_subchannel_pool", 1)])
            )
            channel.stream_unary(method).future(iter(never.wait, True))
        yield


def check_served(server, video: bytes):
    """Health answers within a second at least once, over HTTP and gRPC, and a good client."""
    with server.client() as client:
        assert seconds(lambda: client.get("/v2/health/live").raise_for_status()) < 1
        answer = client.post(V1, files={"video": video})
        assert answer.status_code == 200, answer.text

    def live():
        with grpc.insecure_channel(
            server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert stub.ServerLive(messages.ServerLiveRequest(), timeout=10).live

    assert seconds(live) < 1


def seconds(ask: Callable) -> float:
    """The shortest time of some, as the machine may do other things; errors are no answer."""
    taken = [float("inf")]
    for _ in range(TRIES):
        begin = time.monotonic()
        with contextlib.suppress(httpx.HTTPError, grpc.RpcError):
            ask()
            taken.append(time.monotonic() - begin)
        if min(taken) < 1:
            break
        time.sleep(1)
    return min(taken)


FLOODS = {
    "silent": b"",
    "unfinished headers": b"GET / HTTP/1.1\r\nX: ",
    "no body": HEAD.format(1000).encode(),
    "slow bodies": HEAD.format(1000).encode() + b"x",
    "half pipelines": b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 20 + b"GET",
}


@pytest.mark.parametrize("kind", FLOODS)
def test_connections_over_http(served, video, kind):
    with contextlib.ExitStack() as stack:
        connections(served.url, 2 * FILES, FLOODS[kind], stack)
        check_served(served, video)


@pytest.mark.parametrize("sent", [b"", b"PRI", PREFACE], ids=["silent", "half", "preface"])
def test_connections_over_grpc(served, video, sent):
    with contextlib.ExitStack() as stack:
        connections(served.grpc_address, 2 * FILES, sent, stack)
        check_served(served, video)


@pytest.mark.parametrize("method", [INFER, LIVE])
def test_calls_without_a_message(served, video, method):
    with calls_without_a_message(served, method, 3 * LIMITS.waiting):
        check_served(served, video)


def begun(address: str, sent: bytes) -> socket.socket:
    """A connection with a call that has begun; one that the server does not take is tried again."""
    host, port = address.split(":")
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        one, answer = socket.create_connection((host, int(port)), timeout=60), b""
        one.sendall(sent)
        with contextlib.suppress(OSError):
            while part := one.recv(4096):
                answer += part
                if ID_HEADER.lower().encode() in answer:
                    return one
        one.close()
        time.sleep(0.2)
    raise AssertionError("the server takes no call")


@pytest.mark.parametrize("method", [INFER, LIVE])
@pytest.mark.parametrize("calls", [1, 20], ids=["one a connection", "many a connection"])
def test_half_messages_over_grpc(served, video, method, calls):
    with contextlib.ExitStack() as stack:
        sent = half_calls(method, calls)
        connections(served.grpc_address, HALF_CALLS // calls, sent, stack)
        stack.enter_context(begun(served.grpc_address, sent))
        with served.client() as client:  # and has no place
            assert "\nfstcn_requests_in_work 0.0\n" in client.get("/metrics").text
        check_served(served, video)
        check_served_over_grpc(served, video)


def test_answers_that_are_never_read(run, video, tmp_path):
    """They hold no place among the requests in work, nor a call for long, and stop no exit."""
    small = write_video(tmp_path / "small.mp4", grey_ramp(35), codec="libx264").read_bytes()
    request = inference("video", [small]).to_grpc().SerializeToString()
    options = ("--decoders", "1", "--max-waiting", str(LIMITS.waiting))
    with (
        ServerProcess(run, *options, log=tmp_path / "stderr.txt") as server,
        contextlib.ExitStack() as stack,
    ):
        host, port = server.grpc_address.split(":")

        def flood(sent: bytes):
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            one.sendall(sent)

        for _ in range(2 * LIMITS.waiting):
            flood(calls_without_window(INFER, 1, request))
        server.wait_for_requests(0)
        check_served_over_grpc(server, video)
        for _ in range(MAX_CALLS // 100 + 1):
            flood(calls_without_window(LIVE, 100))
        begin = time.monotonic()
        while seconds(lambda: check_served_over_grpc(server, video)) == float("inf"):
            assert time.monotonic() - begin < 60
        for _ in range(5):
            flood(calls_without_window(LIVE, 100))
        assert server.stop() == 143


def check_served_over_grpc(server, video: bytes):
    """A good client over gRPC is answered."""
    request = inference("video", [video]).to_grpc()
    with grpc.insecure_channel(
        server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(request, timeout=60, wait_for_ready=True).outputs


def test_headers_without_end_beside_others(served, video):
    with contextlib.ExitStack() as stack:
        host, port = served.url.removeprefix("http://").split(":")
        connection = stack.enter_context(socket.create_connection((host, int(port))))
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(20_000):
                connection.sendall(b"A: " + b"x" * 1000 + b"\r\n")
        check_served(served, video)


def test_the_memory_stays_below_what_help_states(served, video, tmp_path):
    """Attacks of every kind at once, the memory of the server and its decoders together."""
    most = most_memory_mib(LIMITS, decoders=1, decoder_memory=DECODER_MEMORY) * 2**20
    idle = psutil.Process(served.process.pid).memory_info().rss
    peaks, ended = [], threading.Event()

    def watch():
        while not ended.wait(0.02):
            with contextlib.suppress(psutil.NoSuchProcess):
                peaks.append(served.resident_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    size = LIMITS.request_bytes
    wide = encoded(Image.new("RGB", (16384, 68)))
    attacks = [
        {"content": claiming_mov(tmp_path / "a.mov", 60_000_000), "headers": kind("video/x")},
        {"content": gzip.compress(bytes(size - 1)), "headers": {"Content-Encoding": "gzip"}},
        {"content": b'{"instances": [' + b"0," * (size // 2 - 20) + b"0]}"},
        {"files": [("video", wide) for _ in range(8)]},
    ]
    parts = b"\n\x08tiny run" + b"*\0" * (size // 2 - 20)

    answers = []

    def attack(request: dict):
        with contextlib.suppress(httpx.HTTPError), served.client() as client:
            answers.append(client.post(V1, **request).status_code)

    def call(method: str):
        channel = grpc.insecure_channel(served.grpc_address)
        with contextlib.suppress(grpc.RpcError), channel:
            channel.unary_unary(method)(parts, timeout=60)

    with contextlib.ExitStack() as stack:
        body = HEAD.format(size).encode() + bytes(size - 1)
        for _ in range(2 * LIMITS.waiting):
            stack.enter_context(_sending(served.url, body))
        threads = [threading.Thread(target=attack, args=(one,)) for one in attacks * 4]
        threads += [
            threading.Thread(target=call, args=(method,))
            for method in (INFER, LIVE) * LIMITS.waiting
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        check_served(served, video)
    ended.set()
    watching.join()
    assert {*answers} <= {400, 408, 413, 503}  # 408 where this machine sends no faster
    assert max(peaks) - idle < most


def kind(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


@contextlib.contextmanager
def _sending(url: str, body: bytes) -> Iterator[None]:
    """A connection that sends the body as fast as it is taken, from a thread of its own."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:

        def send():
            with contextlib.suppress(OSError):
                connection.sendall(body)

        sending = threading.Thread(target=send)
        sending.start()
        yield
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sending.join()


def test_messages_that_are_whole_but_for_a_byte(served, video):
    request = inference("video", [video]).to_grpc().SerializeToString()
    with grpc.insecure_channel(served.grpc_address) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary(INFER)(request[:-1], timeout=60)
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT

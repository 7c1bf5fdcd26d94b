"""A server under stress: overload, hanging and crashing decoders, slow clients, its end.

It serves a SavedModel, with one decoding process that the tests stop, let go on and kill.
"""

import contextlib
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

pytest.importorskip("kserve")
pytest.importorskip("tensorflow")

import grpc
import httpx
import psutil
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from fstcn_keras.runs import model_name
from fstcn_keras.serving.loading import load_classifier
from tests.fstcn_keras.serving.test_server import from_v1, is_expected
from tests.processes import HANG_S
from tests.servers import ServerProcess
from tests.training.test_distribution import free_ports

SECONDS = 15  # the time limit; starting a decoder must fit into it, on a busy machine too
WAITING = 2
V1 = "/v1/models/actions:predict"


class Starter:
    """Starts the server of these tests, and again where a test has ended it."""

    def __init__(self, folder: Path, log: Path):
        self._folder, self._log = folder, log
        self._server: ServerProcess | None = None
        self.statuses: list[int] = []  # see `statuses_until_ready`

    def server(self) -> ServerProcess:
        if self._server is None or self._server.process.poll() is not None:
            (port,) = free_ports(1)
            limits = ("--max-seconds", str(SECONDS), "--max-waiting", str(WAITING))
            options = (*limits, "--decoders", "1", "--http-port", str(port))
            with ThreadPoolExecutor(1) as thread:
                starting = thread.submit(ServerProcess, self._folder, *options, log=self._log)
                self.statuses = statuses_until_ready(f"http://127.0.0.1:{port}", V1)
                self._server = starting.result()
        return self._server

    def stop(self):
        if self._server is not None and self._server.process.poll() is None:
            self._server.stop()


@pytest.fixture(scope="module")
def starter(exported, tmp_path_factory):
    starter = Starter(exported, tmp_path_factory.mktemp("logs") / "stderr.txt")
    yield starter
    starter.stop()


@pytest.fixture
def server(starter) -> ServerProcess:
    return starter.server()


@pytest.fixture
def client(server, video):
    with server.client() as client:
        yield client
        from_v1(client.post(V1, files={"video": video}))  # it has recovered from whatever happened


@contextlib.contextmanager
def posted(server, video, *, number: int = 1):
    """So many requests in work, their answers to come, with the decoder stopped."""
    (decoder,) = server.decoders()
    decoder.suspend()
    with server.client() as client, ThreadPoolExecutor(number) as threads:
        yield [threads.submit(client.post, V1, files={"video": video}) for _ in range(number)]


@contextlib.contextmanager
def idle_calls(server, method: str, *, number: int):
    """So many calls over gRPC whose message does not come."""
    never = threading.Event()
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.stream_unary(f"/inference.GRPCInferenceService/{method}")
        try:
            yield [call.future(iter(never.wait, True)) for _ in range(number)]
        finally:
            never.set()


def ends(calls) -> set[tuple[grpc.StatusCode, str]]:
    """What the calls are told in the end."""
    errors = [call.exception(timeout=HANG_S) for call in calls]
    return {(error.code(), error.details()) for error in errors}


def lives(server) -> bool:
    """Whether health answers over gRPC."""
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        return stub.ServerLive(messages.ServerLiveRequest(), timeout=HANG_S).live


LATE = (grpc.StatusCode.DEADLINE_EXCEEDED, "the message did not come in time")


def test_a_saved_model_answers_as_the_keras_path(client, exported_classifier, video, frames):
    response = client.post(V1, files={"video": video})
    assert is_expected(from_v1(response), exported_classifier.predict_video(frames))


def test_a_saved_model_is_loaded_by_its_folder_or_that_of_a_version(exported, exported_classifier):
    for folder in (exported, exported / "1"):
        assert model_name(folder) == "actions"
        loaded = load_classifier(folder)
        assert (loaded.classes, loaded.plan) == (
            exported_classifier.classes,
            exported_classifier.plan,
        )


def test_views_of_a_run_are_chosen_those_of_a_saved_model_are_fixed(
    exported, exported_classifier, tmp_path
):
    exported_classifier.save(tmp_path)
    assert load_classifier(tmp_path, "shared").plan.mode == "shared"
    assert load_classifier(exported, "exact").plan.mode == "exact"
    with pytest.raises(ValueError, match="are fixed when it is exported"):
        load_classifier(exported, "shared")


def test_overload_is_refused_at_once_and_a_hanging_decoder_is_killed(server, client, video):
    (hanging,) = server.decoders()
    with posted(server, video, number=WAITING) as answers:
        server.wait_for_requests(WAITING)
        refused = client.post(V1, files={"video": video})
        assert not any(answer.done() for answer in answers)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert "2 requests are in work already" in refused.json()["error"]
        with grpc.insecure_channel(server.grpc_address) as channel:
            stub = GRPCInferenceServiceStub(channel)
            with pytest.raises(grpc.RpcError) as raised:
                stub.ModelInfer(messages.ModelInferRequest(model_name="actions"))
            assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.get("/v2/health/live").status_code == 200
        late = [answer.result() for answer in answers]
    assert [answer.status_code for answer in late] == [503, 503]
    assert f"not answered within {SECONDS} s" in late[0].json()["error"]
    assert hanging.pid not in [decoder.pid for decoder in server.decoders()]


def test_a_decoder_that_dies_before_it_takes_a_request_costs_nothing(server, client, video):
    with posted(server, video) as answers:
        server.wait_for_requests(1)
        (decoder,) = server.decoders()
        decoder.kill()
        assert answers[0].result().status_code == 200


def test_an_idle_decoder_that_dies_costs_nothing(server, client, video):
    (decoder,) = server.decoders()
    decoder.kill()
    while decoder.is_running() and decoder.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert client.post(V1, files={"video": video}).status_code == 200


def address(server) -> tuple[str, int]:
    host, port = server.url.removeprefix("http://").split(":")
    return host, int(port)


HALF_A_REQUEST = f"POST {V1} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf".encode()


def test_inference_calls_without_a_message_leave_room(server, client, video):
    with idle_calls(server, "ModelInfer", number=4 * WAITING) as waiting:
        assert lives(server)
        from_v1(client.post(V1, files={"video": video}))
        assert ends(waiting) == {LATE}


def test_half_bodies_leave_room(server, client, video):
    with contextlib.ExitStack() as stack:
        for _ in range(4 * WAITING):
            connection = stack.enter_context(socket.create_connection(address(server)))
            connection.sendall(HALF_A_REQUEST)
        from_v1(client.post(V1, files={"video": video}))


def test_neither_a_body_that_does_not_come_nor_calls_without_a_message_last(server, client):
    with (
        socket.create_connection(address(server)) as connection,
        idle_calls(server, "ServerLive", number=2 * WAITING) as calls,
    ):
        connection.sendall(HALF_A_REQUEST)
        assert ends(calls) == {LATE}
        assert lives(server)
        connection.settimeout(HANG_S)
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_a_call_that_ends_without_a_message(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        call = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError, match="ended without a message") as raised:
            call(iter([]), timeout=HANG_S)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_idle_connection_is_not_closed_under_a_client_that_keeps_it(server):
    with contextlib.closing(HTTPConnection(*address(server))) as connection:
        connection.connect()
        connection.auto_open = False  # what is closed stays closed
        for idle_s in (0, httpx.Limits().keepalive_expiry + 0.5):
            time.sleep(idle_s)
            connection.request("GET", "/v2/health/live")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b'{"live":true}')


def statuses_until_ready(url: str, path: str) -> list[int]:
    """Of liveness, readiness and a model's metadata and answer, from the first answer on."""
    deadline = time.monotonic() + HANG_S
    first = []
    with httpx.Client(base_url=url, trust_env=False, timeout=HANG_S) as client:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.ConnectError):
                asked = [client.get(f"/v2/health/{kind}") for kind in ("live", "ready")]
                asked += [client.get(path.removesuffix(":predict")), client.post(path)]
                first = first or [answer.status_code for answer in asked]
                if asked[1].status_code == 200:
                    return first
            time.sleep(0.05)
    raise TimeoutError(first)


def test_ready_after_the_warm_up(server, starter):
    assert starter.statuses == [200, 503, 503, 503]


def wait_until_closed(server):
    """Waits until no new connection is taken."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{server.url}/v2/health/live", trust_env=False)
        except httpx.ConnectError:
            return
        except httpx.TransportError:
            pass  # the connection was taken as the server began to end
        time.sleep(0.05)
    raise TimeoutError("connections are still taken")


def test_sigterm_ends_it(server, video):
    slow = socket.create_connection(address(server))
    with posted(server, video) as answers, slow:
        slow.sendall(HALF_A_REQUEST)
        server.wait_for_requests(1)
        (decoder,) = server.decoders()
        ended = []
        ending = threading.Thread(target=lambda: ended.append(server.stop(signal.SIGTERM)))
        ending.start()
        wait_until_closed(server)
        assert not ended
        slow.settimeout(HANG_S)
        assert slow.recv(100).startswith(b"HTTP/1.1 503 ")
        decoder.resume()
        assert answers[0].result().status_code == 200
    ending.join()
    assert ended == [143]
    assert not decoder.is_running()

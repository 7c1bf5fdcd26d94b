"""Requests that are not whole yet: what they may hold together, and who is given up."""

import asyncio
import contextlib
import dataclasses
import itertools
from types import SimpleNamespace

import pytest

pytest.importorskip("kserve")

from grpc import StatusCode
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from fstcn_keras.serving import grpc
from fstcn_keras.serving.arrivals import Arrivals
from fstcn_keras.serving.grpc import aio, grpc_server
from fstcn_keras.serving.http import Admission
from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.observation import ID_HEADER, AccessLog, Observed
from fstcn_keras.serving.refusals import Overloaded
from fstcn_keras.serving.workers import Workers
from tests.fstcn_keras.serving.http2 import (
    INFER,
    LIVE,
    calls_without_window,
    framed,
    half_calls,
    http2_calls,
    http2_frame,
)
from tests.processes import HANG_S

LIMITS = Limits(request_bytes=100, waiting=2)


def outcomes(arrivals: Arrivals, *sizes: int) -> list[str]:
    """What becomes of requests of which so many bytes come, one after another, and no more."""

    async def receive(size: int, all_are_there: asyncio.Event) -> str:
        try:
            async with arrivals.arriving() as arrival:
                arrival.grow(size)
                await all_are_there.wait()
                arrival.grow(0)
        except (Overloaded, TimeoutError) as error:
            return type(error).__name__
        return "whole"

    async def all_of_them() -> list[str]:
        all_are_there = asyncio.Event()
        tasks = [asyncio.create_task(receive(size, all_are_there)) for size in sizes]
        for _ in range(10):
            await asyncio.sleep(0)
        all_are_there.set()
        return await asyncio.gather(*tasks)

    return asyncio.run(all_of_them())


def test_the_largest_makes_room_for_others():
    arrivals = Arrivals(LIMITS)
    assert outcomes(arrivals, 90, 100, 1, 20) == ["whole", "Overloaded", "whole", "whole"]
    assert arrivals.held_bytes == 0


def test_the_oldest_makes_room_for_others():
    arrivals = Arrivals(LIMITS, number=2)
    assert outcomes(arrivals, 1, 1, 1) == ["TimeoutError", "whole", "whole"]
    assert arrivals.held_bytes == 0


def test_bytes_buy_time_up_to_the_limit():
    """5 seconds, and one for every 4096 bytes; 30 seconds at most."""

    async def receive():
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with Arrivals(Limits(seconds=30)).arriving() as arrival:
            end, ends = loop.time(), [arrival.timeout.when()]
            for number in (8192, 2048, 2**20):
                arrival.grow(number)
                ends.append(arrival.timeout.when())
        return [(when - end, when - begin) for when in ends]

    for (low, high), expected in zip(asyncio.run(receive()), [5, 7, 7.5, 30], strict=True):
        assert low <= expected <= high


def test_the_server_ends():
    arrivals = Arrivals(LIMITS)
    arrivals.end()
    assert outcomes(arrivals, 1) == ["Overloaded"]


def test_the_server_ends_as_a_request_is_given_up():
    """In the same turn of the loop: its time is over, but it does not know yet."""

    async def end(arrivals: Arrivals):
        arrivals.end()

    async def receive():
        arrivals = Arrivals(LIMITS, grace_s=0)
        async with arrivals.arriving() as arrival:
            ending = asyncio.create_task(end(arrivals))  # begins right after the timeout
            try:
                await asyncio.Future()
            finally:
                assert arrival.timeout.expired()
                await ending

    with pytest.raises(Overloaded, match="is ending"):
        asyncio.run(receive())


@pytest.fixture(scope="module")
def workers():
    workers = Workers(Limits(), decoders=1)
    yield workers
    workers.close()


def test_a_client_that_leaves_is_given_up(workers):
    ended = []

    async def application(scope, receive, send):
        assert (await receive())["body"] == b"body"
        try:
            await asyncio.sleep(600)
        finally:
            ended.append(workers._in_work)

    messages = iter([{"type": "http.request", "body": b"body"}, {"type": "http.disconnect"}])

    async def receive():
        return next(messages)

    async def leave():
        admission = Admission(application, workers=workers, arrivals=Arrivals(LIMITS))
        server = Observed(admission, metrics=workers.metrics, log=AccessLog(None))
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await server(scope | {"client": ("127.0.0.1", 1)}, receive, None)

    asyncio.run(asyncio.wait_for(leave(), HANG_S))
    assert (ended, workers._in_work) == ([1], 0)


def test_a_place_is_free_once_its_answer_is_out(workers):
    """The next request of the same client may be read in the loop's next turn."""
    in_work = []

    async def application(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    async def answer():
        messages = iter([{"type": "http.request", "body": b"body"}])

        async def receive():
            return next(messages, None) or await asyncio.Future()

        async def send(message):
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: in_work.append(workers._in_work))

        admission = Admission(application, workers=workers, arrivals=Arrivals(LIMITS))
        server = Observed(admission, metrics=workers.metrics, log=AccessLog(None))
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await server(scope, receive, send)

    asyncio.run(asyncio.wait_for(answer(), HANG_S))
    assert in_work[-1] == 0


class Plane:
    """Answers at once."""

    model_registry = None
    model = SimpleNamespace(name="m", version="1")

    def __init__(self, workers):
        self._workers = workers

    async def live(self):
        return {"status": "alive"}

    async def infer_v2(self, name, request):
        assert self._workers._in_work == 1
        return SimpleNamespace(to_grpc=messages.ModelInferResponse)


@pytest.mark.parametrize("method", [INFER, LIVE])
def test_messages_that_stop_half_way_hold_no_place(workers, method):
    """Beyond their number the oldest is given up, and other calls are answered."""
    calls = 3

    async def attack():
        arrivals = [Arrivals(LIMITS, number=2), Arrivals(LIMITS, number=2)]
        server = grpc_server(Plane(workers), workers, arrivals, AccessLog(None))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(half_calls(method, calls))
        answer = b""
        while answer.count(ID_HEADER.lower().encode()) < 1 or b"grpc-status" not in answer:
            answer += await reader.read(4096)
        assert workers._in_work == 0
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = GRPCInferenceServiceStub(channel)
            assert (await stub.ServerLive(messages.ServerLiveRequest())).live
            await stub.ModelInfer(messages.ModelInferRequest(model_name="m"))
        assert workers._in_work == 0
        writer.close()
        await server.stop(0)

    asyncio.run(asyncio.wait_for(attack(), HANG_S))


def test_answers_that_are_never_taken_hold_no_call_for_long(workers, monkeypatch):
    """Not even those of a client that goes on calling."""
    monkeypatch.setattr(grpc, "MAX_CALLS", 2)
    monkeypatch.setattr(grpc, "AGE_MS", 500)
    monkeypatch.setattr(workers, "limits", dataclasses.replace(LIMITS, seconds=0.5))

    async def call_again_and_again(port: int):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(calls_without_window(LIVE, 2))
        assert (await reader.readexactly(9))[3:5] == b"\4\0"  # its settings
        writer.write(http2_frame(4, 1, 0, b""))
        with contextlib.suppress(OSError):
            for number in itertools.count(2):
                writer.write(http2_calls(LIVE, 1, framed(b""), end=True, before=number))
                await writer.drain()
                await asyncio.sleep(0.2)

    async def attack():
        arrivals = [Arrivals(LIMITS), Arrivals(LIMITS)]
        server = grpc_server(Plane(workers), workers, arrivals, AccessLog(None))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        calling = asyncio.create_task(call_again_and_again(port))
        codes = []
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = GRPCInferenceServiceStub(channel)
            while codes[-2:] != [StatusCode.RESOURCE_EXHAUSTED, StatusCode.OK]:
                call = stub.ServerLive(messages.ServerLiveRequest())
                codes.append(await call.code())
                await asyncio.sleep(0.05)
        calling.cancel()
        await server.stop(0)

    asyncio.run(asyncio.wait_for(attack(), HANG_S))


def test_answers_that_are_never_taken_do_not_delay_the_end(workers, monkeypatch):
    monkeypatch.setattr(grpc, "SENDING_S", 0.1)

    async def attack():
        arrivals = [Arrivals(LIMITS), Arrivals(LIMITS)]
        server = grpc_server(Plane(workers), workers, arrivals, AccessLog(None))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(calls_without_window(LIVE, 2))
        answer = b""
        while answer.count(ID_HEADER.lower().encode()) < 1:  # the calls have begun
            answer += await reader.read(4096)
        with workers.admitted():
            stopping = asyncio.create_task(grpc.stop(server, workers, drain_s=2 * HANG_S))
            done, _ = await asyncio.wait({stopping}, timeout=0.5)
            assert not done  # before what is in work is answered
        await asyncio.wait_for(stopping, HANG_S)
        writer.close()

    asyncio.run(attack())

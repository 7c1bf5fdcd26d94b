"""Connections whose clients do not take their answers: their number, and how long they last."""

import asyncio
import contextlib
import socket

import pytest

pytest.importorskip("kserve")

from fstcn_keras.serving import connections
from fstcn_keras.serving.http import http_server
from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.metrics import Metrics
from fstcn_keras.serving.observation import AccessLog
from tests.processes import HANG_S

MOST = 8  # of all clients; of one half
LARGE = bytes(16 * 2**20)  # more than the system takes for a client
REQUEST = "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n"
UNREAD = {
    "in pieces": REQUEST.format("pieces"),
    "many": REQUEST.format("piece") * 2000,
    "at once, and then closed": REQUEST.format("whole").replace(
        "Host", "Connection: close\r\nHost"
    ),
}


class Application:
    """Answers at once, but for `/wait`, which it answers when told."""

    def __init__(self):
        self.waiting, self.told = 0, asyncio.Event()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        if scope["path"] == "/wait":
            self.waiting += 1
            await self.told.wait()
        size = {"/pieces": 2**16, "/piece": 2**16, "/whole": len(LARGE)}.get(scope["path"], 2)
        number = len(LARGE) // size if scope["path"] == "/pieces" else 1
        length = str(size * number).encode()
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in reversed(range(number)):
            body = {"type": "http.response.body", "body": LARGE[:size], "more_body": left > 0}
            await send(body)


@contextlib.asynccontextmanager
async def served(application: Application):
    """Its address, and uvicorn's set of its connections."""
    server = http_server(application, metrics=Metrics(Limits()), log=AccessLog(None), drain_s=1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname(), server.server_state.connections
        finally:
            server.should_exit = server.force_exit = True
            await serving


async def unread(address, sent: str, stack: contextlib.ExitStack) -> socket.socket:
    """A connection that has sent something and reads nothing."""
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, address)
    await loop.sock_sendall(connection, sent.encode())
    return connection


async def asked(address, path: str = "") -> bytes:
    """The answer to a client that reads it; empty where the connection is closed."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(REQUEST.format(path).encode())
        return await reader.readuntil(b"\r\n\r\n")
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""
    finally:
        writer.close()


async def until(is_so):
    async with asyncio.timeout(HANG_S):
        while not is_so():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", MOST)


@pytest.mark.parametrize("kind", UNREAD)
def test_those_that_take_no_answer_are_few_and_leave_room_for_others(kind):
    async def attack():
        async with served(Application()) as (address, opened):
            with contextlib.ExitStack() as stack:
                for number in range(3 * MOST):
                    client = await unread(address, UNREAD[kind], stack)
                    own = client.getsockname()
                    await until(lambda own=own: own in paused(opened))
                    assert len(opened) == min(number + 1, MOST // 2)
                assert (await asked(address)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(attack())


def paused(opened) -> set[tuple[str, int]]:
    """The clients that are written to no further."""
    return {connection.client for connection in opened if connection.flow.write_paused}


@pytest.mark.parametrize("kind", UNREAD)
def test_those_that_take_no_answer_are_given_up(monkeypatch, kind):
    monkeypatch.setattr(connections, "SENDING_S", 0.1)

    async def wait():
        async with served(Application()) as (address, opened):
            with contextlib.ExitStack() as stack:
                await unread(address, UNREAD[kind], stack)
                await until(lambda: opened)
                await until(lambda: not opened)

    asyncio.run(wait())


UNENDED = REQUEST.format("")[:-2].encode() + b"X: "  # a header that goes on


async def answered_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
    """Makes a request that is answered before the one byte of its body comes."""
    writer.write(REQUEST.format("").replace("Host", "Content-Length: 1\r\nHost").encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    await reader.readexactly(2)


async def sent_on(writer: asyncio.StreamWriter, data: bytes, times: int, *, pause: float = 0):
    """Sends this over and over, until the other side has closed."""
    with contextlib.suppress(ConnectionError):
        for _ in range(times):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause)


def test_a_long_header_behind_a_body_that_came_late_is_refused():
    async def send():
        async with served(Application()) as (address, opened):
            reader, writer = await asyncio.open_connection(*address)
            await answered_early(reader, writer)
            writer.write(b"x" + UNENDED)
            await sent_on(writer, b"a" * 2**16, 64)
            await until(lambda: not opened)
            with contextlib.suppress(ConnectionError):  # the system drops what was not read
                assert (await reader.read()).startswith(b"HTTP/1.1 431 ")

    asyncio.run(send())


def test_a_slow_header_behind_a_body_that_came_late_is_given_up(monkeypatch):
    async def send():
        async with served(Application()) as (address, opened):
            reader, writer = await asyncio.open_connection(*address)
            await answered_early(reader, writer)
            monkeypatch.setattr(connections, "HEADER_S", 0.2)
            writer.write(b"x" + UNENDED)
            sending = asyncio.create_task(sent_on(writer, b"a", 10**6, pause=0.02))
            await until(lambda: not opened)
            sending.cancel()

    asyncio.run(send())


def test_a_long_header_behind_a_request_in_work_closes_the_connection():
    async def send():
        application = Application()
        async with served(application) as (address, opened):
            _, writer = await asyncio.open_connection(*address)
            writer.write(REQUEST.format("wait").encode())
            await until(lambda: application.waiting)
            writer.write(UNENDED)
            await sent_on(writer, b"a" * 2**16, 64)
            await until(lambda: not opened)
            application.told.set()

    asyncio.run(send())


def test_short_requests_one_behind_another_are_answered():
    async def send():
        async with served(Application()) as (address, _):
            reader, writer = await asyncio.open_connection(*address)
            for _ in range(3):  # the body's end, and the next request, come behind the answer
                await answered_early(reader, writer)
                writer.write(b"x")
            long = REQUEST.format("").replace("Host", f"X: {'a' * 30000}\r\nHost").encode()
            writer.write(long * 4)
            for _ in range(4):
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
                await reader.readexactly(2)
            writer.close()

    asyncio.run(send())


def test_a_client_that_goes_on_reading_has_its_time_again():
    async def read():
        async with served(Application()) as (address, opened):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(REQUEST.format("pieces").encode())
            await until(lambda: paused(opened))
            (connection,) = opened
            assert connection.is_unread()
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(LARGE)) == LARGE
            await until(lambda: not paused(opened))
            assert not connection.is_unread()
            writer.close()

    asyncio.run(read())


def test_where_all_are_at_work_a_new_one_is_closed():
    async def fill():
        application = Application()
        async with served(application) as (address, opened):
            working = [asyncio.create_task(asked(address, "wait")) for _ in range(MOST // 2)]
            await until(lambda: application.waiting == MOST // 2)
            assert [await asked(address) for _ in range(3)] == [b""] * 3
            await until(lambda: len(opened) == MOST // 2)
            application.told.set()
            for answer in await asyncio.gather(*working):
                assert answer.startswith(b"HTTP/1.1 200 ")
            await until(lambda: not opened)
            assert (await asked(address)).startswith(b"HTTP/1.1 200 ")

    asyncio.run(fill())

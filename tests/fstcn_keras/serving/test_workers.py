"""The processes that decode: whose death costs what."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytest.importorskip("prometheus_client", reason="the server's packages are not installed")

from fstcn_keras.serving import workers
from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.refusals import BadRequest, Overloaded
from tests.processes import HANG_S


@pytest.fixture
def pool():
    pool = workers.Workers(Limits(), decoders=1)
    yield pool
    pool.close()


def run(pool, *calls):
    """The results of calls, one after another."""

    async def in_turn():
        return [await pool.decode(*call) for call in calls]

    return asyncio.run(in_turn())


def test_a_call_that_a_dying_decoder_never_took_goes_to_a_fresh_one(pool, monkeypatch):
    (decoder,) = pool._decoders
    decoder.kill()
    alive = iter([True])
    monkeypatch.setattr(decoder, "is_alive", lambda: next(alive, False))
    assert run(pool, (abs, -3), (abs, -4)) == [3, 4]
    assert decoder not in pool._decoders


def test_a_call_that_kills_its_decoder_is_not_tried_again(pool, tmp_path):
    with pytest.raises(BadRequest, match="crashed on what was sent"):
        run(pool, (die, tmp_path / "calls"))
    assert (tmp_path / "calls").read_text() == "1"
    assert run(pool, (abs, -3)) == [3]


def test_a_process_that_cannot_be_started_costs_no_decoder(pool, monkeypatch, caplog):
    def start(memory):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(workers, "_Decoder", start)
        with pytest.raises(BadRequest, match="crashed on what was sent"):
            run(pool, (os._exit, 1))
        for _ in range(2):
            with pytest.raises(
                Overloaded, match="no process that decodes can be started"
            ) as raised:
                run(pool, (abs, -3))
            assert raised.value.reason == "no_decoder"
    expected = "no decoder can be started: [Errno 11] Resource temporarily unavailable"
    assert {*caplog.messages} == {expected}
    assert run(pool, (abs, -3), (abs, -4)) == [3, 4]
    assert (len(pool._decoders), pool._idle.qsize()) == (1, 1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1])
def test_a_decoder_killed_from_outside_is_not_the_clients_fault(pool, caplog, number):
    with pytest.raises(Overloaded, match="killed from outside"):
        run(pool, (kill_oneself, number))
    assert caplog.messages == ["a decoder was killed from outside"]
    assert run(pool, (abs, -3)) == [3]


def test_a_decoder_at_work_ends_with_its_killed_server():
    code = "import asyncio, time\n"
    code += "from fstcn_keras.serving.limits import Limits\n"
    code += "from fstcn_keras.serving.workers import Workers\n"
    code += "pool = Workers(Limits(), decoders=1)\n"
    code += "(decoder,) = pool._decoders\n"
    code += "asyncio.run(pool.decode(abs, -3))\n"
    code += "print(decoder._process.pid, flush=True)\n"
    code += "asyncio.run(pool.decode(time.sleep, 3600))\n"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as server:
        decoder = psutil.Process(int(server.stdout.readline()))
        server.kill()
    psutil.wait_procs([decoder], timeout=HANG_S)
    assert not decoder.is_running()


def test_sigterm_to_the_whole_group_stops_no_decoder(pool):
    (decoder,) = pool._decoders
    assert run(pool, (terminate_oneself,), (abs, -3)) == ["went on", 3]
    assert pool._decoders == {decoder}


def test_no_decoder_is_started_after_the_end(pool):
    async def end_in_the_middle():
        await pool.decode(abs, -3)
        call = asyncio.create_task(pool.decode(time.sleep, 60))
        await asyncio.sleep(0.1)
        pool.close()
        return await asyncio.gather(call, return_exceptions=True)

    (error,) = asyncio.run(end_in_the_middle())
    assert isinstance(error, BadRequest | Overloaded | RuntimeError)
    assert [decoder.is_alive() for decoder in pool._decoders] == [False]


def test_the_interpreter_ends_though_nothing_closed_the_decoders():
    code = "import asyncio\n"
    code += "from fstcn_keras.serving.limits import Limits\n"
    code += "from fstcn_keras.serving.workers import Workers\n"
    code += "pool = Workers(Limits(), decoders=2)\n"
    code += "print([asyncio.run(pool.decode(abs, -n)) for n in (3, 4)])\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("[3, 4]\n", "", 0)


def terminate_oneself() -> str:
    os.kill(os.getpid(), signal.SIGTERM)
    return "went on"


def test_a_decoder_that_crashes_is_the_clients_fault(pool, caplog):
    with pytest.raises(BadRequest, match="crashed on what was sent"):
        run(pool, (kill_oneself, signal.SIGSEGV))
    assert caplog.messages == []


def kill_oneself(number: int):
    os.kill(os.getpid(), number)


def die(file):
    with file.open("a") as calls:
        calls.write("1")
    os._exit(1)

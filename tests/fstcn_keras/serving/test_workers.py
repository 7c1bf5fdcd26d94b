"""The processes that decode: whose death costs what."""

import asyncio
import os

import pytest

pytest.importorskip("prometheus_client", reason="the server's packages are not installed")

from fstcn_keras.serving import workers
from fstcn_keras.serving.limits import BadRequest, Limits


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


def die(file):
    with file.open("a") as calls:
        calls.write("1")
    os._exit(1)

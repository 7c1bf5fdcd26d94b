"""What the page at `/` asks the server for."""

import asyncio
import base64
import io
import json
import re
import weakref
from types import SimpleNamespace

import pytest

pytest.importorskip("kserve")

import numpy as np
from PIL import Image
from starlette.requests import ClientDisconnect

from fstcn_keras.serving import page_routes, page_video
from fstcn_keras.serving.limits import Limits
from fstcn_keras.serving.refusals import TooLarge
from fstcn_keras.serving.workers import Workers
from fstcn_keras.video.frames import read_resized
from fstcn_keras.video.sources import ArrayFrames
from tests.processes import HANG_S
from tests.videos import noise, write_video

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def client(server):
    with server.client(headers=RAW) as client:
        yield client


@pytest.fixture(scope="module")
def events(client, video) -> list[dict]:
    """What is answered to a video of 35 frames at 25 a second."""
    response = client.post("/page/scores", content=video)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def test_the_page_is_whole_in_itself(client):
    page = client.get("/", headers={"Accept": "text/html,*/*;q=0.8"})
    files = re.findall(r'(?:src|href)="([^"]*)"', page.text)
    files += re.findall(r'from "\./(.*?)"', client.get("/page/files/page.js").text)
    for name in files:
        if name != "data:,":
            response = client.get("/page/files/" + name.removeprefix("page/files/"))
            assert response.status_code == 200, name
            assert not re.search("https?://", response.text)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<style|<script>| style=| on\w+=", page.text)
    assert client.get("/page/files/page_routes.py").status_code == 404


def test_the_model_and_its_limits(client, classifier):
    about = client.get("/page/model").json()
    told = [about[name] for name in ("name", "version", "ready", "clips")]
    assert told == ["tiny run", "1", True, 2]
    assert tuple(about["classes"]) == classifier.classes
    limits = {"bytes": 4_000_000, "frames": 90, "pixels": 20_000, "seconds": 30}
    assert about["limits"] == limits
    assert about["examples"] == ["run", "sit"]
    assert client.get("/page/examples/1").headers["Content-Type"] == "video/mp4"
    assert client.get("/page/examples/2").status_code == 404


def test_an_example_that_is_gone(client, run):
    files = sorted((run / "examples").iterdir())
    kept = files[0].read_bytes()
    files[0].unlink()
    try:
        assert client.get("/page/examples/0").status_code == 404
    finally:
        files[0].write_bytes(kept)


def test_scores_are_those_of_the_classifier(events, classifier, frames):
    expected = classifier.predict_video(frames)
    (answer,) = (event for event in events if "prediction" in event)
    assert tuple(answer["prediction"]["classes"]) == expected.classes
    np.testing.assert_allclose(answer["prediction"]["scores"], expected.scores, atol=1e-5)
    best = [expected.classes[i] for i in expected.clip_scores.argmax(axis=-1)]
    assert [clip["name"] for clip in answer["clips"]] == best
    assert answer["prediction"]["rejected"] is expected.rejected is True
    assert [event["second"]["rejected"] for event in events if "second" in event] == [True] * 2
    starts = expected.pairs.min(axis=(1, 2)) / 25
    np.testing.assert_allclose([clip["start_s"] for clip in answer["clips"]], starts, atol=1e-6)
    assert events[-1] == {"done": True}


def test_seconds_are_those_of_the_timeline(events, classifier, frames):
    seconds = [event["second"] for event in events if "second" in event]
    moments = list(classifier.timeline(frames, fps=25))
    assert [(s["start_s"], s["end_s"]) for s in seconds] == [(0, 1), (1, pytest.approx(1.4))]
    for second, moment in zip(seconds, moments, strict=True):
        assert tuple(second["classes"]) == moment.classes[:5]
        np.testing.assert_allclose(second["scores"], moment.scores[:5], atol=1e-5)


def test_pictures_are_frames_of_the_video(events, classifier):
    told = events[0]
    assert told["video"] == {"num_frames": 35, "length_s": pytest.approx(1.4)}
    pictures = [event["picture"] for event in events if "picture" in event]
    assert len(pictures) >= 4
    times = [picture["time_s"] for picture in pictures]
    assert times == sorted(set(times))
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture["jpeg"])))
        assert min(image.size) == classifier.plan.short_side


def test_long_videos_are_scored_at_seconds_spread_evenly(monkeypatch, classifier, tmp_path):
    monkeypatch.setattr(page_video, "MAX_SECONDS", 3)
    data = write_video(tmp_path / "long.avi", noise(5 * 25)).read_bytes()
    found = page_video.decode_for_page(data, classifier.plan, Limits())
    assert [second.start_s for second in found.seconds] == [0, 2, 4]
    # frames of 68 x 91 pixels; 2 clips of 6, and room for one second but not for three
    monkeypatch.setattr(Limits, "decoded_bytes", 24 * 68 * 91 * 3)
    (only,) = page_video.decode_for_page(data, classifier.plan, Limits()).seconds
    assert only.start_s == 0
    monkeypatch.setattr(Limits, "decoded_bytes", 11 * 68 * 91 * 3)
    with pytest.raises(TooLarge, match="too wide for their height"):
        page_video.decode_for_page(data, classifier.plan, Limits())


def test_pictures_that_take_too_much_are_fewer(monkeypatch, classifier, video):
    def pictures(most: int) -> list[tuple[float, bytes]]:
        monkeypatch.setattr(page_video, "PICTURES_BYTES", most)
        return list(page_video.decode_for_page(video, classifier.plan, Limits()).pictures)

    every = pictures(10**9)
    assert len(every) == 6  # three of a clip, two seconds
    sizes = [len(picture) for _, picture in every]
    assert pictures(sum(sizes)) == every
    assert pictures(sum(sizes) - 1) == [every[0], every[2], every[4]]
    assert pictures(sizes[0] + sizes[4]) == [every[0], every[4]]
    assert pictures(sizes[0]) == [every[0]]
    assert pictures(1) == []


def test_a_client_that_does_not_take_its_answer_is_given_up(monkeypatch):
    async def decode(*_):
        frames = SimpleNamespace(num_frames=1)
        return SimpleNamespace(frames=frames, length_s=1.0, seconds=[], pictures=())

    async def never(*_):
        await asyncio.Future()

    async def run():
        workers = Workers(Limits(seconds=0.2), decoders=1)
        model = SimpleNamespace(workers=workers, classifier=SimpleNamespace(plan=None))
        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        try:
            with pytest.raises(ClientDisconnect):
                await page_routes._Scores(model, b"")(scope, never, never)
            async with asyncio.timeout(HANG_S), workers.turn(), workers.turn():  # all are free
                pass
        finally:
            workers.close()

    monkeypatch.setattr(Workers, "decode", decode)
    asyncio.run(run())


def test_a_client_that_reads_slowly_holds_no_turn(monkeypatch, classifier, video):
    """Nor the frames; its answer is whole once it reads on."""
    decoded, sent = [], []

    async def decode(self, function, *arguments):
        found = function(*arguments)
        decoded.append(weakref.ref(found))
        return found

    async def run():
        workers = Workers(Limits(seconds=10 * HANG_S), decoders=1)
        model = SimpleNamespace(workers=workers, classifier=classifier)
        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        reading = asyncio.Event()

        async def send(message):
            sent.append(message.get("body", b""))
            await reading.wait()

        async def receive():
            await asyncio.Future()

        answers = [
            asyncio.create_task(page_routes._Scores(model, video)(scope, receive, send))
            for _ in range(2)
        ]
        try:
            async with asyncio.timeout(HANG_S):
                while len(sent) < 2 or any(reference() for reference in decoded):
                    await asyncio.sleep(0.01)
                async with workers.turn(), workers.turn():  # all of them are free
                    assert sent == [b""] * 2  # both answers have begun, and got no further
                reading.set()
                await asyncio.gather(*answers)
        finally:
            workers.close()

    monkeypatch.setattr(Workers, "decode", decode)
    asyncio.run(run())
    told = [json.loads(line) for line in b"".join(sent).splitlines()]
    kinds = [next(iter(event)) for event in told]
    assert {kind: kinds.count(kind) for kind in ("video", "prediction", "second", "done")} == {
        "video": 2,
        "prediction": 2,
        "second": 2 * 2,  # of 35 frames at 25 a second
        "done": 2,
    }


def test_an_answer_whose_scoring_fails_is_cut(monkeypatch):
    sent = []

    async def decode(*_):
        frames = SimpleNamespace(num_frames=1)
        return SimpleNamespace(frames=frames, length_s=1.0, seconds=[], pictures=())

    async def send(message):
        sent.append(message.get("more_body"))

    async def receive():
        await asyncio.Future()

    async def run():
        workers = Workers(Limits(), decoders=1)
        classifier = SimpleNamespace(plan=None, predict_video=lambda frames: 1 / 0)
        model = SimpleNamespace(workers=workers, classifier=classifier)
        scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
        try:
            with pytest.raises(ZeroDivisionError):
                await page_routes._Scores(model, b"")(scope, receive, send)
            async with asyncio.timeout(HANG_S), workers.turn(), workers.turn():
                pass
        finally:
            workers.close()

    monkeypatch.setattr(Workers, "decode", decode)
    asyncio.run(run())
    assert sent == [None, True]  # its head and its first line, not its end


def test_saliency(client, video, classifier, frames):
    name = classifier.classes[0]
    answer = client.post("/page/saliency", params={"clip": 1, "name": name}, content=video).json()
    assert np.shape(answer["drops"]) == (7, 7)
    pair = classifier.plan.pair_indices(35)[1]
    resized = np.stack(list(read_resized(ArrayFrames(frames), range(35), 68)))
    views = classifier.plan.cut(resized[pair[0]], resized[pair[1]])
    row = [3, 4, 5]  # of the nine crops, those along the longer side
    scores = classifier.model.predict_on_batch({n: v[row] for n, v in views.items()})
    assert answer["score"] == pytest.approx(scores[:, 0].mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("path", "content", "status", "reason"),
    [
        ("scores", b"text" * 99, 400, "cannot be opened"),
        ("scores", b"", 400, "is empty"),
        ("scores", b" " * 4_000_001, 413, "longer than"),
        ("saliency?clip=2&name=run", b"", 400, "none of this model's"),
        ("saliency?clip=0&name=fly", b"", 400, "none of this model's"),
        ("saliency?clip=secret&name=fly", b"", 400, "something else than"),
    ],
)
def test_what_is_refused(client, path, content, status, reason):
    response = client.post(f"/page/{path}", content=content)
    assert response.status_code == status
    assert reason in response.json()["error"]
    assert "secret" not in response.text

"""Live video: cut as a file is, decoded from pipes and addresses, never more than a little late."""

import contextlib
import dataclasses
import gc
import io
import itertools
import os
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator

import av
import keras
import numpy as np
import pytest
from keras import layers, ops

from fstcn_keras import ActionClassifier, ViewPlan, live
from fstcn_keras.config import TIMING
from fstcn_keras.live import Second, _Handover, cut_seconds, watch
from fstcn_keras.video import VideoError
from fstcn_keras.video.live import PROTOCOLS, LiveFrame, LiveReader, LiveSource, _RunningClock
from fstcn_keras.video.resampling import ResampledFrames
from fstcn_keras.video.sources import ArrayFrames
from tests.processes import HANG_S

PLAN = ViewPlan(num_clips=1, short_side=32, crop_size=24, clip_length=2, stride=2, distance=3)


@pytest.fixture(scope="module")
def classifier() -> ActionClassifier:
    """Its scores tell the mean grey level of the clip."""
    inputs = {
        name: keras.Input((2, 24, 24, 3), dtype="uint8", name=name)
        for name in ("clip", "clip_diff")
    }
    level = layers.Flatten()(
        ops.mean(layers.Rescaling(1 / 255)(inputs["clip"]), (1, 2, 3, 4), keepdims=True)
    )
    model = keras.Model(inputs, ops.concatenate([level, 1 - level], axis=1))
    return ActionClassifier(model, classes=["light", "dark"], plan=PLAN)


def arriving(times: np.ndarray) -> Iterator[LiveFrame]:
    """Frames that tell their numbers, which come when they are shown."""
    for number, time_s in enumerate(times):
        yield LiveFrame(time_s=time_s, arrived_s=100 + time_s, image=lambda n=number: n)


class Numbers(ArrayFrames):
    """A video whose frames are their numbers."""

    def __init__(self, num_frames: int):
        super().__init__(np.zeros((num_frames, 1, 1, 3), np.uint8))

    def select(self, numbers):
        return iter(numbers)


def file_pairs(times: np.ndarray, plan: ViewPlan) -> list[list[list[int]]]:
    """The frame numbers that `timeline` scores in every second; the last time is the end's."""
    pairs = plan.pair_indices_by_second
    if plan.fps is None:
        return pairs(times).tolist()
    reader = ResampledFrames(Numbers(len(times) - 1), plan.fps, times=times)
    shown = np.array(list(reader.select(range(reader.count()))))
    return shown[pairs(reader.times())].tolist()


@pytest.mark.parametrize("fps", [None, 10, 25])
@pytest.mark.parametrize("clip", [(2, 2, 3, "dense"), (5, 5, 9, "dense"), (5, 5, 9, "sparse")])
@pytest.mark.parametrize("rate", [3, 12.5, 25, 60, "uneven"])
@pytest.mark.parametrize("seconds", [0.5, 1, 2.2, 7])
def test_the_clips_are_those_of_a_file(fps, clip, rate, seconds):
    sizes = dict(zip(TIMING, clip, strict=True))
    plan = dataclasses.replace(PLAN, fps=fps, **sizes)
    if rate == "uneven":
        steps = np.random.default_rng(0).choice([0.02, 0.04, 0.3], size=round(9 * seconds))
        times = np.concatenate([[0], np.cumsum(steps)])
        times = np.append(times, 2 * times[-1] - times[-2])
    else:
        times = np.arange(max(2, round(seconds * rate)) + 1) / rate
    found = [
        np.array([frame.image() for frame in second.frames])[second.positions].tolist()
        for second in cut_seconds(arriving(times[:-1]), plan)
    ]
    assert found == file_pairs(times, plan)
    assert found == file_pairs(times, dataclasses.replace(plan, sampling="dense"))


def test_a_second_is_cut_once_its_clip_is_there_and_little_is_held():
    plan = dataclasses.replace(PLAN, clip_length=5, stride=5, distance=9)  # 30 frames
    came = []

    def frames():
        for frame in arriving(np.arange(25 * 60) / 25):
            came.append(frame)
            yield frame

    cut = cut_seconds(frames(), plan)
    for second in range(50):
        found = next(cut)
        assert (found.start_s, found.end_s) == (second, second + 1)
        middle = second * 25 + 12
        assert len(came) == (30 if second == 0 else middle - 14 + 30)
        assert found.over_s == pytest.approx(100 + second + 1)
    assert sum(s.num_frames for s in cut) + 49 * 25 + 28 == 25 * 60


def test_a_clock_runs_on_whatever_the_source_says():
    clock = _RunningClock()
    found = [
        clock.time(stamp, 1000 + n) for n, stamp in enumerate([7.0, 7.04, 3.0, 3.04, 90, 90.04])
    ]
    np.testing.assert_allclose(found, [0, 0.04, 0.08, 0.12, 0.16, 0.2])
    assert clock.time(90.04, 0) > found[-1]
    without = _RunningClock()
    np.testing.assert_allclose([without.time(None, s) for s in (5.0, 5.5)], [0, 0.5])


def mpegts(num_frames: int, *, level: int = 200, fps: int = 25) -> bytes:
    """A video of one grey level."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("mpeg2video", rate=fps, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        image = np.full((48, 64, 3), level, np.uint8)
        for _ in range(num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(stream.encode())
    return file.getvalue()


@contextlib.contextmanager
def piped(data: bytes, *, seconds: float = 0) -> Iterator[LiveSource]:
    """A pipe through which the data come, evenly within some seconds."""
    outlet, inlet = os.pipe()

    def write():
        with os.fdopen(inlet, "wb", buffering=0) as pipe, contextlib.suppress(BrokenPipeError):
            send(data, pipe.write, seconds)

    threading.Thread(target=write, daemon=True).start()
    yield LiveSource.from_pipe(outlet)  # which closes it


def send(data: bytes, write, seconds: float):
    began, size = time.monotonic(), max(188, len(data) // 100 // 188 * 188)
    for start in range(0, len(data), size):
        write(data[start : start + size])
        due = began + seconds * start / len(data)
        time.sleep(max(0, due - time.monotonic()))


def test_a_file_through_a_pipe_gives_what_the_file_gives(classifier, tmp_path):
    data = mpegts(7 * 25)
    (tmp_path / "v.ts").write_bytes(data)
    expected = list(classifier.timeline(tmp_path / "v.ts"))
    with piped(data) as source:
        found = list(watch(classifier, source))
    assert [x.moment.start_s for x in found] == [x.start_s for x in expected] == [*range(7)]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.moment.scores, other.scores)
    assert {(x.dropped_frames, x.reconnections) for x in found} == {(0, 0)}


def test_a_frame_is_let_go_of_at_once():
    """Collections of garbage are too rare for frames of megabytes."""

    def held() -> int:
        return sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())

    gc.collect()
    before = held()
    gc.disable()
    try:
        with piped(mpegts(20)) as source:
            for number, frame in enumerate(LiveReader(source).frames()):
                frame.image()
                assert held() <= before + 2, f"after {number} frames"
    finally:
        gc.enable()


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_ten_minutes(classifier):
    """The clock of the source is set anew every minute."""
    peaks = {}
    with piped(mpegts(60 * 25) * 60) as source:
        for number, found in enumerate(watch(classifier, source), 1):
            dropped = found.dropped_frames
            peaks[number] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB
    assert dropped + 25 * number == pytest.approx(3600 * 25, abs=50)
    assert max(peaks.values()) - peaks[min(600, number)] < 40


def second(end_s: int = 1, *, over_s: float = 0) -> Second:
    """One of two black frames."""
    black = LiveFrame(time_s=0, arrived_s=0, image=lambda: np.zeros((32, 32, 3), np.uint8))
    pair = np.array([[0, 1], [1, 1]])
    return Second(
        start_s=end_s - 1,
        end_s=end_s,
        frames=[black, black],
        positions=pair,
        num_frames=2,
        over_s=over_s,
    )


def test_how_far_a_source_runs_ahead_of_the_clock(monkeypatch):
    """Opened at 100, its ninth second would be over at 109."""
    monkeypatch.setattr(live.time, "monotonic", lambda: 107.5)
    assert live._ahead_s(second(9), 100.0) == 1.5
    assert live._ahead_s(second(7), 100.0) == -0.5  # late


def test_the_delay_counts_from_the_end_of_the_second(classifier, monkeypatch):
    handover = _Handover()
    handover.put(5.0, second(3, over_s=97.5), ahead_s=0)
    handover.end()
    monkeypatch.setattr(live.time, "monotonic", lambda: 100.0)
    (found,) = live._answers(classifier, handover)
    assert (found.delay_s, found.moment.start_s, found.moment.end_s) == (2.5, 7, 8)


def test_pauses_between_tries_double_until_the_source_is_there_again(monkeypatch):
    """It ends, cannot be opened seven times, comes back, and is lost again."""
    black = LiveFrame(time_s=0, arrived_s=0, image=lambda: np.zeros((32, 32, 3), np.uint8))
    tries = iter([True, *[False] * 7, True, False])

    def frames(reader: LiveReader) -> Iterator[LiveFrame]:
        if not next(tries):
            raise VideoError("no route to host")
        yield black

    handover, pauses, lost = _Handover(), [], []
    monkeypatch.setattr(LiveReader, "frames", frames)
    monkeypatch.setattr(handover.stopped, "wait", lambda s: pauses.append(s) or len(pauses) == 10)
    live._read(LiveSource.parse("tcp://host:1"), PLAN, handover, lost.append)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30, 1, 2]
    assert handover.reconnections == 9
    assert lost[1] == "no route to host: trying again in 2 s"


def test_reading_ends_once_nobody_takes_the_answers(classifier, monkeypatch):
    monkeypatch.setattr("fstcn_keras.live._ahead_s", lambda *_: 0)
    black = np.zeros((32, 32, 3), np.uint8)

    def frames(reader: LiveReader) -> Iterator[LiveFrame]:
        for number in itertools.count():
            yield LiveFrame(time_s=number, arrived_s=number, image=lambda: black)

    monkeypatch.setattr(LiveReader, "frames", frames)
    before = {*threading.enumerate()}
    answers = watch(classifier, LiveSource.parse("tcp://host:1"))
    next(answers)
    (reading,) = {*threading.enumerate()} - before
    answers.close()
    reading.join(HANG_S)
    assert not reading.is_alive()


def test_a_source_without_a_frame_is_no_video(classifier, monkeypatch):
    monkeypatch.setattr(LiveReader, "frames", lambda reader: iter(()))
    with pytest.raises(VideoError, match=r"^tcp://host:1 gave no frame that could be decoded$"):
        next(watch(classifier, LiveSource.parse("tcp://host:1")))


def test_an_address_that_is_silent_is_given_up(monkeypatch):
    monkeypatch.setattr("fstcn_keras.video.live.SILENCE_S", 0.1)
    reasons = []

    def open_it(source: LiveSource):
        with pytest.raises(VideoError, match="cannot be opened") as error:
            source.open()
        reasons.append(str(error.value))

    with socket.create_server(("127.0.0.1", 0)) as listener:  # which takes it and says nothing
        source = LiveSource.parse(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        opening = threading.Thread(target=open_it, args=(source,), daemon=True)
        opening.start()
        opening.join(HANG_S)
    assert len(reasons) == 1


def test_late_seconds_are_dropped_and_counted(classifier, monkeypatch):
    """The first second to be scored takes until all have come."""
    monkeypatch.setattr("fstcn_keras.live._ahead_s", lambda *_: 0)  # as of a camera
    all_came = threading.Event()
    end, score = _Handover.end, classifier.score_clips

    def ended(handover, error=None):
        end(handover, error)
        all_came.set()

    def slow(frames, pairs):
        assert len(frames) == 1 or all_came.wait(HANG_S)  # one frame is the warming up
        return score(frames, pairs)

    monkeypatch.setattr(_Handover, "end", ended)
    monkeypatch.setattr(classifier, "score_clips", slow)
    with piped(mpegts(12 * 25)) as source:
        found = list(watch(classifier, source))
    first, last = (x.moment.start_s for x in found)
    assert first < last == 11
    assert found[0].dropped_frames >= 25 * first - 25
    assert 300 - 75 <= found[1].dropped_frames <= 300 - 25  # all but those of two seconds


@contextlib.contextmanager
def server(*connections: tuple[bytes, float]) -> Iterator[str]:
    """The address of a source that sends each of these in so many seconds and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for data, seconds in connections:
                with contextlib.suppress(OSError), listener.accept()[0] as client:
                    send(data, client.sendall, seconds)

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def test_an_address_in_real_time_that_breaks_off_is_opened_again(classifier, monkeypatch):
    monkeypatch.setattr("fstcn_keras.live._ahead_s", lambda *_: 60)  # however busy the machine
    lost, found = [], []
    with server((mpegts(50), 2), (mpegts(50, level=20), 2)) as address:
        for moment in watch(classifier, LiveSource.parse(address), lost=lost.append):
            found.append(moment)
            if len(found) == 4:
                break
    assert [x.moment.classes[0] for x in found] == ["light", "light", "dark", "dark"]
    assert [x.moment.start_s for x in found[:2]] == [0, 1]
    assert found[3].moment.start_s == found[2].moment.start_s + 1
    assert found[2].moment.start_s > 2  # a pause of one second is in it
    assert found[3].reconnections == 1
    assert lost[0] == f"{address} has ended or broken off: trying again in 1 s"


def test_an_address_is_opened_again_after_want_of_memory(classifier, monkeypatch):
    monkeypatch.setattr("fstcn_keras.live._ahead_s", lambda *_: 60)  # however busy the machine
    read = LiveReader.frames

    def wanting(reader: LiveReader) -> Iterator[LiveFrame]:
        yield from read(reader)
        raise MemoryError

    monkeypatch.setattr(LiveReader, "frames", wanting)
    lost: list[str] = []
    with server((mpegts(50), 0), (mpegts(50), 0)) as address:
        found = itertools.islice(watch(classifier, LiveSource.parse(address), lost=lost.append), 4)
        assert [moment.reconnections for moment in found] == [0, 0, 1, 1]
    assert lost[0] == f"{address} takes more memory than there is: trying again in 1 s"


def test_what_the_callback_raises_ends_the_watch(classifier, monkeypatch):
    def broken(reason: str):
        raise BrokenPipeError("nobody reads what is lost")

    monkeypatch.setattr("fstcn_keras.live._ahead_s", lambda *_: 60)  # however busy the machine
    found: list = []
    with server((mpegts(50), 2)) as address:
        answers = watch(classifier, LiveSource.parse(address), lost=broken)

        def take():
            with pytest.raises(BrokenPipeError, match="nobody reads"):
                found.extend(itertools.chain(answers, ["unreachable"]))
            found.append("ended")

        taking = threading.Thread(target=take, daemon=True)
        taking.start()
        taking.join(HANG_S)
    assert found[-1] == "ended"


def answer_rtsp(client: socket.socket, address: str, data: bytes, seconds: float):
    """Serves MPEG-TS as RTP (payload type 33) inside of one RTSP connection, as RFC 2326 has it."""
    heads = {
        "DESCRIBE": f"Content-Base: {address}/\r\nContent-Type: application/sdp\r\n",
        "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    }
    session = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
    session += "m=video 0 RTP/AVP 33\r\na=control:track\r\n"
    requests = client.makefile("r", newline="\r\n")
    method = ""
    while method != "PLAY":
        lines = [*iter(lambda: requests.readline().strip(), "")]
        method = lines[0].split()[0]
        (number,) = (line for line in lines if line.startswith("CSeq"))
        body = session if method == "DESCRIBE" else ""
        head = f"RTSP/1.0 200 OK\r\n{number}\r\nSession: 1\r\n{heads.get(method, '')}"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    sequence = itertools.count()

    def write(chunk: bytes):
        for start in range(0, len(chunk), 7 * 188):
            part = chunk[start : start + 7 * 188]
            packet = struct.pack(">BBHII", 0x80, 33, next(sequence) % 65536, 0, 1) + part
            client.sendall(struct.pack(">cBH", b"$", 0, len(packet)) + packet)

    send(data, write, seconds)


def test_rtsp_in_real_time(classifier, monkeypatch):
    monkeypatch.setattr("fstcn_keras.live._ahead_s", lambda *_: 60)  # however busy the machine
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/stream"

        def serve():
            with listener.accept()[0] as client:
                answer_rtsp(client, address, mpegts(50), 2)

        threading.Thread(target=serve, daemon=True).start()
        found = list(itertools.islice(watch(classifier, LiveSource.parse(address)), 2))
    assert [x.moment.start_s for x in found] == [0, 1]
    assert {x.moment.classes[0] for x in found} == {"light"}


def test_what_cannot_be_opened_is_named_at_once(classifier):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(VideoError, match=f"^{address} cannot be opened: Connection refused"):
        next(watch(classifier, LiveSource.parse(address)))
    with (
        piped(b"no video" * 100) as source,
        pytest.raises(VideoError, match=r"^pipe \d+ cannot be opened: .*MPEG-TS and Matroska can"),
    ):
        next(watch(classifier, source))


def test_what_an_address_or_a_pipe_sends_opens_nothing_else(tmp_path):
    """Lists name other addresses and files."""
    (tmp_path / "v.ts").write_bytes(mpegts(25))
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{tmp_path}/v.ts\n#EXT-X-ENDLIST\n"
    with piped(text.encode()) as source, pytest.raises(VideoError, match="cannot be opened"):
        list(LiveReader(source).frames())
    with (
        server((text.encode(), 0)) as address,
        pytest.raises(VideoError, match="cannot be opened"),
    ):
        list(LiveReader(LiveSource.parse(address)).frames())


@pytest.mark.parametrize("text", ["", "video.mp4", "file:///a.mp4", "concat:a|b", "rtsp:/x", "-1"])
def test_no_other_source_is_taken(text):
    with pytest.raises(ValueError, match=f"got {text}".replace("|", r"\|") + "$"):
        LiveSource.parse(text)


def test_sources():
    assert LiveSource.parse("-") == LiveSource.from_pipe(0)
    assert LiveSource.parse("RTSP://host/x").options["protocol_whitelist"] == "rtp,udp,tcp"
    assert all("file" not in protocols.split(",") for protocols in PROTOCOLS.values())
    formats = {
        scheme: LiveSource.parse(f"{scheme}://host/x").options["format_whitelist"].split(",")
        for scheme in PROTOCOLS
    }
    assert {scheme for scheme, names in formats.items() if "rtsp" in names} == {"rtsp", "rtsps"}

"""When frames are shown."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fstcn_keras.video import VideoReader
from fstcn_keras.video.times import Clock, uniform_times
from tests.bad_videos import encoded
from tests.videos import grey_ramp, noise, write_video

MS = Fraction(1, 1000)


def clock(*, tick: Fraction = MS, rate: int | None = None, restarts: bool = False) -> Clock:
    return Clock(tick=tick, rates=(Fraction(rate) if rate else None,), restarts=restarts)


def write_at(path: Path, frames: np.ndarray, ticks: list[int], *, codec: str, **options) -> Path:
    """Encodes frames that are shown at these times, milliseconds."""
    encoded(path, frames, codec=codec, pts=ticks, **options)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mp4", "mpeg4"), ("v.mkv", "libx264"), ("v.mov", "libx264"), ("v.flv", "flv")],
)
def test_frames_of_a_variable_rate_have_their_own_times(tmp_path, name, codec):
    ticks = np.cumsum([0, 40, 40, 500, 20, 20, 900, 40]).tolist()
    reader = VideoReader(write_at(tmp_path / name, noise(8), ticks, codec=codec))
    np.testing.assert_allclose(reader.times()[:-1], np.divide(ticks, 1000), atol=1e-9)
    assert reader.times()[-1] == pytest.approx(1.56, abs=0.045)
    assert reader.notes == ()


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "mpeg4"), ("v.mkv", "ffv1")])
def test_times_of_a_constant_rate_are_exact(tmp_path, name, codec):
    reader = VideoReader(write_video(tmp_path / name, noise(31), codec=codec, fps=30))
    np.testing.assert_array_equal(reader.times(), np.arange(32) / 30)
    assert reader.fps == 30


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_b_frames_in_avi_are_in_order(tmp_path, codec):
    """AVI tells the times of decoding alone."""
    encoded(tmp_path / "v.avi", grey_ramp(30), codec=codec, options={"bf": "2"})
    reader = VideoReader(tmp_path / "v.avi")
    np.testing.assert_allclose(reader.times(), np.arange(31) / 25, atol=1e-9)
    assert reader.fps == 25


def test_frames_of_a_variable_rate_in_avi(tmp_path):
    """Packets without a byte fill the times between them."""
    ticks = [*range(0, 2000, 200), *range(2000, 2200, 20)]
    path = tmp_path / "v.avi"
    reader = VideoReader(write_at(path, noise(20), ticks, codec="libx264", options={"bf": "0"}))
    np.testing.assert_allclose(reader.times(), np.divide([*ticks, 2200], 1000), atol=1e-9)


@pytest.mark.parametrize(("name", "codec"), [("v.h264", "libx264"), ("v.m1v", "mpeg1video")])
def test_files_without_times_have_a_guessed_rate_and_a_word_about_it(tmp_path, name, codec):
    encoded(tmp_path / name, noise(12), codec=codec)
    reader = VideoReader(tmp_path / name)
    np.testing.assert_array_equal(reader.times(), uniform_times(12, 25))
    assert reader.fps == 25
    assert reader.notes == ("its frames bear no times: 25 frames a second are assumed",)


@pytest.mark.parametrize(("name", "codec"), [("v.ivf", "libvpx-vp9"), ("v.ogv", "libvpx")])
def test_containers_that_claim_no_rate_tell_times(tmp_path, name, codec):
    encoded(tmp_path / name, noise(12, height=32, width=32), codec=codec, options={"cpu-used": "8"})
    reader = VideoReader(tmp_path / name)
    np.testing.assert_allclose(reader.times(), uniform_times(12, 25), atol=1e-9)
    assert (reader.fps, reader.notes) == (25, ())


def test_a_clock_that_is_set_anew_goes_on(tmp_path):
    part = tmp_path / "part.ts"
    encoded(part, noise(10), codec="mpeg2video", container_format="mpegts")
    path = tmp_path / "twice.ts"
    path.write_bytes(2 * part.read_bytes())
    reader = VideoReader(path)
    count = reader.count()
    assert count in range(18, 21)
    times = reader.times()
    assert np.diff(times).min() > 0
    assert times[-1] == pytest.approx(count / 25, abs=0.1)


def test_single_frames_last_one_period(tmp_path):
    reader = VideoReader(write_video(tmp_path / "v.mp4", noise(1), codec="mpeg4"))
    np.testing.assert_array_equal(reader.times(), [0, 1 / 25])


def test_frames_without_a_time_lie_between_their_neighbours():
    times, note = clock().times([100, None, 180, 220, 220, 300, None], last=40)
    np.testing.assert_allclose(times, np.arange(8) / 25)
    assert note == ""


def test_frames_before_the_first_known_time_count_back_from_it():
    times, _ = clock().times([None, 140, 180, 220], last=0)
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.12, 0.16])


@pytest.mark.parametrize(
    ("ticks", "rate", "assumed", "reason"),
    [
        ([None] * 4, None, 25, "its frames bear no times: 25 frames a second are assumed"),
        ([None, 7, None, None], 50, 50, "its frames bear no times: 50 frames"),
        ([7] * 4, 1000, 25, "its frames bear no times: 25 frames"),
        ([0, 40, 80, 2**40], 10, 10, "the times of its frames are damaged: 10 frames"),
    ],
)
def test_what_is_assumed(ticks, rate, assumed, reason):
    times, note = clock(rate=rate).times(ticks, last=40)
    np.testing.assert_array_equal(times, np.arange(5) / assumed)
    assert note.startswith(reason)


@pytest.mark.parametrize(("last", "end"), [(40, 0.16), (60, 0.16), (61, 0.181), (10_000, 10.12)])
def test_the_last_frame_lasts_as_long_as_it_is_said_unless_that_may_be_made_up(last, end):
    """Up to half a period more or less, as FFmpeg makes it up."""
    times, note = clock(rate=25).times([0, 40, 80, 120], last=last)
    np.testing.assert_allclose(times, [0, 0.04, 0.08, 0.12, end])
    assert note == ""


def test_a_last_frame_of_one_tick_is_a_guess_of_ffmpegs():
    times, _ = clock(tick=Fraction(1, 10)).times([0, 3, 6], last=1)
    np.testing.assert_allclose(times, [0, 0.3, 0.6, 0.9])
    times, _ = clock(tick=Fraction(1, 10)).times([0, 3, 6], last=2)
    np.testing.assert_allclose(times, [0, 0.3, 0.6, 0.8])


def test_times_are_rounded_to_ticks_only_where_these_are_short():
    """Of half a period, a tick more is another time; of a thousandth of a second it is rounding."""
    times, _ = clock(tick=Fraction(1, 50), rate=25).times([0, 2, 5, 6, 8, 10], last=2)
    np.testing.assert_allclose(times, np.array([0, 2, 5, 6, 8, 10, 12]) / 50)
    times, _ = clock(rate=25).times([0, 40, 81, 120, 159, 200], last=40)
    np.testing.assert_array_equal(times, np.arange(7) / 25)


@pytest.mark.parametrize("leap", [-5000, 60_000])
def test_leaps_are_closed_only_where_clocks_are_set_anew(leap):
    ticks = [0, 40, 80, 120 + leap, 160 + leap]
    times, _ = clock(rate=25, restarts=True).times(ticks, last=40)
    np.testing.assert_allclose(times, np.arange(6) / 25)
    times, _ = clock(rate=25).times([0, 40, 80, 60_120, 60_160], last=40)
    np.testing.assert_allclose(times[3], 60.12)


def test_a_rate_that_is_that_of_the_clock_is_none():
    """As raw DV, of 60000 ticks a second, claims it."""
    tick = Fraction(1, 60_000)
    dv = Clock(tick=tick, rates=(Fraction(60_000), Fraction(25)), restarts=False)
    times, _ = dv.times([0, 2400, 4800], last=2400)
    np.testing.assert_array_equal(times, np.arange(4) / 25)
    assert dv.mean_rate(times) == 25
    assert clock(rate=1000).mean_rate(times) == pytest.approx(25)


def test_times_do_not_need_a_second_reading(tmp_path, monkeypatch):
    reader = VideoReader(write_video(tmp_path / "v.avi", noise(5)))
    assert len(list(reader)) == 5
    monkeypatch.setattr(av, "open", None)
    np.testing.assert_array_equal(reader.times(), np.arange(6) / 25)

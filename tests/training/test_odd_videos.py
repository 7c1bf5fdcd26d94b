"""What a network of the demo answers about videos as they come, by `predict --json`.

Each file shows an action of the demo; it must be named, with the number of frames and the seconds
that the file means. The first network takes minutes to train.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from av.stream import Disposition

from fstcn_keras import ActionClassifier
from tests.bad_videos import encoded, set_display_matrix
from tests.fstcn_keras.video.test_damage import cut_by_edit_list
from tests.fstcn_keras.video.test_orientation import turned_by
from tests.fstcn_keras.video.test_streams import COVER, pictures, udta_first, write_streams
from tests.processes import DATA
from training import cli, fit, predict
from training.data.collections import demo
from training.options import FitOptions

SHARED = DATA / "odd_videos"
pytestmark = pytest.mark.slow

# class, frames, seconds, and a part of what is said
FILES = {
    "plain.mp4": ("red_sway", 40, 1.6, ""),
    "cover_udta_first.mp4": ("red_sway", 40, 1.6, ""),
    "two_second_default.mp4": ("red_sway", 40, 1.6, "stream 1 is read"),
    "bitrot.mp4": (None, 100, 4.0, "incomplete: 29 of 100 frames damaged"),
    "hflip.mp4": ("red_sway", 40, 1.6, ""),
    "rot2deg.mp4": ("red_sway", 40, 1.6, ""),
    "editlist.mp4": ("red_sway", 27, 1.08, ""),
    "vfr_two_actions.mp4": ("cyan_hop", 160, 14.0, ""),
    "theora.ogv": ("red_sway", 40, 1.6, ""),
    "vp9.ivf": ("red_sway", 40, 1.6, ""),
    "es.m1v": ("red_sway", 48, 48 / 29.97, "29.97 frames a second are assumed"),
    "one.mp4": ("red_rest", 1, 0.04, "no motion"),
}
VARIABLE = [*range(0, 12_000, 200), *range(12_000, 13_200, 20)]  # milliseconds


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """That of the README's first command."""
    folder = tmp_path_factory.mktemp("demo") / "run"
    cli.run(fit.main, FitOptions, ["--split", "3", "--out", str(folder)])
    return folder


def action(name: str) -> np.ndarray:
    """A video of the demo that no network was trained on."""
    return demo.render(*name.split("_"), np.random.default_rng(2**20))


def two_actions(path: Path, **options):
    encoded(path, np.concatenate([action("red_sway"), action("cyan_hop")]), pts=VARIABLE, **options)


def make_all(folder: Path) -> dict[str, tuple[str, int, float, str]]:
    """Writes odd videos; tells of each what `FILES` does."""
    sway, whole = action("red_sway"), ("red_sway", 60, 2.4, "")
    made = {}
    for name, codec in {
        "webm.webm": "libvpx",
        "ivf.ivf": "libvpx-vp9",
        "ogg.ogv": "libvpx",
        "flash.flv": "flv",
        "broadcast.ts": "mpeg2video",
        "frames in both directions.avi": "libx264",
        "hevc.mkv": "libx265",
        "hflip.mp4": "mpeg4",
        "quarter turn.mp4": "mpeg4",
        "cut.mp4": "libx264",
    }.items():
        stored = sway
        if name == "hflip.mp4":
            stored = sway[:, :, ::-1]
        elif name == "quarter turn.mp4":
            stored = np.rot90(sway, axes=(1, 2))
        options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
        encoded(folder / name, np.ascontiguousarray(stored), codec=codec, options=options)
        made[name] = whole
    set_display_matrix(folder / "hflip.mp4", (-1, 0, 0, 1))
    set_display_matrix(folder / "quarter turn.mp4", turned_by(90))
    cut_by_edit_list(folder / "cut.mp4", frames=13)
    made["cut.mp4"] = ("red_sway", 47, 47 / 25, "")
    udta_first(write_streams(folder / "cover.mp4", (sway, None), COVER, codecs=("mpeg4", "mjpeg")))
    made["cover.mp4"] = whole
    first, other = (COVER[0], Disposition.default), (pictures([255, 0, 255], 60), Disposition(0))
    write_streams(folder / "track.mkv", first, (sway, Disposition(0)), codecs=("mjpeg", "mpeg4"))
    write_streams(folder / "second.mkv", other, (sway, Disposition.default))
    made["track.mkv"] = made["second.mkv"] = (*whole[:3], "stream 1 is read")
    for name, codec in {"vfr.mkv": "libx264", "vfr.avi": "libx264", "vfr.webm": "libvpx"}.items():
        two_actions(folder / name, codec=codec, options={"bf": "0"} if codec == "libx264" else {})
        made[name] = (None, 120, 13.2, "")
    return made


def check(run: Path, folder: Path, files: dict[str, tuple], capsys):
    """Predicts all files in one call and compares what is said of each."""
    capsys.readouterr()
    paths = [str(folder / name) for name in files]
    cli.run(predict.main, predict.PredictOptions, [str(run), *paths, "--json"])
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    for (name, (action_name, num_frames, seconds, words)), found in zip(
        files.items(), lines, strict=True
    ):
        said = " ".join([found["incomplete"], *found["notes"]])
        assert found["video"] == str(folder / name)
        assert action_name in (None, found["classes"][0]), name
        assert found["num_frames"] == num_frames, name
        assert found["duration_s"] == pytest.approx(seconds, abs=0.021), name  # half a frame
        assert words in said if words else said == "", name


def seconds_of(run: Path, video: Path) -> list[str]:
    """The class of each second."""
    return [moment.classes[0] for moment in ActionClassifier.load(run).timeline(video)]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no odd videos in {SHARED}")
def test_odd_videos(run, capsys):
    check(run, SHARED, FILES, capsys)
    found = seconds_of(run, SHARED / "vfr_two_actions.mp4")
    assert found == ["red_sway"] * 12 + ["cyan_hop"] * 2
    with pytest.raises(SystemExit):
        cli.run(predict.main, predict.PredictOptions, [str(run), str(SHARED / "anim.webp")])
    assert "is an animated WebP picture" in capsys.readouterr().err


def test_made_ones(run, tmp_path, capsys):
    files = make_all(tmp_path)
    check(run, tmp_path, files, capsys)
    for name in ("vfr.mkv", "vfr.avi", "vfr.webm"):  # of single seconds the appearance must do
        colours = [answer.split("_")[0] for answer in seconds_of(run, tmp_path / name)]
        assert colours == ["red"] * 12 + ["cyan"] * 2

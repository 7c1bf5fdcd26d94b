"""The predict command, with a network that names what it can see: red, green or blue."""

import json
import shutil
from pathlib import Path

import av
import keras
import numpy as np
import pytest
from keras import layers, ops

from fstcn_keras import ActionClassifier, ViewPlan
from fstcn_keras.video import VideoReader
from tests.bad_videos import encoded, truncated
from tests.training.test_cli import error_of
from tests.videos import write_video
from training import cli, predict

PLAN = ViewPlan(num_clips=2, short_side=32, crop_size=24, clip_length=2, stride=2, distance=3)
COLOURS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Its scores are the shares of the three colours in a clip."""
    inputs = {
        name: keras.Input((2, 24, 24, 3), dtype="uint8", name=name)
        for name in ("clip", "clip_diff")
    }
    levels = layers.GlobalAveragePooling3D()(layers.Rescaling(1 / 255)(inputs["clip"]))
    shares = levels / ops.sum(levels, axis=-1, keepdims=True)
    folder = tmp_path_factory.mktemp("run")
    ActionClassifier(keras.Model(inputs, shares), classes=list(COLOURS), plan=PLAN).save(folder)
    return folder


def coloured(*seconds: str, fps: int = 10) -> np.ndarray:
    """Seconds of one colour each, with a fifth of its level in the others."""
    levels = np.full((len(COLOURS), 3), 40, np.uint8) + np.diag([160] * 3).astype(np.uint8)
    frames = np.repeat(levels[[COLOURS.index(name) for name in seconds]], fps, axis=0)
    return np.broadcast_to(frames[:, None, None], (len(frames), 48, 65, 3)).copy()


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name in COLOURS:
        write_video(folder / f"{name}.avi", coloured(name), fps=10)
    write_video(folder / "all.avi", coloured("blue", "red", "green"), fps=10)
    (folder / "text.avi").write_text("no video")
    return folder


def predicted(capsys, *argv: object) -> list[str]:
    cli.run(predict.main, predict.PredictOptions, [str(argument) for argument in argv])
    return capsys.readouterr().out.splitlines()


def test_a_table_of_each_video(run, videos, capsys):
    lines = predicted(capsys, run, videos / "green.avi", videos / "blue.avi", "--top-k", 1)
    assert lines == [
        f"{videos / 'green.avi'}: 10 frames, 2 clips x 18 crops, SCI fusion",
        "   0.714  green",  # 200 / (200 + 2 * 40)
        f"{videos / 'blue.avi'}: 10 frames, 2 clips x 18 crops, SCI fusion",
        "   0.714  blue",
    ]


def test_json_lines(run, videos, capsys):
    (line,) = predicted(capsys, run, videos / "red.avi", "--json", "--top-k", 2)
    found = json.loads(line)
    assert found["video"] == str(videos / "red.avi")
    assert found["num_frames"] == 10
    assert found["classes"][0] == "red"
    np.testing.assert_allclose(found["scores"], [5 / 7, 1 / 7], atol=2e-3)
    np.testing.assert_allclose(found["clip_scores"], [[5 / 7, 1 / 7]] * 2, atol=2e-3)
    np.testing.assert_allclose(found["sci"], np.full((2, 18), (3 * 5 / 7 - 1) / 2), atol=2e-3)
    assert found["frames_used"] == PLAN.pair_indices(10).tolist()
    np.testing.assert_allclose(found["seconds_used"], PLAN.pair_indices(10) / 10)
    assert found["duration_s"] == pytest.approx(1)
    assert found["protocol"]["num_crops"] == 18


def test_bad_videos_are_named_and_the_others_scored(run, videos, capsys):
    names = ["text.avi", "green.avi", "none.avi", "red.avi"]
    with pytest.raises(SystemExit) as stopped:
        predicted(capsys, run, *(videos / name for name in names), "--json")
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    best = [json.loads(line)["classes"][0] for line in printed.out.splitlines()]
    assert best == ["green", "red"]
    errors = printed.err.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {videos / 'text.avi'}: cannot be opened as a video")
    assert errors[1].startswith(f"error: {videos / 'none.avi'}: ")


def test_the_annotated_video_plays_in_a_browser_and_shows_the_scores(run, videos, tmp_path, capsys):
    target = tmp_path / "seen.mp4"
    predicted(capsys, run, videos / "all.avi", "--annotate", target)
    data = target.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")  # starts before it is loaded wholly
    with av.open(target) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == (360, 488)
        assert stream.average_rate == 10
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) == 30
    for number in (5, 15, 25):
        orange = np.abs(frames[number][356].astype(int) - (230, 159, 0)).max(axis=-1) < 40
        assert orange.mean() == pytest.approx(number / 30, abs=0.02)  # the time bar
        bar = frames[number][360 - 8 - 3 * 24 + 5]  # above the letters of the first line
        change = np.abs(np.diff(bar.astype(int), axis=0)).sum(axis=-1)
        assert np.argmax(change) / 488 == pytest.approx(5 / 7, abs=0.02)  # the best score
    assert list(tmp_path.iterdir()) == [target]


def test_a_video_that_is_cut_short_is_named(run, tmp_path, capsys):
    video = truncated(tmp_path / "cut.avi")
    cli.run(predict.main, predict.PredictOptions, [str(run), str(video), "--json"])
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert 10 <= found["num_frames"] < 30
    assert found["incomplete"].startswith(f"incomplete: {found['num_frames']} of 40 frames decoded")
    assert printed.err == f"warning: {video}: {found['incomplete']}\n"


@pytest.fixture(scope="module")
def variable_rate(tmp_path_factory) -> Path:
    """Red for four seconds at 5 frames a second, then blue for one at 25."""
    path = tmp_path_factory.mktemp("vfr") / "vfr.mp4"
    images = coloured(*["red"] * 4, fps=5), coloured("blue", fps=25)
    ticks = [*range(0, 4000, 200), *range(4000, 5000, 40)]
    frames = np.concatenate(images)[:, :, :64]
    encoded(path, frames, codec="mpeg4", pts=ticks)
    return path


def test_seconds_are_those_of_the_frames_own_times(run, variable_rate):
    moments = list(ActionClassifier.load(run).timeline(variable_rate))
    assert [moment.classes[0] for moment in moments] == ["red"] * 4 + ["blue"]
    assert moments[-1].end_s == pytest.approx(5, abs=1e-9)


def test_the_annotated_video_has_the_times_of_the_video(run, variable_rate, tmp_path, capsys):
    target = tmp_path / "seen.MP4"
    predicted(capsys, run, variable_rate, "--annotate", target)
    expected = VideoReader(variable_rate).times()
    assert len(expected) == 46
    np.testing.assert_allclose(VideoReader(target).times(), expected, atol=1e-4)


def test_a_word_about_what_was_assumed(run, tmp_path, capsys):
    video = tmp_path / "one.avi"
    write_video(video, coloured("red", fps=1))
    cli.run(predict.main, predict.PredictOptions, [str(run), str(video)])
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{video}: 1 frame, ")
    note = "holds one frame, and so no motion to tell actions by"
    assert printed.err == f"note: {video}: {note}\n"
    (line,) = predicted(capsys, run, video, "--json")
    assert json.loads(line)["notes"] == [note]


def test_what_is_drawn_is_no_folder(run, videos, tmp_path, capsys):
    (tmp_path / "copy.mp4").mkdir()
    arguments = run, videos / "red.avi", "--annotate", tmp_path / "copy.mp4"
    error = error_of(capsys, predict.main, predict.PredictOptions, *arguments)
    assert error == f"error: --annotate must name a file, got the folder {tmp_path / 'copy.mp4'}"


def test_the_annotated_video_never_replaces_the_video(run, videos, tmp_path, capsys):
    shutil.copy(videos / "red.avi", tmp_path / "red.mp4")
    before = (tmp_path / "red.mp4").read_bytes()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "red.mp4")
    for target in ("red.mp4", "link.mp4"):
        arguments = (run, tmp_path / "red.mp4", "--annotate", tmp_path / target)
        error = error_of(capsys, predict.main, predict.PredictOptions, *arguments)
        assert f"would replace {tmp_path / 'red.mp4'} itself: name another file" in error
    assert (tmp_path / "red.mp4").read_bytes() == before


def test_the_figure_over_time(run, videos, tmp_path, capsys):
    target = tmp_path / "seen.svg"
    predicted(capsys, run, videos / "all.avi", "--timeline", target)
    assert "<svg" in target.read_text()
    predicted(capsys, run, videos / "all.avi", "--timeline", tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["red.avi", "--top-k", "0"], "--top-k must be positive, got 0"),
        (["red.avi", "--annotate", "a.avi"], "--annotate must end in .mp4, got a.avi"),
        (["red.avi", "--timeline", "t.txt"], "--timeline must end in .png or .svg, got t.txt"),
        (["red.avi", "--timeline", "no/t.png"], "no is not a folder"),
        (["red.avi", "blue.avi", "--annotate", "a.mp4"], "take one video, got 2"),
        ([], "name a video"),
    ],
)
def test_wrong_options(run, capsys, arguments, message):
    assert message in error_of(capsys, predict.main, predict.PredictOptions, run, *arguments)


def test_without_a_run_the_newest_is_taken(run, videos, tmp_path, monkeypatch, capsys):
    shutil.copytree(run, tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "mine" / "metrics.json").touch()
    monkeypatch.chdir(tmp_path)
    assert "red" in predicted(capsys, videos / "red.avi")[1]


def test_the_network_of_a_run_and_folders_of_videos_are_what_they_seem(run, tmp_path, capsys):
    for name, colour in {"b.avi": "red", "deep/a.avi": "blue", "c.avi": "green"}.items():
        write_video(tmp_path / "videos" / name, coloured(colour))
    (tmp_path / "videos" / "notes.txt").touch()
    arguments = [str(run / "model.keras"), str(tmp_path / "videos"), "--json"]
    cli.run(predict.main, predict.PredictOptions, arguments)
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(answer["video"]).name, answer["classes"][0]) for answer in answers] == [
        ("b.avi", "red"),
        ("c.avi", "green"),
        ("a.avi", "blue"),
    ]
    (tmp_path / "empty").mkdir()
    error = error_of(capsys, predict.main, predict.PredictOptions, run, tmp_path / "empty")
    assert "empty is a folder without videos: name video files, or a folder of them" in error

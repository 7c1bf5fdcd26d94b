"""The predict command, with a network that names what it can see: red, green or blue."""

import datetime
import json
import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from fstcn_keras import ActionClassifier, live
from fstcn_keras.prediction import Moment
from fstcn_keras.video import VideoReader
from tests.bad_videos import encoded, truncated
from tests.training.colours import COLOURS, PLAN, coloured
from tests.training.test_cli import error_of
from tests.videos import write_video
from training import cli, predict


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


def test_a_table_of_each_video(colour_run, videos, capsys):
    lines = predicted(capsys, colour_run, videos / "green.avi", videos / "blue.avi", "--top-k", 1)
    assert lines == [
        f"{videos / 'green.avi'}: 10 frames, 2 clips x 18 crops, SCI fusion",
        "   0.714  green",  # 200 / (200 + 2 * 40)
        f"{videos / 'blue.avi'}: 10 frames, 2 clips x 18 crops, SCI fusion",
        "   0.714  blue",
    ]


def test_json_lines(colour_run, videos, capsys):
    (line,) = predicted(capsys, colour_run, videos / "red.avi", "--json", "--top-k", 2)
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


def test_bad_videos_are_named_and_the_others_scored(colour_run, videos, capsys):
    names = ["text.avi", "green.avi", "none.avi", "red.avi"]
    with pytest.raises(SystemExit) as stopped:
        predicted(capsys, colour_run, *(videos / name for name in names), "--json")
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    best = [json.loads(line)["classes"][0] for line in printed.out.splitlines()]
    assert best == ["green", "red"]
    errors = printed.err.splitlines()
    assert len(errors) == 2
    assert errors[0].startswith(f"error: {videos / 'text.avi'}: cannot be opened as a video")
    assert errors[1].startswith(f"error: {videos / 'none.avi'}: ")


def test_the_annotated_video_plays_in_a_browser_and_shows_the_scores(
    colour_run, videos, tmp_path, capsys
):
    target = tmp_path / "seen.mp4"
    predicted(capsys, colour_run, videos / "all.avi", "--annotate", target)
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


def test_a_video_that_is_cut_short_is_named(colour_run, tmp_path, capsys):
    video = truncated(tmp_path / "cut.avi")
    cli.run(predict.main, predict.PredictOptions, [str(colour_run), str(video), "--json"])
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


def test_seconds_are_those_of_the_frames_own_times(colour_run, variable_rate):
    moments = list(ActionClassifier.load(colour_run).timeline(variable_rate))
    assert [moment.classes[0] for moment in moments] == ["red"] * 4 + ["blue"]
    assert moments[-1].end_s == pytest.approx(5, abs=1e-9)


def test_the_annotated_video_has_the_times_of_the_video(
    colour_run, variable_rate, tmp_path, capsys
):
    target = tmp_path / "seen.MP4"
    predicted(capsys, colour_run, variable_rate, "--annotate", target)
    expected = VideoReader(variable_rate).times()
    assert len(expected) == 46
    np.testing.assert_allclose(VideoReader(target).times(), expected, atol=1e-4)


def test_a_word_about_what_was_assumed(colour_run, tmp_path, capsys):
    video = tmp_path / "one.avi"
    write_video(video, coloured("red", fps=1))
    cli.run(predict.main, predict.PredictOptions, [str(colour_run), str(video)])
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{video}: 1 frame, ")
    note = "holds one frame, and so no motion to tell actions by"
    assert printed.err == f"note: {video}: {note}\n"
    (line,) = predicted(capsys, colour_run, video, "--json")
    assert json.loads(line)["notes"] == [note]


def test_what_is_drawn_is_no_folder(colour_run, videos, tmp_path, capsys):
    (tmp_path / "copy.mp4").mkdir()
    arguments = colour_run, videos / "red.avi", "--annotate", tmp_path / "copy.mp4"
    error = error_of(capsys, predict.main, predict.PredictOptions, *arguments)
    assert error == f"error: --annotate must name a file, got the folder {tmp_path / 'copy.mp4'}"


@pytest.mark.parametrize("output", ["--out", "--segments"])
def test_the_list_of_the_videos_is_never_replaced(colour_run, videos, tmp_path, capsys, output):
    (tmp_path / "list.csv").write_text(text := f"path\n{videos / 'red.avi'}\n")
    arguments = (colour_run, tmp_path / "list.csv", output, tmp_path / "list.csv")
    error = error_of(capsys, predict.main, predict.PredictOptions, *arguments)
    assert f"{output} would replace {tmp_path / 'list.csv'} itself: name another file" in error
    assert (tmp_path / "list.csv").read_text() == text


def test_the_annotated_video_never_replaces_the_video(colour_run, videos, tmp_path, capsys):
    shutil.copy(videos / "red.avi", tmp_path / "red.mp4")
    before = (tmp_path / "red.mp4").read_bytes()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "red.mp4")
    for target in ("red.mp4", "link.mp4"):
        arguments = (colour_run, tmp_path / "red.mp4", "--annotate", tmp_path / target)
        error = error_of(capsys, predict.main, predict.PredictOptions, *arguments)
        assert f"would replace {tmp_path / 'red.mp4'} itself: name another file" in error
    assert (tmp_path / "red.mp4").read_bytes() == before


def test_the_figure_over_time(colour_run, videos, tmp_path, capsys):
    target = tmp_path / "seen.svg"
    predicted(capsys, colour_run, videos / "all.avi", "--timeline", target)
    assert "<svg" in target.read_text()
    predicted(capsys, colour_run, videos / "all.avi", "--timeline", tmp_path / "seen.png")
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_drawn_is_decoded_in_a_process_of_its_own(
    colour_run, videos, tmp_path, capsys, monkeypatch
):
    def decode(self):
        raise AssertionError("decoded by the command itself")

    monkeypatch.setattr(VideoReader, "_decoded", decode)
    for option, name in (("annotate", "a.mp4"), ("timeline", "t.svg"), ("segments", "s.csv")):
        predicted(capsys, colour_run, videos / "red.avi", f"--{option}", tmp_path / name)
        assert (tmp_path / name).exists()


def test_segments_as_captions_and_as_a_table(colour_run, tmp_path, capsys):
    video = write_video(tmp_path / "v.avi", coloured(*["red", "red", "blue", "red", "red"]), fps=10)
    for name in ("s.vtt", "s.csv"):
        predicted(capsys, colour_run, video, "--segments", tmp_path / name, "--min-segment", 2)
    assert (tmp_path / "s.vtt").read_text() == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:05.000\nred 0.60\n"  # (4 * 5/7 + 1/7) / 5
    )
    predicted(capsys, colour_run, video, "--segments", tmp_path / "s.csv")
    rows = [line.split(",") for line in (tmp_path / "s.csv").read_text().splitlines()]
    assert [row[:3] for row in rows] == [
        ["start_s", "end_s", "class"],
        ["0.000", "2.000", "red"],
        ["2.000", "3.000", "blue"],
        ["3.000", "5.000", "red"],
    ]


def test_a_stream_on_standard_input(colour_run, tmp_path, capsys):
    frames = coloured("red", "red", "blue", fps=25)[:, :, :64]
    video = write_video(tmp_path / "v.ts", frames, codec="mpeg2video")
    expected = list(ActionClassifier.load(colour_run).timeline(video))
    saved = os.dup(0)
    try:
        with video.open("rb") as file:
            os.dup2(file.fileno(), 0)
            lines = predicted(capsys, colour_run, "--stream", "-", "--top-k", 2)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
    answers = [json.loads(line) for line in lines]
    assert [answer["start_s"] for answer in answers] == [0, 1, 2]
    assert [answer["classes"][0] for answer in answers] == ["red", "red", "blue"]
    for answer, moment in zip(answers, expected, strict=True):
        assert answer["scores"] == moment.scores[:2].tolist()
        assert answer["dropped_frames"] == answer["reconnections"] == 0
        assert datetime.datetime.fromisoformat(answer["end_time"]).tzinfo is not None


def test_ctrl_c_ends_a_stream(colour_run, capsys, monkeypatch):
    moment = Moment.from_probabilities(np.array([[0.5, 0.5]]), ["a", "b"], start_s=0, end_s=1)

    def watch(*arguments, **keywords):
        yield live.LiveMoment(moment=moment, delay_s=0.25, dropped_frames=7, reconnections=2)
        raise KeyboardInterrupt

    monkeypatch.setattr(live, "watch", watch)
    with pytest.raises(SystemExit) as stopped:
        predicted(capsys, colour_run, "--stream", "rtsp://camera.local/stream")
    assert stopped.value.code == 130
    printed = capsys.readouterr()
    assert json.loads(printed.out)["delay_s"] == 0.25
    assert printed.err == "watched until 1.0 s: 7 late frames dropped, 2 times reconnected\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["red.avi", "--top-k", "0"], "--top-k must be positive, got 0"),
        (["red.avi", "--annotate", "a.avi"], "--annotate must end in .mp4, got a.avi"),
        (["red.avi", "--timeline", "t.txt"], "--timeline must end in .png or .svg, got t.txt"),
        (["red.avi", "--timeline", "no/t.png"], "no is not a folder"),
        (["red.avi", "--out", "t.xlsx"], "--out must end in .csv or .parquet, got t.xlsx"),
        (["red.avi", "--out", "t.csv", "--json"], "--out writes what --json prints"),
        (["red.avi", "--out", "t.csv", "--annotate", "a.mp4"], "--out is a table of videos"),
        (["red.avi", "blue.avi", "--annotate", "a.mp4"], "take one video, got 2"),
        (["red.avi", "--segments", "s.srt"], "--segments must end in .csv or .vtt, got s.srt"),
        (["--stream", "red.avi"], "--stream must be '-' for standard input, the number of a"),
        (["--stream", "file:///red.avi"], "an address that begins with rtsp://, "),
        (["--stream", "0", "red.avi"], "--stream takes the run alone, got red.avi too"),
        (["--stream", "-", "--json"], "--stream prints JSON lines, and goes without --json"),
        (["--stream", "987"], "camera 987 cannot be opened: there is no /dev/video987"),
        (["red.avi", "--min-segment", "0"], "--min-segment must be a positive number"),
        ([], "name a video"),
    ],
)
def test_wrong_options(colour_run, capsys, arguments, message):
    assert message in error_of(capsys, predict.main, predict.PredictOptions, colour_run, *arguments)


def test_without_a_run_the_newest_is_taken(colour_run, videos, tmp_path, monkeypatch, capsys):
    shutil.copytree(colour_run, tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "mine" / "metrics.json").touch()
    monkeypatch.chdir(tmp_path)
    assert "red" in predicted(capsys, videos / "red.avi")[1]
    with pytest.raises(SystemExit):
        predicted(capsys)
    assert "error: name a video after the run runs/mine" in capsys.readouterr().err


def test_the_network_of_a_run_and_folders_of_videos_are_what_they_seem(
    colour_run, tmp_path, capsys
):
    for name, colour in {"b.avi": "red", "deep/a.avi": "blue", "c.avi": "green"}.items():
        write_video(tmp_path / "videos" / name, coloured(colour))
    (tmp_path / "videos" / "notes.txt").touch()
    arguments = [str(colour_run / "model.keras"), str(tmp_path / "videos"), "--json"]
    cli.run(predict.main, predict.PredictOptions, arguments)
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(Path(answer["video"]).name, answer["classes"][0]) for answer in answers] == [
        ("b.avi", "red"),
        ("c.avi", "green"),
        ("a.avi", "blue"),
    ]
    (tmp_path / "empty").mkdir()
    error = error_of(capsys, predict.main, predict.PredictOptions, colour_run, tmp_path / "empty")
    assert "empty is a folder without videos: name video files, or a folder of them" in error


@pytest.mark.parametrize("mark", ["", "\ufeff"])  # as Excel writes it before UTF-8
def test_a_list_names_videos(colour_run, videos, tmp_path, monkeypatch, capsys, mark):
    monkeypatch.chdir(videos)
    (tmp_path / "list.txt").write_text(f"{mark}red.avi\n\nblue.avi\n")
    (tmp_path / "list.csv").write_text(f'{mark}path,label\ngreen.avi,1\n"red.avi",0\n')
    lists = [str(tmp_path / name) for name in ("list.txt", "list.csv")]
    cli.run(predict.main, predict.PredictOptions, [str(colour_run), *lists, "--json"])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["video"] for answer in answers] == [
        *("red.avi", "blue.avi", "green.avi", "red.avi")
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "file,label\nred.avi,0\n", "has no column path or video: ['file', 'label']"),
        ("a.txt", "\n", "names no video: write a path a line"),
        ("a.txt", None, "a.txt cannot be read as a list of videos: No such file"),
    ],
)
def test_a_list_without_videos(colour_run, tmp_path, capsys, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    error = error_of(capsys, predict.main, predict.PredictOptions, colour_run, tmp_path / name)
    assert message in error

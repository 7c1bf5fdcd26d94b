"""The table of many videos: what stands in it, and what a stop leaves of it."""

import contextlib
import csv
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fstcn_keras import ActionClassifier
from fstcn_keras.prediction import Prediction, VideoResult
from tests.bad_videos import truncated
from tests.processes import ROOT, run_python
from tests.training.colours import COLOURS, PLAN, coloured
from tests.training.test_cli import error_of
from tests.videos import write_video
from training import cli, predict
from training.errors import UserError
from training.prediction_table import PredictionTable


def result(name: str, *scores: float, incomplete: str = "") -> VideoResult:
    """What is said of a video whose views all have these scores."""
    prediction = Prediction.from_probabilities(
        np.array([[scores]]),
        COLOURS,
        pairs=PLAN.pair_indices(9),
        num_frames=9,
        incomplete=incomplete,
        plan=PLAN,
    )
    return VideoResult(source=Path(name), prediction=prediction)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for name in COLOURS:
        write_video(folder / "deep" / f"{name}, it is.avi", coloured(name), fps=10)
    (folder / "a text.avi").write_text("no video")
    truncated(folder / "cut.avi")
    return folder


def predicted(*arguments: object) -> int:
    """The exit code."""
    try:
        cli.run(predict.main, predict.PredictOptions, [str(argument) for argument in arguments])
    except SystemExit as ended:
        return ended.code
    return 0


def test_a_row_for_each_video(colour_run, folder, tmp_path, capsys):
    table = tmp_path / "scores.csv"
    assert predicted(colour_run, "--out", table, folder) == 2  # one is no video
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"error: {folder / 'a text.avi'}: cannot be opened" in printed.err
    assert printed.err.endswith(f"wrote {table}\n")
    assert [*tmp_path.iterdir()] == [table]
    rows = rows_of(table)
    names = ["a text.avi", "cut.avi", *(f"deep/{name}, it is.avi" for name in sorted(COLOURS))]
    assert [row["video"] for row in rows] == [str(folder / name) for name in names]
    text, cut, blue = rows[:3]
    first = ["video", "class", "score", "problem", "novelty", "rejected"]
    assert list(text) == first + [f"score_{name}" for name in COLOURS]
    assert text["problem"].startswith("cannot be opened as a video")
    assert {text[name] for name in text.keys() - {"video", "problem"}} == {""}
    assert cut["problem"].startswith("incomplete: ")
    assert cut["class"] in COLOURS
    assert (blue["class"], blue["problem"]) == ("blue", "")
    found = [float(blue[name]) for name in ("score", "score_red", "score_green", "score_blue")]
    np.testing.assert_allclose(found, [5 / 7, 1 / 7, 1 / 7, 5 / 7], atol=2e-3)
    assert (blue["novelty"], blue["rejected"]) == ("", "")  # its network has no logits


def test_parquet_holds_the_same(colour_run, folder, tmp_path, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    files = tmp_path / "scores.csv", tmp_path / "scores.parquet"
    for file in files:
        assert predicted(colour_run, "--out", file, folder) == 2
    assert {*tmp_path.iterdir()} == {*files}
    table = parquet.read_table(files[1])
    texts = [str(table.schema.field(name).type) for name in ("video", "class", "problem")]
    assert texts == ["string"] * 3
    assert str(table.schema.field("score_red").type) == "double"
    rows = table.to_pylist()
    assert rows[0]["class"] is rows[0]["score"] is rows[0]["score_blue"] is None
    texts = [
        {
            name: "" if x is None else x if isinstance(x, str) else f"{x:.6f}"
            for name, x in row.items()
        }
        for row in rows
    ]
    assert texts == rows_of(files[0])


def test_parquet_needs_pyarrow(colour_run, tmp_path, monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "pyarrow" else found(name, *a)
    )
    arguments = colour_run, "a.avi", "--out", tmp_path / "t.parquet"
    error = error_of(capsys, predict.main, predict.PredictOptions, *arguments)
    assert "t.parquet needs pyarrow: pip install 'fstcn-keras[parquet]', or name a .csv" in error


def test_the_rows_are_there_as_they_are_said_and_a_stop_keeps_them(tmp_path):
    table = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    videos = [Path(name) for name in ("a.avi", "b.avi", "c, d.avi", "e.avi")]
    assert table.begin(videos) == videos
    table.add(result("a.avi", 0.5, 0.25, 0.25))
    table.add(VideoResult(source=Path("b.avi"), reason="is empty"))
    table.add(result("c, d.avi", 0.25, 0.25, 0.5, incomplete='"half"'))
    assert table.partial == tmp_path / "partial-k-t.csv"
    assert [row["video"] for row in rows_of(table.partial)] == ["a.avi", "b.avi", "c, d.avi"]
    assert not (tmp_path / "t.csv").exists()

    with table.partial.open("a") as stream:  # the process is killed within the last number
        stream.write("e.avi,red,0.500000,,,,0.500000,0.250000,0.2")
    table.close()  # as the kernel does
    again = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    left = again.begin(videos)
    assert left == [Path("b.avi"), Path("e.avi")]  # what could not be read may be mended
    for video in left:
        again.add(result(str(video), 0.25, 0.5, 0.25))
    again.finish()
    rows = rows_of(tmp_path / "t.csv")
    assert [row["video"] for row in rows] == ["a.avi", "c, d.avi", "b.avi", "e.avi"]
    assert [row["class"] for row in rows] == ["red", "blue", "green", "green"]
    assert rows[1]["problem"] == '"half"'
    assert [*tmp_path.iterdir()] == [tmp_path / "t.csv"]


def test_rows_of_another_network_or_of_videos_no_longer_named_do_not_count(tmp_path):
    table = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    table.begin([Path("a.avi"), Path("b.avi")])
    for name in ("a.avi", "b.avi"):
        table.add(result(name, 0.5, 0.25, 0.25))
    table.close()
    other = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="other")
    assert other.begin([Path("a.avi")]) == [Path("a.avi")]
    other.close()
    fewer = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    assert fewer.begin([Path("b.avi")]) == []
    fewer.finish()
    assert [row["video"] for row in rows_of(tmp_path / "t.csv")] == ["b.avi"]


def test_a_video_that_has_changed_since_is_asked_again(tmp_path):
    _, older, longer, gone = videos = [tmp_path / f"{name}.avi" for name in "abcd"]
    for video in videos:
        video.touch()
        os.utime(video, ns=(10**18, 10**18))
    table = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    table.begin(videos)
    for video in videos:
        table.add(result(str(video), 0.5, 0.25, 0.25))
        os.utime(older, ns=(10**17, 10**17))  # before others are added
    table.close()
    longer.write_text("other")
    os.utime(longer, ns=(10**18, 10**18))
    gone.unlink()
    again = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    assert again.begin(videos) == [older, longer]
    again.close()


def test_a_path_that_the_system_refuses_stops_no_table(tmp_path):
    videos = [Path("x" * 300 + ".avi"), Path("a.avi")]
    table = PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k")
    for _ in range(2):
        assert table.begin(videos) == videos
        table.add(VideoResult(source=videos[0], reason="File name too long"))
        table.close()


def test_two_processes_do_not_write_one_table(tmp_path):
    first, second = (PredictionTable(tmp_path / "t.csv", classes=COLOURS, key="k") for _ in "12")
    first.begin([Path("a.avi")])
    first.add(result("a.avi", 0.5, 0.25, 0.25))
    with contextlib.closing(second), pytest.raises(UserError, match=r"writes .*t\.csv: wait until"):
        second.begin([Path("a.avi")])
    first.finish()
    assert [row["video"] for row in rows_of(tmp_path / "t.csv")] == ["a.avi"]
    with contextlib.closing(second):
        assert second.begin([Path("a.avi")]) == [Path("a.avi")]  # nobody holds it now


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_name_of_any_bytes(tmp_path, kind):
    file, video = tmp_path / f"t.{kind}", Path(os.fsdecode(b"caf\xe9\n\r.avi"))
    table = PredictionTable(file, classes=COLOURS, key="k")
    table.begin([video])
    table.add(VideoResult(source=video, reason="is\rempty"))
    if kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        table.finish()
        (row,) = parquet.read_table(file).to_pylist()
    else:
        table.finish()
        (row,) = rows_of(file)
    assert (row["video"], row["problem"]) == ("caf\\xe9\n\\r.avi", "is\\rempty")
    assert list(row)[-1] == "score_blue"


def test_an_interrupted_command_goes_on(colour_run, folder, tmp_path, capsys, monkeypatch):
    """Ctrl-C comes after two videos."""
    table = tmp_path / "scores.csv"
    predict_videos = ActionClassifier.predict_videos

    def interrupted(self, videos):
        for number, one in enumerate(predict_videos(self, videos)):
            if number == 2:
                raise KeyboardInterrupt
            yield one

    with monkeypatch.context() as patch:
        patch.setattr(ActionClassifier, "predict_videos", interrupted)
        assert predicted(colour_run, folder / "deep", "--out", table) == 130
    assert capsys.readouterr().err.endswith("interrupted; to go on, give the same command again\n")
    (partial,) = tmp_path.iterdir()
    assert [row["class"] for row in rows_of(partial)] == ["blue", "green"]
    asked = []

    def counted(self, videos):
        asked.extend(video.path for video in videos)
        return predict_videos(self, videos)

    monkeypatch.setattr(ActionClassifier, "predict_videos", counted)
    assert predicted(colour_run, folder / "deep", "--out", table) == 0
    assert asked == [folder / "deep" / "red, it is.avi"]
    assert f"going on with 2 of 3 videos in {partial}" in capsys.readouterr().err
    assert [row["class"] for row in rows_of(table)] == ["blue", "green", "red"]


def test_what_is_wrong_is_said_before_tensorflow_is_loaded(tmp_path):
    code = """
import sys
from training import cli, predict
for line in sys.argv[1:]:
    try:
        cli.run(predict.main, predict.PredictOptions, line.split())
    except SystemExit as ended:
        print(ended.code, *{"keras", "tensorflow"} & {*sys.modules})
"""
    lines = (
        "red.avi --out t.txt",
        "--top-k none red.avi",
        "red.avi --jsno",
        "no-run red.avi",
        ". red.avi",  # a folder, but of no run
    )
    environment = {"PYTHONPATH": str(ROOT), "FSTCN_KERAS_LAZY": "1"}
    printed = run_python(code, *lines, cwd=tmp_path, **environment)
    assert printed.splitlines() == ["2"] * len(lines)


def test_options_may_stand_anywhere_among_the_files(colour_run, folder, capsys):
    red, blue = (folder / "deep" / f"{name}, it is.avi" for name in ("red", "blue"))
    for arguments in (
        (colour_run, "--json", red, "--top-k", 1, blue),
        ("--top-k=1", colour_run, red, "--json", "--", blue),
        ("--json", "--top-k", 1, "--", colour_run, red, blue),
    ):
        assert predicted(*arguments) == 0
        answers = map(json.loads, capsys.readouterr().out.splitlines())
        assert [answer["classes"] for answer in answers] == [["red"], ["blue"]]

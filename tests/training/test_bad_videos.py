"""Every kind of bad or odd file in one folder: each is read as far as it goes, or listed."""

import contextlib
import csv
import io
import json
import os
import re
from pathlib import Path

import av
import numpy as np
import pytest

from fstcn_keras.runs import RunFolder
from tests.bad_videos import CASES, CLOCKWISE, QUARTERS
from tests.training.runs import fit_arguments
from tests.videos import noise, write_video
from training import cli, fit
from training.data import collections
from training.data.preparation import prepare_store
from training.data.splits import open_data
from training.errors import UserError
from training.evaluation import check_test_videos
from training.options import FitOptions

PATHS = {name: f"{'ab'[number % 2]}/{name}" for number, name in enumerate(CASES)}
LISTABLE = [name for name in CASES if "\n" not in name and name.isprintable()]
TESTS = {name for number, name in enumerate(LISTABLE) if number % 3 == 0}
SOUND = ("sound 0.avi", "sound 1.avi", "sound 2.avi")  # in both classes; the last is a test video


def is_usable(name: str) -> bool:
    return CASES[name][1] != 0


def is_listed_as_bad(name: str) -> bool:
    return not is_usable(name) or CASES[name][2] != ""


@pytest.fixture(scope="module")
def collection(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("collection")
    for seed, class_name in enumerate("ab"):
        for number, name in enumerate(SOUND):
            write_video(root / class_name / name, noise(6, seed=10 * (seed + 1) + number))
    for name, path in PATHS.items():
        CASES[name][0](root / path)
    (root / "a" / "notes.txt").write_text("no video, and no candidate")
    write_video(root / "b" / "nested" / "deeper" / "fine.avi", noise(2))
    (root / "circle").symlink_to(".")
    return root


@pytest.fixture(scope="module")
def store(collection, tmp_path_factory):
    dataset = collections.read_folder(collection, split=1)
    paths = [video.path for video in dataset.videos]
    return prepare_store(tmp_path_factory.mktemp("store"), collection, paths, short_side=24)


def test_every_file_is_accounted_for(store):
    sound = {f"{class_name}/{name}" for class_name in "ab" for name in SOUND}
    assert set(store.videos) == sound | set(PATHS.values())


@pytest.mark.parametrize("name", CASES)
def test_frames_and_reason(store, name):
    _, num_frames, reason = CASES[name]
    stored = store.videos[PATHS[name]]
    expected = num_frames if isinstance(num_frames, range) else [num_frames]
    assert stored.num_frames in expected, stored
    assert reason in stored.reason
    assert (stored.reason == "") == (not is_listed_as_bad(name)), stored
    assert "\n" not in stored.reason
    if stored.num_frames:
        frames = store.read_frames(PATHS[name], range(stored.num_frames))
        assert frames.shape == (stored.num_frames, stored.height, stored.width, 3)
        assert min(stored.height, stored.width) == 24


def test_h264_with_b_frames_comes_in_order_of_display(store):
    levels = store.read_frames(PATHS["long gop.mp4"], range(60)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(levels, 10 + 4 * np.arange(60), atol=4)


@pytest.mark.parametrize("degrees", CLOCKWISE)
def test_turned_pictures_are_shown_upright(store, collection, degrees):
    path = PATHS[f"turned {degrees}.mp4"]
    with av.open(collection / path) as container:
        lying = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert lying.shape == ((96, 64, 3) if degrees == 180 else (64, 96, 3))
    assert np.abs(quarter_colours(lying) - QUARTERS).max() > 200
    for frame in store.read_frames(path, range(3)):
        assert frame.shape == (36, 24, 3)
        np.testing.assert_allclose(quarter_colours(frame), QUARTERS, atol=12)


def quarter_colours(image: np.ndarray) -> np.ndarray:
    """Means of the inner parts of the quarters, in the order of `QUARTERS`."""
    height, width = image.shape[0] // 4, image.shape[1] // 4
    corners = [(height // 2 + 2 * height * row, width // 2 + 2 * width * column)
               for row in range(2) for column in range(2)]  # fmt: skip
    parts = [image[top : top + height, left : left + width] for top, left in corners]
    return np.array([part.mean(axis=(0, 1)) for part in parts])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_permission(tmp_path):
    write_video(tmp_path / "c" / "closed.avi", noise(2)).chmod(0)
    store = prepare_store(tmp_path / "store", tmp_path, ["c/closed.avi"], short_side=24)
    assert store.videos["c/closed.avi"].num_frames == 0
    assert store.videos["c/closed.avi"].reason == "cannot be read: Permission denied"


def test_a_pipe_is_not_waited_for(tmp_path):
    (tmp_path / "c").mkdir()
    os.mkfifo(tmp_path / "c" / "pipe.avi")
    for _ in range(2):
        store = prepare_store(tmp_path / "store", tmp_path, ["c/pipe.avi"], short_side=24)
        assert store.videos["c/pipe.avi"].reason == "cannot be read: it is not a regular file"


@pytest.mark.parametrize("other", ["two\nlines", "end\r", " "])
def test_a_class_name_of_two_lines_or_none(tmp_path, other):
    for name in ("one", other):
        write_video(tmp_path / name / "0.avi", noise(2))
    expected = re.escape(f"{other!r} has no name of one line: rename it")
    with pytest.raises(UserError, match=expected):
        collections.read_folder(tmp_path)


def arguments(collection: Path, folder: Path, *more: str) -> list[str]:
    options = ("--store", str(folder / "store"), "--warmup-epochs", "0", "--paths", "spatial")
    return fit_arguments(collection, folder / "run", *options, *more)


@pytest.fixture(scope="module")
def finished(collection, tmp_path_factory) -> tuple[Path, str]:
    """The folder of a run on split files that name the cases, and what the command printed."""
    folder = tmp_path_factory.mktemp("runs")
    lists = folder / "lists"
    lists.mkdir()
    for class_name in "ab":
        lines = [f"{name} {1 + (name == SOUND[-1])}" for name in SOUND]
        lines += [
            f"{name} {1 + (name in TESTS)}"
            for name in LISTABLE
            if PATHS[name].startswith(class_name)
        ]
        lines += ["gone.avi 2", "gone too.avi 1"] if class_name == "a" else []
        (lists / f"{class_name}_test_split1.txt").write_text("\n".join(lines), encoding="utf-8")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        options = arguments(collection, folder, "--splits-dir", str(lists))
        cli.run(fit.main, FitOptions, options)
    return folder, printed.getvalue()


def test_a_run_judges_by_every_test_video_that_decodes(finished):
    folder, printed = finished
    usable = [name for name in TESTS if is_usable(name)]
    rejected = [name for name in TESTS if not is_usable(name)]
    assert len(usable) > 4
    assert len(rejected) > 2
    assert any(is_listed_as_bad(name) for name in usable)
    metrics = json.loads((folder / "run" / "metrics.json").read_text())
    protocol = metrics["protocol"]
    assert protocol["videos"] == len(usable) + 2  # the sound test video of either class
    assert protocol["rejected"] == len(rejected)
    assert protocol["missing"] == 1
    total = len(usable) + 2 + len(rejected)
    for row in (*metrics["video"].values(), metrics["clip"]):
        right = round(row["top1"] * (len(usable) + 2))
        assert row["top1_all"] == pytest.approx(right / total)
    assert f"mean class   top-1 of all {total}\n" in printed
    scored = np.load(folder / "run" / "scores.npz")["paths"].tolist()
    sound = {f"{class_name}/{SOUND[-1]}" for class_name in "ab"}
    assert sorted(scored) == sorted({PATHS[name] for name in usable} | sound)
    assert (
        f"folder split 1: {len(usable) + 2} test videos of 2 classes (1 listed but missing, "
        f"{len(rejected)} could not be decoded), 1 clip x 18 crops"
    ) in printed.splitlines()


def test_a_run_lists_every_bad_file_with_its_reason(finished):
    folder, printed = finished
    bad = {PATHS[name]: CASES[name][2] for name in LISTABLE if is_listed_as_bad(name)}
    with (folder / "run" / "rejected.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    counted = rows[PATHS["millions.avi"]]
    assert (counted["frames_decoded"], counted["frames_expected"]) == ("3", "50000000")
    reasons = {path: row["reason"] for path, row in rows.items()}
    assert set(reasons) == set(bad)
    assert all(reasons[path] and bad[path] in reasons[path] for path in bad)
    unusable = sum(not is_usable(name) for name in LISTABLE)
    expected = f"{unusable} videos could not be decoded, {len(bad) - unusable} only in part"
    assert expected in printed


def test_a_run_says_what_it_leaves_out(finished):
    _, printed = finished
    lines = printed.splitlines()
    (line,) = (line for line in lines if line.startswith("folder split 1: 2 classes"))
    unlisted = len(CASES) - len(LISTABLE)
    assert unlisted == 3
    assert f"; {unlisted} files are in no list" in line
    assert "; 2 listed files are missing, e.g. a/gone.avi" in line
    left_out = "2 files of other kinds, loose or in nested folders left out, e.g. 'a/notes.txt'"
    assert line.endswith(f"; {left_out}")


def test_without_split_files_the_names_that_no_list_could_hold_count_too(collection, finished):
    folder, _ = finished
    options = cli.parse(FitOptions, arguments(collection, folder))
    dataset, store = open_data(options.collection, options.split, options.store, short_side=120)
    assert sorted(video.path for video in dataset.videos) == sorted(
        [*PATHS.values(), *(f"{class_name}/{name}" for class_name in "ab" for name in SOUND)]
    )
    usable = {path for name, path in PATHS.items() if is_usable(name)}
    tests = {video.path for video in dataset.side("test")}
    assert {path[0] for path in tests} == {"a", "b"} == {v.path[0] for v in dataset.side("train")}
    judged = {video.path for video in check_test_videos(dataset, store, RunFolder(folder))}
    assert judged == {path for path in tests if path in usable or "/sound " in path}
    with (folder / "store" / "rejected.csv").open(
        newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        listed = {row["path"] for row in csv.DictReader(file)}
    assert listed == {path for name, path in PATHS.items() if is_listed_as_bad(name)}

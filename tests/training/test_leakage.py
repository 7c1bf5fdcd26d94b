"""A run goes on with the videos that it was trained on, and is not judged by them."""

import hashlib
import json

import pytest

from fstcn_keras.runs import RunFolder
from tests.training.data.test_collections import touch
from training import leakage
from training.data import preparation
from training.data.collections import Video, read_folder
from training.errors import UserError
from training.leakage import changes_since, check_leakage, record_training_videos


def videos(*paths: str) -> list[Video]:
    return [Video(path, 0, "train", path) for path in paths]


def test_videos_that_change_after_training_has_begun(tmp_path):
    record_training_videos(RunFolder(tmp_path), train=videos("a", "b"), held_out=videos("c"))
    # nothing is trained yet
    record_training_videos(RunFolder(tmp_path), train=videos("a"), held_out=videos("b"))
    (tmp_path / "checkpoints").mkdir()
    record_training_videos(RunFolder(tmp_path), train=videos("a"), held_out=videos("b"))
    with pytest.raises(UserError, match=r"2 came, went, changed sides or were replaced, e\.g\. b"):
        record_training_videos(RunFolder(tmp_path), train=videos("a", "b"), held_out=videos("d"))


def test_a_training_video_that_is_replaced_after_training_has_begun(tmp_path):
    run, sides = RunFolder(tmp_path), {"train": videos("a", "b"), "held_out": videos("c")}
    hashes = {"a": "one", "b": "two", "c": "three", "test": "four"}
    record_training_videos(run, **sides, hashes=hashes)
    (tmp_path / "checkpoints").mkdir()
    record_training_videos(run, **sides, hashes=hashes | {"test": "five"})  # learned by nobody
    with pytest.raises(UserError, match=r"2 came, went, changed sides or were replaced, e\.g\. b"):
        record_training_videos(run, **sides, hashes=hashes | {"b": "six", "c": "seven"})
    recorded = json.loads(run.training_videos.read_text())
    assert recorded["sha256"] == {"a": "one", "b": "two", "c": "three"}  # and is not forgotten


def test_no_video_of_training_is_tested(tmp_path):
    check_leakage(RunFolder(tmp_path), videos("a"))
    record_training_videos(RunFolder(tmp_path), train=videos("a", "\udc80"), held_out=videos("c"))
    check_leakage(RunFolder(tmp_path), videos("a"))  # nothing is trained yet
    (tmp_path / "checkpoints").mkdir()
    check_leakage(RunFolder(tmp_path), videos("b", "d"))
    for path in ("c", "\udc80"):
        with pytest.raises(UserError, match="was trained on 1 of the test videos"):
            check_leakage(RunFolder(tmp_path), videos("b", path))


def test_a_training_video_that_lies_elsewhere_is_not_tested(tmp_path):
    run = RunFolder(tmp_path)
    hashes = {"a/1": "one", "a/2": "two", "a/copy": "one", "a/3": "three"}
    record_training_videos(run, train=videos("a/1"), held_out=videos("a/2"), hashes=hashes)
    run.model.touch()
    check_leakage(run, videos("a/copy", "a/3"), hashes)  # as the split had it
    check_leakage(run, videos("a/new"), {"a/new": "four"})
    for path, digest in (("a/renamed", "one"), ("b/renamed", "two"), ("a/3", "one")):
        with pytest.raises(UserError, match=f"was trained on 1 of the test videos, e.g. {path}:"):
            check_leakage(run, videos("a/copy", path), hashes | {path: digest})
    record = json.loads(run.training_videos.read_text())
    del record["others"]  # of an older version
    run.training_videos.write_text(json.dumps(record))
    check_leakage(run, videos("a/copy"), hashes)


def test_a_trained_run_whose_list_of_videos_is_damaged_or_gone_says_so(tmp_path):
    (tmp_path / "model.keras").touch()
    with pytest.raises(UserError, match=r"training_videos\.json is missing: .* train anew"):
        check_leakage(RunFolder(tmp_path), videos("a"))
    (tmp_path / "training_videos.json").write_text("{")
    with pytest.raises(UserError, match=r"training_videos\.json is damaged .* train anew"):
        check_leakage(RunFolder(tmp_path), videos("a"))


def test_videos_that_come_go_or_are_replaced_after_training(tmp_path):
    data, run = tmp_path / "data", RunFolder(tmp_path / "run")
    run.path.mkdir()
    touch(data, "a/1.avi", "a/2.avi", "b/3.avi", "b/4.avi")
    hashes = {v.path: hashlib.sha256(b"").hexdigest() for v in read_folder(data).videos}
    sides = {"train": videos("a/1.avi", "b/3.avi"), "held_out": videos("a/2.avi")}
    record_training_videos(run, **sides, hashes=hashes, root=data)
    assert json.loads(run.training_videos.read_text())["root"] == str(data)
    run.model.touch()
    assert changes_since(run, read_folder(data)) == ""
    touch(data, "b/5.avi", "b/6.avi")
    (data / "a" / "2.avi").unlink()
    (data / "b" / "4.avi").write_text("another")
    assert changes_since(run, read_folder(data)) == (
        "2 added (e.g. b/5.avi), 1 removed (e.g. a/2.avi), 1 replaced (e.g. b/4.avi)"
    )


def test_a_series_reads_each_video_once(tmp_path, monkeypatch):
    data, read = tmp_path / "data", []
    runs = [RunFolder(tmp_path / name) for name in ("one", "two", "three")]
    touch(data, "a/1.avi", "b/2.avi", "b/3.avi")
    hashes = {v.path: hashlib.sha256(b"").hexdigest() for v in read_folder(data).videos}
    for run in runs:
        run.path.mkdir()
        record_training_videos(run, train=videos("a/1.avi"), held_out=[], hashes=hashes, root=data)
        run.model.touch()

    def counting(file):
        read.append(file.relative_to(data).as_posix())
        return preparation.sha256(file)

    monkeypatch.setattr(leakage, "sha256", counting)
    assert [changes_since(run, read_folder(data)) for run in runs] == [""] * 3
    assert sorted(read) == sorted(hashes)
    (data / "b" / "3.avi").write_text("another")
    for run in runs:
        assert changes_since(run, read_folder(data)) == "1 replaced (e.g. b/3.avi)"
    assert read[3:] == ["b/3.avi"]

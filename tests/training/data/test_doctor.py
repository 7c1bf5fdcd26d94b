"""The data doctor on a small collection with one of everything."""

import json
import shutil
from collections.abc import Sequence

import numpy as np
import pytest

from tests.training.data.test_collections import touch
from tests.videos import write_video
from training import cli, prepare
from training.data import doctor
from training.data.collections import read_folder
from training.data.store import FrameStore


def pattern(seed: int, num_frames: int = 12) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    image = blocks.repeat(8, axis=0).repeat(8, axis=1)
    return np.broadcast_to(image, (num_frames, *image.shape))


@pytest.fixture
def collection(tmp_path):
    root, lists = tmp_path / "data" / "videos", tmp_path / "data" / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for label, name in enumerate(("a", "b")):
        for number in range(6):
            write_video(root / name / f"{number}.avi", pattern(10 * label + number))
        flags = "".join(f"{number}.avi {2 if number > 3 else 1} \n" for number in range(6))
        (lists / f"{name}_test_split1.txt").write_text(flags)
    return tmp_path


def check(collection, *, code: int, more: Sequence[str] = ()) -> tuple[dict, dict]:
    options = ["--dataset", "hmdb51", "--data-dir", str(collection / "data"), "--check"]
    options += ["--store", str(collection / "store"), "--json", str(collection / "report.json")]
    options += more
    with pytest.raises(SystemExit) as stopped:
        cli.run(prepare.main, prepare.PrepareOptions, options)
    assert stopped.value.code == code
    report = json.loads((collection / "report.json").read_text())
    return report, {finding["text"]: finding for finding in report["findings"]}


def test_a_healthy_collection(collection, capsys):
    report, findings = check(collection, code=0)
    assert report["counts"] == {"a": {"train": 4, "test": 2}, "b": {"train": 4, "test": 2}}
    assert findings == {}
    assert "verdict: healthy (0 errors, 0 warnings)" in capsys.readouterr().out


def test_one_of_everything(collection, capsys):
    videos = collection / "data" / "videos"
    shutil.copyfile(videos / "a" / "0.avi", videos / "a" / "5.avi")  # training and test
    shutil.copyfile(videos / "a" / "1.avi", videos / "b" / "0.avi")  # two labels
    write_video(videos / "b" / "5.avi", pattern(2) // 8 * 7)  # near a/2.avi, training and test
    changed = pattern(11).copy()
    changed[:, :8, :8] //= 2
    write_video(videos / "b" / "2.avi", changed)  # near b/1.avi, both training
    (videos / "a" / "4.avi").write_text("no video")
    (videos / "b" / "4.avi").unlink()
    write_video(videos / "b" / "3.avi", pattern(13, num_frames=90))
    write_video(videos / "b" / "extra.avi", pattern(99))
    report, findings = check(collection, code=1)
    assert not report["healthy"]
    errors = {
        "1 groups of identical videos ACROSS training and test": "train a/0.avi  =  test a/5.avi",
        "1 groups of identical videos in SEVERAL CLASSES": "a/1.avi  =  b/0.avi",
        "1 groups of near-duplicate videos ACROSS training and test": "train a/2.avi  =  test b/5",
        "1 test videos cannot be decoded": "'a/4.avi': cannot be opened as a video",
        "1 listed test videos are missing": "b/4.avi",
    }
    warnings = {
        "1 groups of identical videos within one side": "train a/1.avi, b/0.avi",
        "1 groups of near-duplicate videos in SEVERAL CLASSES": "a/2.avi  =  b/5.avi",
        "1 groups of near-duplicate videos within one side": "train b/1.avi, b/2.avi",
        "video files that no list names": "1 files",
        "1 videos of unusual length in frames": "b/3.avi: 90, the median is 12",
    }
    for severity, expected in (("error", errors), ("warning", warnings)):
        for text, example in expected.items():
            finding = findings.pop(text)
            assert finding["severity"] == severity
            (found,) = finding["examples"]
            assert found.startswith(example)
    assert findings == {}
    printed = capsys.readouterr().out
    assert "verdict: not fit for an honest figure (5 errors, 5 warnings)" in printed
    to_do = [line for line in printed.splitlines() if line.startswith("to do: ")]
    remedies = dict.fromkeys(finding["remedy"] for finding in report["findings"])
    assert to_do == [f"to do: {remedy}" for remedy in remedies]


def test_copies_among_those_that_choose_the_epoch_are_no_error(tmp_path, capsys):
    for side, numbers in (("train", (0, 1)), ("val", (2,)), ("test", (3,))):
        for label, name in enumerate("ab"):
            for number in numbers:
                video = tmp_path / "data" / side / name / f"{number}.avi"
                write_video(video, pattern(10 * label + number))
    shutil.copyfile(tmp_path / "data/train/a/0.avi", tmp_path / "data/val/a/2.avi")
    options = ["--dataset", "folder", "--data-dir", str(tmp_path / "data"), "--check"]
    with pytest.raises(SystemExit) as stopped:
        cli.run(
            prepare.main, prepare.PrepareOptions, [*options, "--store", str(tmp_path / "store")]
        )
    printed = capsys.readouterr().out
    assert "warning: 1 groups of identical videos across train and val" in printed
    assert stopped.value.code == 0


def test_other_frame_rates_are_named_with_the_remedy(collection):
    root = collection / "data" / "videos"
    write_video(root / "b" / "3.avi", pattern(13), fps=15)
    write_video(root / "b" / "2.avi", pattern(12), fps=24)  # near enough
    _, findings = check(collection, code=0)
    (text,) = findings
    assert text.startswith("1 videos are not of 25 frames a second, as most are")
    assert findings[text]["remedy"] == "read all videos by time with --fps 25"
    assert findings[text]["examples"] == ["b/3.avi: 15"]


def test_folds_of_a_split_have_no_findings_on_its_test_videos(collection):
    root = collection / "data" / "videos"
    shutil.copyfile(root / "a" / "0.avi", root / "a" / "5.avi")  # which is in neither
    (root / "b" / "5.avi").unlink()  # of the test list
    (root / "b" / "3.avi").unlink()  # of the training list: tested in one fold
    found = []
    for fold, code in (("1", 1), ("2", 0)):
        more = ["--split", "1", "--folds", "2", "--fold", fold]
        report, findings = check(collection, code=code, more=more)
        found.append({text: finding["examples"] for text, finding in findings.items()})
        assert sum(sides.get("unused", 0) for sides in report["counts"].values()) == 3
    assert found == [
        {"1 listed test videos are missing": ["b/3.avi"]},
        {"1 listed training videos are missing": ["b/3.avi"]},
    ]


def test_missing_videos_that_choose_the_epoch_are_training_videos(tmp_path):
    (tmp_path / "labels.csv").write_text(
        "path,label,split\na/1,a,train\na/2,a,val\na/3,a,test\na/4,a,test\n"
    )
    touch(tmp_path, "a/1", "a/4")
    dataset = read_folder(tmp_path, labels=tmp_path / "labels.csv")
    report = doctor.examine(dataset, FrameStore(tmp_path, {}, encoding="jpeg"))
    assert {finding.text: finding.examples for finding in report.findings} == {
        "1 listed test videos are missing": ("a/3",),
        "1 listed training videos are missing": ("a/2",),
    }


@pytest.mark.parametrize(("of_a", "is_unequal"), [(9, True), (8, False)])
def test_a_class_with_a_third_of_the_largest_is_rare(of_a, is_unequal):
    counts = {"a": {"train": of_a, "test": 1}, "b": {"train": 3, "test": 1}}
    lacking, rare = doctor._classes(counts)
    assert lacking.examples == ()
    expected = (f"b: 3 training videos, a has {of_a}",) if is_unequal else ()
    assert rare.examples == expected
    assert "--class-weights balanced" in rare.remedy

"""Scenes on both sides of a split, with features that are colours."""

import json

import numpy as np
import pytest

from tests.training.data.test_doctor import check, collection  # noqa: F401 (a fixture)
from tests.training.test_cli import error_of
from training import prepare, scenes
from training.baseline import unit_roots


def angles(*degrees) -> np.ndarray:
    """Unit vectors in a plane, `(V, clips, 2)`."""
    radians = np.deg2rad(np.array(degrees, float))
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1)


def test_as_alike_as_the_clips_of_one_video():
    train = angles((0, 5), (40, 46), (80, 84))
    test = angles((9.5, 14.5), (60, 66), (48, 53))  # 4.5, 14 and 2 degrees from the nearest
    threshold = np.cos(np.deg2rad(5))
    found = scenes.shared_scenes(train, test, threshold=threshold)
    assert [(one, other) for one, other, _ in found] == [(2, 1), (0, 0)]
    cosines = [alike for *_, alike in found]
    np.testing.assert_allclose(cosines, np.cos(np.deg2rad([2, 4.5])))
    assert scenes.shared_scenes(train, test[:0], threshold=threshold) == []


def test_a_video_no_longer_than_a_clip_tells_nothing_of_a_scene():
    found = scenes.likeness_within(angles((0, 5), (40, 40), (80, 84), (7, 7), (9, 9)))
    np.testing.assert_allclose(found, np.cos(np.deg2rad([5, 4])))


def test_features_are_scaled_roots():
    found = unit_roots(np.array([[9.0, 16.0, -1.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8, 0], [0, 0, 0]])


def place_clips(monkeypatch, *, same: int):
    """Gives videos other places, but two; the clips of so many are the same, else 2 degrees apart.

    Videos are 7 degrees apart.
    """

    def made(videos, store, plan):
        assert plan.sampling == "dense"  # that of `lite` is sparse
        paths = sorted(video.path for video in videos)
        place = {path: 7 * n for n, path in enumerate(paths)}
        place["a/4.avi"] = place["a/0.avi"]
        apart = {path: 2 * (path not in paths[:same]) for path in paths}
        return angles(*((place[v.path], place[v.path] + apart[v.path]) for v in videos))

    monkeypatch.setattr(scenes, "clip_features", made)


@pytest.mark.parametrize("same", [0, 2, 7])
def test_the_doctor_tells_of_them(collection, monkeypatch, capsys, same):  # noqa: F811
    place_clips(monkeypatch, same=same)
    monkeypatch.setattr(scenes, "MIN_VIDEOS", 12 - same)
    report, findings = check(collection, code=0, more=["--deep", "--preset", "lite"])
    (text,) = (text for text in findings if "test videos show a scene" in text)
    assert text.startswith("1 of 4 test videos")
    (example,) = findings[text]["examples"]
    assert example.startswith("test a/4.avi  =  train a/0.avi (1.000)")
    assert json.loads((collection / "report.json").read_text()) == report
    assert "to do: keep scenes on one side" in capsys.readouterr().out


def test_videos_that_are_too_short_to_tell_scenes(collection, monkeypatch, capsys):  # noqa: F811
    place_clips(monkeypatch, same=3)
    _, findings = check(collection, code=0, more=["--deep", "--preset", "lite"])
    (text,) = (text for text in findings if "scenes" in text)
    assert text == (
        "scenes on both sides cannot be told from 12 videos: the first and the last clip must "
        "differ in 10"
    )
    assert findings[text]["examples"] == ["they differ in 9: a clip is of 25 frames"]
    assert "to do: look at the backgrounds yourself" in capsys.readouterr().out


def test_a_file_of_findings_that_cannot_be_written_is_refused_first(tmp_path, capsys):
    arguments = ("--check", "--json", tmp_path / "none" / "found.json")
    error = error_of(capsys, prepare.main, prepare.PrepareOptions, *arguments)
    assert error == f"error: --json: {tmp_path / 'none'} is not a folder"


def test_deep_goes_with_check(capsys):
    error = error_of(capsys, prepare.main, prepare.PrepareOptions, "--deep")
    assert "--deep makes --check look deeper: give both, or neither" in error

"""Scenes on both sides of a split, with features that are colours."""

import json

import numpy as np

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
    found = scenes.shared_scenes(train, test)  # the median is 5 degrees
    assert [(one, other) for one, other, _ in found] == [(2, 1), (0, 0)]
    cosines = [alike for *_, alike in found]
    np.testing.assert_allclose(cosines, np.cos(np.deg2rad([2, 4.5])))
    assert scenes.shared_scenes(train, test[:0]) == []


def test_features_are_scaled_roots():
    found = unit_roots(np.array([[9.0, 16.0, -1.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8, 0], [0, 0, 0]])


def test_the_doctor_tells_of_them(collection, monkeypatch, capsys):  # noqa: F811
    def made(videos, store, plan):
        assert plan.sampling == "dense"  # that of `lite` is sparse
        place = {path: 7 * n for n, path in enumerate(sorted(video.path for video in videos))}
        place["a/4.avi"] = place["a/0.avi"]
        return angles(*((place[video.path], place[video.path] + 2) for video in videos))

    monkeypatch.setattr(scenes, "clip_features", made)
    report, findings = check(collection, code=0, more=["--deep", "--preset", "lite"])
    (text,) = (text for text in findings if "test videos show a scene" in text)
    assert text.startswith("1 of 4 test videos")
    (example,) = findings[text]["examples"]
    assert example.startswith("test a/4.avi  =  train a/0.avi (1.000)")
    assert json.loads((collection / "report.json").read_text()) == report
    assert "to do: keep scenes on one side" in capsys.readouterr().out


def test_deep_goes_with_check(capsys):
    error = error_of(capsys, prepare.main, prepare.PrepareOptions, "--deep")
    assert "--deep makes --check look deeper: give both, or neither" in error

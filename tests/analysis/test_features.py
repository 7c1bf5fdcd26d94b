"""Features of whole videos against the network view by view, and their cache."""

import contextlib

import numpy as np
import pytest

from analysis import features
from analysis.features import FEATURES, video_features
from analysis.runs import open_run
from fstcn_keras import clips
from fstcn_keras.runs import RunFolder
from fstcn_keras.video.frames import view_frames
from training.locks import locked
from training.scores import read_scores


@pytest.fixture(scope="module")
def opened(finished_run):
    return open_run(RunFolder(finished_run))


def test_features_are_means_over_all_views(opened):
    result = video_features(opened, "test")
    plan, path = opened.classifier.plan, result.paths[5]
    video = view_frames(opened.store.reader(path), plan)
    frames, pairs = video.frames, video.positions
    model, views = opened.classifier.model, []
    for indices, later in pairs:
        clip = frames[indices]
        difference = np.abs(clip.astype(int) - frames[later]).astype(np.uint8)
        both = (clips.crops(images, 108) for images in (clip, difference))
        for crop, crop_diff in zip(*both, strict=True):
            maps = {
                "frame": model.frame_encoder(crop[2][None]),  # the middle one of five
                "differences": model.difference_encoder(crop_diff)[None],
            }
            views.append(model.head(maps))
    assert len(views) == 2 * 18
    for name in FEATURES:
        expected = np.mean([view[name][0] for view in views], axis=0)
        np.testing.assert_allclose(result.features[name][5], expected, rtol=1e-4, atol=1e-5)


def test_scores_are_those_of_the_evaluation(opened):
    result, scored = video_features(opened, "test"), read_scores(opened.folder)
    assert result.paths == scored.paths
    np.testing.assert_array_equal(result.labels, scored.labels)
    expected = scored.scores.mean(axis=(1, 2))
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-5, atol=1e-6)


def test_the_cache_is_used_until_the_weights_change(opened, capsys):
    first = video_features(opened, "test").features["spatial_features"]
    capsys.readouterr()
    again = video_features(opened, "test").features["spatial_features"]
    assert "computing" not in capsys.readouterr().out
    np.testing.assert_array_equal(first, again)
    layer = opened.classifier.model.head.get_layer("spatial_features")
    before = layer.get_weights()
    layer.set_weights([2 * value for value in before])
    try:
        changed = video_features(opened, "test")
    finally:
        layer.set_weights(before)
    assert "computing the features of 13 videos" in capsys.readouterr().out
    np.testing.assert_allclose(changed.features["spatial_features"], 2 * first, rtol=1e-5)


def test_what_another_command_computes_meanwhile_is_taken(opened, capsys, monkeypatch):
    (opened.folder.path / "features-test.npz").unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked_by_another(folder, activity):
        with monkeypatch.context() as other:
            other.setattr(features, "locked", locked)
            video_features(opened, "test")
        with locked(folder, activity):
            yield

    monkeypatch.setattr(features, "locked", locked_by_another)
    video_features(opened, "test")
    assert capsys.readouterr().out.count("computing the features") == 1


def test_a_damaged_cache_is_computed_anew(opened, capsys):
    file = opened.folder.path / "features-test.npz"
    video_features(opened, "test")
    content = bytearray(file.read_bytes())
    for place in range(len(content) // 4, len(content) * 3 // 4, 50):
        content[place] ^= 0xFF
    for damaged in (content, b"PK nothing"):
        file.write_bytes(damaged)
        capsys.readouterr()
        assert set(video_features(opened, "test").features) == set(FEATURES)
        assert "computing" in capsys.readouterr().out

"""Videos with concealed damage: not trained on beyond a share of frames, but tested."""

from pathlib import Path

import pytest

from fstcn_keras.runs import RunFolder
from tests.bad_videos import bitrot
from tests.videos import noise, write_video
from training.data.collections import Dataset, Video
from training.data.doctor import examine
from training.data.preparation import prepare_store
from training.data.splits import split_training
from training.data.store import StoredVideo
from training.evaluation import check_test_videos


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    videos = []
    for label, name in enumerate("ab"):
        for side in ("train", "test"):
            for kind in ("sound", "rotten"):
                path = f"{name}/{kind} {side}.avi"
                (root / path).parent.mkdir(exist_ok=True)
                if kind == "rotten":
                    bitrot(root / path, codec="mpeg4")
                else:
                    seed = 2 * label + (side == "test")
                    write_video(root / path, noise(6, seed=seed), codec="mpeg4")
                videos.append(Video(path, label, side, path))
    dataset = Dataset("folder", 1, root, ("a", "b"), (), tuple(videos), missing=(), unlisted=0)
    paths = [video.path for video in videos]
    return dataset, prepare_store(tmp_path_factory.mktemp("store"), root, paths, short_side=24)


def test_they_are_not_trained_on(opened, capsys):
    dataset, store = opened
    train, held_out = split_training(dataset, store, val_fraction=0.0, seed=0)
    assert [video.path for video in train] == ["a/sound train.avi", "b/sound train.avi"]
    assert held_out == []
    stored = store.videos["a/rotten train.avi"]
    assert 4 < stored.damaged_frames <= stored.num_frames
    assert capsys.readouterr().out == (
        "2 training videos are left out, more than 10% of whose frames are damaged, e.g. "
        f"a/rotten train.avi: incomplete: {stored.damaged_frames} of 40 frames damaged\n"
    )


def test_they_are_tested_by_and_counted(opened):
    dataset, store = opened
    tested = check_test_videos(dataset, store, RunFolder(Path("no-run")))
    assert tested == dataset.side("test")


def test_the_doctor_names_both(opened):
    texts = [finding.text for finding in examine(*opened).findings]
    assert "2 videos decode only in part, or to damaged frames" in texts
    assert "2 training videos are left out: over 10% of their frames are damaged" in texts


@pytest.mark.parametrize(("damaged", "trainable"), [(0, True), (4, True), (5, False), (40, False)])
def test_the_share(damaged, trainable):
    stored = StoredVideo("v.avi", 1, 1, num_frames=40, damaged_frames=damaged)
    assert stored.is_trainable == trainable

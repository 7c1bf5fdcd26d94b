"""Real videos and their official lists, where they are at hand."""

import numpy as np
import pytest

from fstcn_keras.video import VideoReader
from tests.processes import DATA
from training.data import collections

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no real videos in {DATA}")


def test_a_part_of_hmdb51_with_its_official_split():
    dataset = collections.read_hmdb51(DATA / "hmdb21", split=1)
    assert len(dataset.classes) == 21
    assert (len(dataset.side("train")), len(dataset.side("test"))) == (665, 257)
    assert dataset.missing == ()
    assert dataset.unlisted == 928 - 665 - 257
    assert "; 56 test videos share their source with a training video" in str(dataset)


@pytest.mark.parametrize(("split", "train", "test"), [(1, 617, 311), (2, 619, 309), (3, 620, 308)])
def test_a_part_of_hmdb51_with_lists_by_film(split, train, test):
    lists = DATA / "hmdb21" / "film_splits"
    dataset = collections.read_hmdb51(DATA / "hmdb21", splits_dir=lists, split=split)
    assert (len(dataset.side("train")), len(dataset.side("test"))) == (train, test)
    groups = ({video.group for video in dataset.side(side)} for side in ("train", "test"))
    assert set.isdisjoint(*groups)


def test_the_full_lists_on_a_part_of_the_classes():
    lists = DATA / "splits" / "testTrainMulti_7030_splits"
    dataset = collections.read_hmdb51(DATA / "hmdb21", splits_dir=lists, split=1)
    assert len(dataset.classes) == 21
    assert (len(dataset.side("train")), len(dataset.side("test"))) == (665, 257)
    assert len(dataset.missing) > 0


@pytest.mark.parametrize(
    "name",
    [
        "RATRACE_wave_f_nm_np1_fr_goo_37.avi",
        "SOX5yA1l24A.mp4",
        "hmdb51_Turnk_r_Pippi_Michel_cartwheel_f_cm_np2_le_med_6.avi",  # metadata not UTF-8
        "v_SoccerJuggling_g23_c01.avi",
    ],
)
def test_sample_videos_decode_whole(name):
    reader = VideoReader(DATA / "samples" / name, short_side=60)
    frames = list(reader)
    assert len(frames) == reader.decoded_frames
    assert reader.expected_frames - 1 <= reader.decoded_frames <= reader.expected_frames
    assert reader.damaged_packets == 0
    assert min(frames[0].shape[:2]) == 60
    assert np.std([frame.mean() for frame in frames]) > 0

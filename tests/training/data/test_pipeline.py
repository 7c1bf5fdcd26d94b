"""The clip-pair pipeline on videos whose grey level tells the frame number."""

import numpy as np
import pytest
import tensorflow as tf

from fstcn_keras import FSTCNConfig, ViewPlan
from tests.fstcn_keras.test_clips import walk_to_and_fro
from tests.videos import grey_ramp, noise, write_video
from training.data.collections import Video
from training.data.pipeline import Share, finite_batches, training_batches
from training.data.preparation import prepare_store
from training.data.samplers import CenterSampler, ClipPairs, Frames, TrainingSampler
from training.data.store import ENCODINGS

CONFIG = FSTCNConfig(crop_size=16, short_side=24)
PAIRS = ClipPairs(CONFIG)
NUM_FRAMES = (35, 12, 50, 1, 30)  # the last starts are 5, 0, 20, 0 and 0


@pytest.fixture(scope="module", params=ENCODINGS)
def collection(tmp_path_factory, request):
    root = tmp_path_factory.mktemp("collection")
    videos = []
    for label, num_frames in enumerate(NUM_FRAMES):
        path = f"c{label}/v.avi"
        write_video(root / path, grey_ramp(num_frames))
        videos.append(Video(path, label, "train", f"g{label}"))
    paths = [video.path for video in videos]
    store = prepare_store(root / "store", root, paths, short_side=24, encoding=request.param)
    return store, videos


def batches(collection, count, *, threads=16, sample=PAIRS, seed=1, scales=(), **options):
    threading = tf.data.Options()
    threading.threading.private_threadpool_size = threads
    sampler = TrainingSampler(*collection, sample, seed=[seed], scales=scales)
    data = training_batches(sampler, batch_size=4, **options).take(count)
    data = data.with_options(threading)
    return [({name: x[name].numpy() for name in x}, y.numpy(), w.numpy()) for x, y, w in data]


def numbers(images: np.ndarray) -> np.ndarray:
    """Frame numbers from grey levels `10 + 4 t`."""
    return np.round((images.mean(axis=(-3, -2, -1)) - 10) / 4).astype(int)


def test_batches_hold_the_frames_and_differences_of_one_clip(collection):
    for inputs, labels, weights in batches(collection, 5):
        assert inputs["clip"].shape == inputs["clip_diff"].shape == (4, 5, 16, 16, 3)
        assert inputs["clip"].dtype == inputs["clip_diff"].dtype == np.uint8
        assert weights.tolist() == [1] * 4
        for clip, difference, label in zip(*inputs.values(), labels, strict=True):
            num_frames = NUM_FRAMES[label]
            start = numbers(clip)[0]
            assert 0 <= start <= max(0, num_frames - 30)
            met = walk_to_and_fro(num_frames, start + 30)
            shown = [met[start + 5 * k] for k in range(5)]
            later = [met[start + 5 * k + 9] for k in range(5)]
            np.testing.assert_array_equal(numbers(clip), shown)
            expected = 4.0 * np.abs(np.subtract(shown, later))
            np.testing.assert_allclose(difference.mean(axis=(1, 2, 3)), expected, atol=2.5)


def test_an_epoch_holds_every_video_once_in_another_order(collection):
    store, videos = collection
    sampler = TrainingSampler(store, videos, PAIRS, seed=[3])
    epochs = [[sampler[e * 5 + n].video.label for n in range(5)] for e in range(6)]
    assert all(sorted(epoch) == list(range(5)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_samples_cover_starts_positions_and_flips(collection):
    store, videos = collection
    sampler = TrainingSampler(store, videos[2:3], PAIRS, seed=[0])  # 50 frames: starts 0 to 20
    samples = [sampler[p] for p in range(800)]
    assert {d.frame_indices[0] for d in samples} == set(range(21))
    assert {d.top for d in samples} == set(range(24 - 16 + 1))
    assert {d.left for d in samples} == set(range(32 - 16 + 1))
    assert 340 < sum(d.mirrored for d in samples) < 460


def test_same_seed_same_batches_whatever_the_start_or_parallelism(collection):
    first = batches(collection, 4)
    again = batches(collection, 4)
    from_second = batches(collection, 3, start_step=1)
    other = batches(collection, 4, seed=2)
    serial = batches(collection, 4, threads=1)
    for one, two in ((first, again), (first, serial), (first[1:], from_second)):
        for (x, y, _), (other_x, other_y, _) in zip(one, two, strict=True):
            np.testing.assert_array_equal(y, other_y)
            np.testing.assert_array_equal(x["clip"], other_x["clip"])
            np.testing.assert_array_equal(x["clip_diff"], other_x["clip_diff"])
    assert any((a[1] != b[1]).any() for a, b in zip(first, other, strict=True))


def test_finite_batches_show_every_video_once_and_mask_the_rest(collection):
    sampler = CenterSampler(*collection, PAIRS)
    seen = [(y.numpy(), w.numpy()) for _, y, w in finite_batches(sampler, batch_size=4)]
    assert [y.tolist() for y, _ in seen] == [[0, 1, 2, 3], [4, 4, 4, 4]]
    assert [w.tolist() for _, w in seen] == [[1, 1, 1, 1], [1, 0, 0, 0]]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_training_crops_hold_the_pixels_that_evaluation_decodes(tmp_path, encoding):
    write_video(tmp_path / "c/v.avi", noise(30, height=100, width=131))
    wanted = {"short_side": 100, "encoding": encoding}
    store = prepare_store(tmp_path / "store", tmp_path, ["c/v.avi"], **wanted)
    layout = Frames(FSTCNConfig(crop_size=30, short_side=100))
    sampler = TrainingSampler(store, [Video("c/v.avi", 0, "train", "g")], layout, seed=[0])
    inputs = next(iter(training_batches(sampler, batch_size=200).take(1)))[0]["frame"].numpy()
    lefts = set()
    for number, found in enumerate(inputs):
        sample = sampler[number]
        (frame,) = store.read_frames("c/v.avi", sample.frame_indices.tolist())
        rows, columns = (slice(start, start + 30) for start in (sample.top, sample.left))
        expected = frame[rows, columns]
        np.testing.assert_array_equal(found, expected[:, ::-1] if sample.mirrored else expected)
        lefts.add(sample.left)
    assert {0, 101} <= lefts


def test_center_samples_are_the_views_that_evaluation_scores(collection):
    store, videos = collection
    sampler = CenterSampler(store, videos, PAIRS)
    plan = ViewPlan.from_config(CONFIG, num_clips=1)
    for position, num_frames in enumerate(NUM_FRAMES):
        expected = plan.pair_indices(num_frames)[0].ravel()
        np.testing.assert_array_equal(sampler[position].frame_indices, expected)
        assert (sampler[position].top, sampler[position].left) == (4, 8)


def test_frames_of_the_auxiliary_classifier_cover_the_video(collection):
    seen = set()
    for inputs, labels, _ in batches(collection, 60, sample=Frames(CONFIG)):
        assert list(inputs) == ["frame"]
        assert inputs["frame"].shape == (4, 16, 16, 3)
        seen |= set(zip(labels.tolist(), numbers(inputs["frame"]).tolist(), strict=True))
    by_video = {label: {n for other, n in seen if other == label} for label in range(5)}
    assert by_video[3] == {0}
    for label, num_frames in enumerate(NUM_FRAMES):
        assert by_video[label] <= set(range(num_frames))
        assert len(by_video[label]) > num_frames / 2


def test_shares_of_a_step_are_together_what_one_process_reads(collection):
    whole = batches(collection, 3, start_step=2)
    shares = [
        batches(collection, count * 3, start_step=2, share=Share(first=first, count=count, total=4))
        for first, count in ((0, 1), (1, 2), (3, 1))
    ]
    for step, (inputs, labels, _) in enumerate(whole):
        parts = [shares[0][step], *shares[1][2 * step : 2 * step + 2], shares[2][step]]
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), labels)
        found = np.concatenate([part[0]["clip_diff"] for part in parts])
        np.testing.assert_array_equal(found, inputs["clip_diff"])


def test_scaled_crops_are_resized_alike_in_all_frames(tmp_path):
    x = np.arange(64) * 3.0
    image = np.repeat(np.broadcast_to(x[None, :, None], (48, 64, 1)), 3, axis=2).astype(np.uint8)
    write_video(tmp_path / "c/v.avi", np.stack([image] * 30))
    paths = ["c/v.avi"]
    store = prepare_store(tmp_path / "store", tmp_path, paths, short_side=48, encoding="raw")
    sample = ClipPairs(FSTCNConfig(crop_size=16, short_side=48))
    videos = [Video("c/v.avi", 0, "train", "g")]
    sampler = TrainingSampler(store, videos, sample, seed=[0], scales=(1.0, 0.5))
    samples = [sampler[position] for position in range(40)]
    assert {sample.size for sample in samples} == {48, 24}
    assert {sample.top for sample in samples if sample.size == 48} == {0}
    inputs = next(iter(training_batches(sampler, batch_size=40).take(1)))[0]
    assert inputs["clip_diff"].numpy().max() == 0
    for sample, clip in zip(samples, inputs["clip"].numpy().astype(float), strict=True):
        step = sample.size / 16  # source pixels to one of the crop; the ramp rises by 3 a pixel
        centres = 3 * (sample.left + step * (np.arange(16) + 0.5) - 0.5)
        expected = centres[::-1] if sample.mirrored else centres
        np.testing.assert_allclose(clip[2, 7, 1:-1, 0], expected[1:-1], atol=1.01)

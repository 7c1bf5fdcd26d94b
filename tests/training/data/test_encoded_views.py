"""Views that fixed layers encode once: what is kept, when it is computed again, what is drawn."""

import contextlib
import dataclasses
import warnings
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest

from fstcn_keras import fstcn, fusion
from tests.training.runs import noise_store
from tests.videos import noise, write_video
from training.data import encoded_views
from training.data.collections import Video
from training.data.encoded_views import EncodedCenters, EncodedSampler, FixedViews, encode_views
from training.data.pipeline import finite_batches, reading_errors_unwrapped, training_batches
from training.data.preparation import prepare_store
from training.data.samplers import CenterSampler, ClipPairs
from training.errors import UserError
from training.evaluation import score_encoded
from training.locks import locked

SCALES = (1.0, 0.9)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    sizes = {"width": 0.25, "path_units": (32, 16), "joint_units": 32}
    model = fstcn(num_classes=3, preset="small", classifier_activation=None, **sizes)
    kernel = model.classifier.kernel  # small at first: all answers would be alike
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return model


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    store = noise_store(root, num_videos=4, num_frames=40)
    return store, [
        Video(path, number % 3, "train", path) for number, path in enumerate(sorted(store.videos))
    ]


def encoded(model, collection, videos=None):
    store, train = collection
    return encode_views(model, store, videos or train, num_views=3, scales=SCALES)


def test_what_follows_the_encoders_answers_as_the_whole_network(model, collection):
    store, videos = collection
    centers = EncodedCenters(store, videos, encoded(model, collection))
    ((maps, labels, weights),) = finite_batches(centers, batch_size=6)
    pixels = CenterSampler(store, videos, ClipPairs(model.config))
    ((images, expected_labels, expected_weights),) = finite_batches(pixels, batch_size=6)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_array_equal(weights, expected_weights)
    assert weights.numpy().tolist() == [1, 1, 1, 1, 0, 0]
    answers = model.after_pooling()(maps).numpy()
    logits = model(images).numpy()
    np.testing.assert_allclose(answers, logits, rtol=2e-3, atol=2e-3 * np.ptp(logits))  # float16
    assert np.ptp(logits[:4], axis=0).min() > 0.02 * np.ptp(logits)


def test_views_are_encoded_once_for_every_list_of_videos(model, collection, monkeypatch):
    store, videos = collection
    views = encoded(model, collection, videos[:3])
    asked = []
    original = encoded_views.FixedViews
    monkeypatch.setattr(
        encoded_views,
        "FixedViews",
        lambda store, videos, *args, **kwargs: (
            asked.extend(videos) or original(store, videos, *args, **kwargs)
        ),
    )
    again = encoded(model, collection, videos[1:])
    assert again == views
    assert asked == videos[3:]
    assert encode_views(model, store, videos, num_views=3, scales=SCALES) == views
    for changes in ({"num_views": 2}, {"scales": SCALES[:1]}):
        settings = {"num_views": 3, "scales": SCALES} | changes
        other = encode_views(model, store, videos[:1], **settings)
        assert not {*other.folders.values()} & {*views.folders.values()}
    kernel = model.frame_encoder.get_layer("parallel_scl").kernel
    before = kernel.numpy()
    kernel.assign(before + 0.01)
    changed = encoded(model, collection, videos[:1])
    assert changed.folders["frame"] != views.folders["frame"]
    assert changed.folders["differences"] == views.folders["differences"]
    kernel.assign(before)


def test_frames_of_another_rate_in_a_folder_of_the_same_name_are_other_views(
    model, tmp_path, monkeypatch
):
    found = {}
    for fps in (None, 12.5):
        folder = tmp_path / str(fps)
        folder.mkdir()
        monkeypatch.chdir(folder)
        write_video(folder / "c/0.avi", noise(40, height=120, width=130, seed=0))
        store = prepare_store(Path("store"), folder, ["c/0.avi"], short_side=120, fps=fps)
        views = encoded(model, (store, [Video("c/0.avi", 0, "train", "c/0.avi")]))
        found[fps] = views.read_all(store.videos["c/0.avi"])["frame"]
    assert not np.array_equal(found[None], found[12.5])


def test_a_store_elsewhere_with_the_same_settings_shares_the_views(model, collection, tmp_path):
    store, videos = collection
    views = encoded(model, collection)
    paths = [video.path for video in videos]
    other = prepare_store(tmp_path, store.folder.parent, paths, short_side=120, encoding="raw")
    assert encoded(model, (other, videos)) == views


def test_what_another_run_encodes_meanwhile_is_not_encoded_again(model, collection, monkeypatch):
    held, asked = [], []

    @contextlib.contextmanager
    def locked_by_another(folder, activity):
        held.append(folder.name.split("-")[0])
        if len(held) == 1:  # it has both folders until it is done
            with monkeypatch.context() as other:
                other.setattr(encoded_views, "locked", lambda *_: contextlib.nullcontext())
                encoded(model, collection, collection[1][:3])
        with locked(folder, activity):
            yield

    original = encoded_views._encode
    monkeypatch.setattr(
        encoded_views,
        "_encode",
        lambda network, sampler, videos, views: (
            asked.append(list(videos)) or original(network, sampler, videos, views)
        ),
    )
    monkeypatch.setattr(encoded_views, "locked", locked_by_another)
    views = encoded(model, collection)
    assert held == ["differences", "frame"]
    assert asked == [collection[1][:3], collection[1][3:]]
    assert not views.lacking(*collection)


@pytest.mark.parametrize("num_views", [3, 5])
def test_the_centre_is_the_centre_crop_of_fusion(model, collection, num_views):
    store, videos = collection
    scores, energy = score_encoded(model, store, videos, num_views=num_views, scales=SCALES)
    assert scores.shape == (4, 1, num_views + 1, 3)
    assert energy.shape == (4, 1, num_views + 1)
    ((images, _, _),) = finite_batches(
        CenterSampler(store, videos, ClipPairs(model.config)), batch_size=4
    )
    logits = model(images).numpy().astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fusion.fuse(scores, "single"), expected, atol=5e-3)  # float16
    np.testing.assert_allclose(
        energy[:, 0, fusion.center_crop(num_views + 1)],
        -np.log(np.exp(logits).sum(axis=1)),
        rtol=5e-3,
    )


def test_a_training_view_has_the_maps_of_the_same_sample(model, collection):
    store, videos = collection
    views = encoded(model, collection)
    sampler = FixedViews(store, videos, ClipPairs(model.config), num_views=3, scales=SCALES)
    assert len(sampler) == 16
    drawn = [position for position in range(16) if position % 4 < 3]
    position = next(p for p in drawn if sampler[p].size == 108)  # 0.9 of the short side
    sample, number, view = sampler[position], *divmod(position, 4)
    assert sample.video == videos[number]
    frames = store.read_frames(sample.video.path, sample.frame_indices)
    rows = slice(sample.top, sample.top + sample.size)
    columns = slice(sample.left, sample.left + sample.size)
    frame = frames[sampler.frame(position), rows, columns]
    frame = frame[:, ::-1] if sample.mirrored else frame
    maps = model.frame_encoder(frame[None])
    pooled = model.head.get_layer("parallel_pool")(maps)[0].numpy()
    numbers = views.read(store.videos[sample.video.path], [view, view])
    found = dict(zip(views.shapes, numbers, strict=True))
    np.testing.assert_allclose(found["frame"], pooled, rtol=2e-3, atol=1e-3)


def test_every_epoch_shows_each_video_once_in_one_of_its_views(model, collection):
    store, videos = collection
    views = encoded(model, collection)
    sampler = EncodedSampler(store, videos, views, independent=False, seed=[3])
    samples = [sampler[position] for position in range(400)]
    for epoch in range(100):
        assert {s.video for s in samples[4 * epoch : 4 * epoch + 4]} == {*videos}
    drawn = Counter(sample.views for sample in samples)
    assert drawn.keys() == {(0, 0), (1, 1), (2, 2)}  # never the centre
    assert min(drawn.values()) > 100  # of 133 expected; 3.5 deviations
    batches = training_batches(sampler, batch_size=4, start_step=2).take(1)
    labels = next(iter(batches))[1].numpy().tolist()
    assert labels == [sample.video.label for sample in samples[8:12]]


def test_paths_may_draw_views_of_their_own(model, collection):
    store, videos = collection
    views = encoded(model, collection)
    sampler = EncodedSampler(store, videos, views, independent=True, seed=[3])
    samples = [sampler[position] for position in range(900)]
    drawn = Counter(sample.views for sample in samples)
    assert drawn.keys() == {(frame, difference) for frame in range(3) for difference in range(3)}
    assert min(drawn.values()) > 65  # of 100 expected; 3.7 deviations
    number = next(n for n, sample in enumerate(samples) if len({*sample.views}) == 2)
    maps, _, _ = next(iter(training_batches(sampler, batch_size=1, start_step=number).take(1)))
    stored = store.videos[samples[number].video.path]
    for name, view in zip(views.shapes, samples[number].views, strict=True):
        saved = np.load(views.file(stored, name))[view]
        np.testing.assert_array_equal(maps[name][0], saved.astype("float32"))


def test_one_path_draws_the_same_either_way(model, collection):
    store, videos = collection
    views = encoded(model, collection)
    alone = dataclasses.replace(views, shapes={"frame": views.shapes["frame"]})
    first, second = (
        EncodedSampler(store, videos, alone, independent=independent, seed=[3])
        for independent in (False, True)
    )
    assert [first[n] for n in range(50)] == [second[n] for n in range(50)]


def test_features_beyond_16_bits_are_refused(model, collection):
    """The largest number of 16 bits is 65504."""
    _, videos = collection
    kernel = model.frame_encoder.get_layer("parallel_scl").kernel
    before = kernel.numpy()
    kernel.assign(1e9 * before)
    message = rf"{videos[0].path}: its features do not fit 16 bits, the largest is .*e\+"
    try:
        no_warning = warnings.catch_warnings(action="error", category=RuntimeWarning)
        with no_warning, pytest.raises(UserError, match=message):
            encoded(model, collection, videos[:1])
    finally:
        kernel.assign(before)


def test_a_damaged_file_is_named(model, collection):
    store, videos = collection
    views = encoded(model, collection)
    file = views.file(store.videos[videos[1].path], "differences")
    file.write_bytes(file.read_bytes()[:500])
    sampler = EncodedSampler(store, videos, views, independent=False, seed=[3])
    message = pytest.raises(UserError, match=f"{file} cannot be read.*remove the file")
    with message, reading_errors_unwrapped():
        list(training_batches(sampler, batch_size=4).take(1))

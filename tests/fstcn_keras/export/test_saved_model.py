"""What a SavedModel answers against the Keras path, which has tests of its own."""

import dataclasses
import io
import json
import math
import resource
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from fstcn_keras import ActionClassifier
from fstcn_keras.acceleration import dispatch
from fstcn_keras.acceleration.plain_export import plain_copy
from tests.networks import clear_classifier
from tests.processes import run_python
from tests.videos import encoded, noise

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("a SavedModel needs Keras on TensorFlow", allow_module_level=True)

from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402

from fstcn_keras.export import saved_model  # noqa: E402
from fstcn_keras.export.formats import write_version  # noqa: E402
from fstcn_keras.serving.loading import load_classifier  # noqa: E402


@pytest.fixture(scope="module")
def classifier(exported_classifier) -> ActionClassifier:
    return exported_classifier


@pytest.fixture(scope="module")
def folder(exported) -> Path:
    return exported / "1"


@pytest.fixture(scope="module")
def signatures(folder):
    return tf.saved_model.load(folder).signatures


def compiles(graph) -> bool:
    """Whether a graph has a part that XLA must compile."""
    return any(function.attr["_XlaMustCompile"].b for function in graph.library.function)


def test_needs_no_compiler(classifier, folder):
    classifier.predict_video(blocks(30, 64, 48))  # traces the network in its own way
    written = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    assert not compiles(written.meta_graphs[0].graph_def)
    pair = {x.name: tf.TensorSpec(x.shape, x.dtype) for x in classifier.model.inputs}
    function = tf.function(lambda pair: classifier.model(pair)).get_concrete_function(pair)
    assert compiles(function.graph.as_graph_def()) == dispatch.may_compile((None, 60, 60, 3))


def blocks(num_frames: int, width: int, height: int) -> np.ndarray:
    """Coloured blocks that move and fade."""
    coarse = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3))
    image = coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    for number in range(num_frames):
        frames[number] = np.roll(image, 3 * number, axis=1) * (1 - number % 50 / 60)
    return frames


@pytest.mark.parametrize(
    ("num_frames", "width", "height"),
    [
        *((number, 64, 48) for number in (1, 7, 29, 30, 95, 300)),
        *((number, 320, 240) for number in (7, 30)),
        *((number, 641, 359) for number in (1, 95)),
    ],
)
def test_classify_video_equals_the_keras_path(classifier, signatures, num_frames, width, height):
    frames = blocks(num_frames, width, height)
    found = {k: v.numpy() for k, v in signatures["classify_video"](frames=frames).items()}
    expected = classifier.predict_video(frames)
    by_class = dict(zip(expected.classes, expected.scores, strict=True))
    assert set(found) == {"probabilities", "classes", "scores", "sci", "novelty", "rejected"}
    assert [name.decode() for name in found["classes"]] == list(expected.classes)
    np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-5)
    probabilities = [by_class[name] for name in classifier.classes]
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-5)
    np.testing.assert_allclose(found["sci"], expected.sci, atol=1e-5)
    assert found["scores"][0] > found["scores"][-1] + 0.1  # the comparison means something
    assert found["novelty"] == pytest.approx(expected.novelty, abs=1e-5)
    assert found["rejected"] == expected.rejected


def test_classes_that_float32_takes_for_equal_keep_their_order(folder):
    classifier, loaded = clear_classifier(), tf.saved_model.load(folder)
    variables = {variable.name: variable for variable in loaded._all_variables}
    logits = classifier.model.classifier
    for kernel in (logits.kernel, variables["logits/kernel:0"]):
        kernel.assign(0 * kernel)
    for bias in (logits.bias, variables["logits/bias:0"]):
        bias.assign([-300, -150, 0, -200])
    classify = loaded.signatures["classify_video"]
    found, expected = classify(frames=blocks(30, 64, 48)), ["sit", "déjà vu", "jump", "run"]
    assert [name.decode() for name in found["classes"].numpy()] == expected
    assert list(classifier.predict_video(blocks(30, 64, 48)).classes) == expected
    numbers = found.keys() - {"classes", "rejected"}
    assert {found[name].dtype.name for name in numbers} == {"float32"}


def test_shared_views_equal_the_keras_path(classifier, tmp_path):
    plan = dataclasses.replace(classifier.plan, mode="shared")
    shared = ActionClassifier(classifier.model, classes=classifier.classes, plan=plan)
    saved_model.saved_model_archive(shared).write_out(tmp_path / "1", verbose=False)
    classify = tf.saved_model.load(tmp_path / "1").signatures["classify_video"]
    for frames in (blocks(1, 64, 48), blocks(95, 320, 240)):
        found, expected = classify(frames=frames), shared.predict_video(frames)
        np.testing.assert_allclose(found["scores"], expected.scores, atol=1e-5)
        np.testing.assert_allclose(found["sci"], expected.sci, atol=1e-5)
        assert np.abs(expected.sci - classifier.predict_video(frames).sci).max() > 1e-3
    shared.save_description(tmp_path / "1" / saved_model.DESCRIPTION)
    loaded = load_classifier(tmp_path)
    for frames in (blocks(1, 64, 48), blocks(95, 320, 240)):
        found, expected = loaded.predict_video(frames), shared.predict_video(frames)
        assert found.classes == expected.classes
        np.testing.assert_allclose(found.view_probabilities, expected.view_probabilities, atol=1e-5)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_classify_jpegs_equals_classify_video_of_what_pillow_decodes(signatures, form):
    files = [encoded(frame, form) for frame in noise(40, height=100, width=80)]
    found = signatures["classify_jpegs"](frames=tf.constant(files))
    decoded = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    expected = signatures["classify_video"](frames=decoded)
    assert set(found) == set(expected)
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])


def test_serving_default_is_the_network(classifier, signatures):
    shape = (2, 5, 60, 60, 3)
    clip = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    views = {"clip": clip, "clip_diff": clip[::-1]}
    found = signatures["serving_default"](**views)
    assert list(found) == ["probabilities"]
    same = plain_copy(classifier.model).predict_on_batch(views)
    np.testing.assert_allclose(found["probabilities"], same, atol=1e-6)
    expected = classifier.model.predict_on_batch(views)  # other operations, hence rounded otherwise
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-5)


def test_embed_gives_means_over_all_views(classifier, signatures):
    frames = blocks(31, 70, 66)  # clips start at 0, 1 and 1: repeated ones count twice
    found = signatures["embed"](frames=frames)
    names = ["spatial_features", "temporal_features", "spatio_temporal_features"]
    assert set(found) == set(names)
    outputs = classifier.model.features
    features = keras.Model(classifier.model.input, [outputs[name] for name in names])
    outputs = [
        features.predict_on_batch(classifier.plan.cut(frames[clip], frames[later]))
        for clip, later in classifier.plan.pair_indices(31)
    ]
    for number, name in enumerate(names):
        expected = np.concatenate([output[number] for output in outputs]).mean(axis=0)
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)


def test_no_code_of_the_project_is_needed(folder, signatures, tmp_path):
    frames = blocks(12, 64, 48)
    np.save(tmp_path / "frames.npy", frames)
    script = (
        "import json, sys\n"
        "import numpy as np, tensorflow as tf\n"
        "model = tf.saved_model.load(sys.argv[1])\n"
        "answer = model.signatures['classify_video'](frames=np.load(sys.argv[2]))\n"
        "assert not {'fstcn_keras', 'training'} & sys.modules.keys()\n"
        "names = [name.decode() for name in answer['classes'].numpy()]\n"
        "print(json.dumps([names, answer['scores'].numpy().tolist()]))\n"
    )
    output = run_python(script, folder, tmp_path / "frames.npy", cwd=tmp_path, PYTHONPATH="")
    expected = signatures["classify_video"](frames=frames)
    names, scores = json.loads(output)
    assert names == [name.decode() for name in expected["classes"].numpy()]
    np.testing.assert_allclose(scores, expected["scores"], atol=1e-6)


def test_a_classifier_of_a_saved_model_scores_as_the_one_it_was_made_of(classifier, folder):
    frames = blocks(40, 64, 48)
    expected = classifier.predict_video(frames)
    plain = ActionClassifier(
        plain_copy(classifier.model), classes=classifier.classes, plan=classifier.plan
    )
    same = plain.predict_video(frames).view_probabilities
    for place in (folder, folder.parent):
        loaded = saved_model.load_saved_model(place)
        assert (loaded.classes, loaded.plan) == (classifier.classes, classifier.plan)
        assert loaded.rejection == classifier.rejection
        found = loaded.predict_video(frames)
        assert found.classes == expected.classes
        np.testing.assert_allclose(found.view_probabilities, same, atol=1e-6)
        np.testing.assert_allclose(found.view_probabilities, expected.view_probabilities, atol=1e-5)


def test_every_weight_is_stored_once(classifier, folder):
    stored = tf.train.list_variables(str(folder / "variables" / "variables"))
    sizes = [math.prod(shape) for name, shape in stored if "OBJECT_GRAPH" not in name]
    weights = [weight.shape for weight in classifier.model.weights]
    assert sum(sizes) == sum(map(math.prod, weights))


def test_a_full_disk(classifier, tmp_path, monkeypatch):
    """So much may a file have: the same error comes as where the disk has no more."""
    network = keras.Sequential([keras.Input((128,)), keras.layers.Dense(128)])  # 64 KiB
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serve", network.__call__, [tf.TensorSpec((None, 128))])
    monkeypatch.setattr(saved_model, "saved_model_archive", lambda _: archive)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, before[1]))
    try:
        with pytest.raises(OSError, match=r"/actions cannot be written: [^{]*File too large$"):
            write_version(classifier, tmp_path / "actions")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "actions").iterdir()) == []


def test_the_last_version_is_loaded(classifier, folder, tmp_path):
    (tmp_path / "9").mkdir()
    (tmp_path / "10").symlink_to(folder)
    assert saved_model.load_saved_model(tmp_path).classes == classifier.classes


def test_what_is_no_saved_model(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="saved_model"):
        saved_model.load_saved_model(tmp_path)
    shutil.copytree(folder, tmp_path / "1")
    (tmp_path / "1" / "assets.extra" / "views.json").unlink()
    with pytest.raises(FileNotFoundError, match="views"):
        saved_model.load_saved_model(tmp_path)


def test_a_network_without_the_layers_of_fstcn(folder):
    with pytest.raises(ValueError, match="Received: functional"):
        saved_model.saved_model_archive(saved_model.load_saved_model(folder))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((0, 48, 64, 3), "none of them 0"),
        ((2, 0, 64, 3), "none of them 0"),
        ((1, 2, 1000, 3), "too long and narrow"),
    ],
)
def test_frames_at_fault(signatures, shape, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        signatures["classify_video"](frames=np.zeros(shape, np.uint8))


def test_image_files_at_fault(signatures):
    small, large = (encoded(blocks(1, width, 48)[0]) for width in (64, 72))
    for files, message in [
        ([small, large], "of one size"),
        ([small, b"no image"], "Unknown image file format"),
        ([small, small[:100]], "PNG"),
        (np.array([], np.object_), "at least one image"),
    ]:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures["classify_jpegs"](frames=tf.constant(files, tf.string))

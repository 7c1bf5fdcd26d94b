"""VGG_CNN_M_2048 from files of MatConvNet and Caffe; the public ones were not there to be tested.

The tests write files of the same structure with random weights, and compute those networks by
NumPy in the conventions of MatConvNet and Caffe.
"""

import pickle
import re

import keras
import numpy as np
import pytest

from fstcn_keras import FSTCN, AuxiliaryClassifier
from fstcn_keras.weights import load_weights, source_videos

pytest.importorskip(
    "google.protobuf", reason="protobuf, which writes Caffe's files, comes with TensorFlow"
)
pytest.importorskip("scipy", reason="SciPy writes MATLAB's files")

from scipy.io import savemat

from tests.fstcn_keras.backbones import stored_networks as stored

ORIGINAL = {f"conv{n}": f"conv{n}" for n in range(1, 5)}
ORIGINAL |= {"conv5": "parallel_scl", "fc6": "spatial_fc", "fc7": "spatial_features"}
NARROW = {"preset": "paper", "width": 0.125, "path_units": (32, 16)}
FEATURES = {"mat": stored.matconvnet_features, "caffemodel": stored.caffe_features}


@pytest.fixture(scope="module")
def weights() -> stored.Weights:
    return stored.random_weights()


@pytest.fixture
def model() -> AuxiliaryClassifier:
    return AuxiliaryClassifier(num_classes=3, **NARROW)


def write(tmp_path, weights: stored.Weights, suffix: str, *, old: bool = False, image=None):
    path = tmp_path / f"VGG_CNN_M_2048.{suffix}"
    if suffix == "mat":
        layers = stored.matlab_layers(weights, old=old)
        return stored.write_mat(path, layers, old=old, image=image)
    return stored.write_caffemodel(path, stored.caffe_net(weights, old=old), image=image)


def fully_connected(model, images: np.ndarray) -> list[np.ndarray]:
    """Activations of both FCs of the spatial path."""
    head = model.head
    outputs = [head.get_layer(name).output for name in ("spatial_fc", "spatial_features")]
    path = keras.Model(head.input["frame"], outputs)
    return path.predict_on_batch(model.frame_encoder.predict_on_batch(images))


def check_features(model, weights, features, mean):
    images = np.random.default_rng(5).integers(0, 256, (2, 204, 204, 3), dtype=np.uint8)
    images[1] //= 4  # dark, and far from the mean
    found = fully_connected(model, images)
    for number, image in enumerate(images):
        for activations, expected in zip(found, features(weights, image, mean), strict=True):
            assert 0.2 < np.mean(expected > 0) < 0.8
            error = np.abs(activations[number] - expected).max() / expected.max()
            assert error < 1e-4


@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
@pytest.mark.parametrize("suffix", FEATURES)
def test_the_spatial_path_computes_what_the_stored_network_does(
    model, weights, tmp_path, suffix, old
):
    path = write(tmp_path, weights, suffix, old=old, image=stored.average_image())
    report = load_weights(model, path)
    assert report.layers == tuple(ORIGINAL.values())
    assert (len(report.loaded), report.missing, report.notes) == (14, (), ())
    assert report.unused == ("fc8, tensor 0", "fc8, tensor 1")
    check_features(model, weights, FEATURES[suffix], stored.MEAN)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", FEATURES)
def test_the_spatial_path_computes_the_same_at_full_size(tmp_path, suffix):
    weights = stored.random_weights(stored.FULL)
    path = write(tmp_path, weights, suffix, old=True, image=stored.average_image())
    model = AuxiliaryClassifier(num_classes=3, preset="paper")
    report = load_weights(model, path)
    path.unlink()
    assert (len(report.loaded), report.missing, report.notes) == (14, (), ())
    check_features(model, weights, FEATURES[suffix], stored.MEAN)


def test_the_whole_network_takes_them_too(weights, tmp_path):
    model = FSTCN(num_classes=3, joint_units=8, **NARROW)
    report = load_weights(model, write(tmp_path, weights, "mat"))
    assert report.layers == tuple(ORIGINAL.values())
    check_features(model, weights, stored.matconvnet_features, (123.68, 116.779, 103.939))
    temporal = FSTCN(num_classes=3, joint_units=8, paths=["temporal"], **NARROW)
    report = load_weights(temporal, write(tmp_path, weights, "mat"))
    assert report.layers == ("conv1", "conv2", "conv3", "conv4")
    assert "parallel_scl, tensor 0" in report.unused


@pytest.mark.parametrize(
    "image",
    [
        np.reshape(stored.MEAN, (1, 1, 3)),
        np.reshape(stored.MEAN, (3, 1)),
        np.array([stored.MEAN], np.float32),
    ],
    ids=["1x1x3", "3x1", "1x3"],
)
@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
def test_the_mean_of_matconvnet_in_other_shapes(model, weights, tmp_path, image, old):
    report = load_weights(model, write(tmp_path, weights, "mat", old=old, image=image))
    assert report.notes == ()
    check_features(model, weights, stored.matconvnet_features, stored.MEAN)


@pytest.mark.parametrize(
    ("suffix", "note"),
    [
        ("mat", "no average image in the file: ImageNet's mean is taken for it"),
        (
            "caffemodel",
            "no VGG_mean.binaryproto beside the file: ImageNet's mean is taken for it",
        ),
    ],
)
def test_without_a_mean_imagenets_is_taken_and_reported(model, weights, tmp_path, suffix, note):
    report = load_weights(model, write(tmp_path, weights, suffix))
    assert str(report) == f"14 tensors loaded, 0 left as initialised, 2 of the file unused; {note}"
    assert report.full().splitlines()[-1].endswith(note)
    check_features(model, weights, FEATURES[suffix], (123.68, 116.779, 103.939))


def test_differences_pass_the_same_layer_as_images_above_our_mean_do(weights, tmp_path):
    model = FSTCN(num_classes=3, joint_units=8, **NARROW)
    path = write(tmp_path, weights, "mat", image=np.reshape(stored.MEAN, (1, 1, 3)))
    load_weights(model, path)
    difference = np.random.default_rng(1).integers(0, 90, (9, 9, 3), dtype=np.uint8)
    normalized = model.difference_encoder.layers[0](difference[None])
    found = model.backbone.get_layer("conv1")(normalized)
    image = difference + np.array([123.675, 116.28, 103.53])  # ImageNet's, as in torchvision
    expected = stored.convolve(image - np.array(stored.MEAN), *weights["conv1"], 2, 0)
    assert found.shape == (1, 2, 2, 12)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-3)


def test_other_presets_say_what_does_not_fit(weights, tmp_path):
    model = AuxiliaryClassifier(num_classes=3, preset="small")
    with pytest.raises(
        ValueError, match=r"conv1/kernel \(7, 7, 3, 48\): the file has \(7, 7, 3, 12"
    ):
        load_weights(model, write(tmp_path, weights, "mat"))


def test_they_have_learned_from_no_videos(weights, tmp_path):
    assert source_videos(write(tmp_path, weights, "mat")) == []


def refused(tmp_path, suffix: str, content) -> str:
    """The one line that a file is refused with."""
    path = tmp_path / f"refused.{suffix}"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif suffix == "mat":
        stored.write_mat(path, content)
    else:
        stored.write_caffemodel(path, content)
    with pytest.raises(ValueError) as error:  # noqa: PT011, the caller looks
        load_weights(AuxiliaryClassifier(num_classes=3, **NARROW), path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


def with_layer(layers: list[dict], name: str, **fields) -> list[dict]:
    return [{**layer, **fields} if layer["name"] == name else layer for layer in layers]


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("norm1", {"param": [[5, 1, 1e-4, 0.75]]}, "layer 'norm1' has k 1, VGG_CNN_M_2048 2"),
        ("norm2", {"param": [[5, 2, 5e-4, 0.75]]}, "'norm2' has alpha/n 0.0005, .* 0.0001"),
        ("conv1", {"stride": 4.0}, "'conv1' has stride 4, VGG_CNN_M_2048 2"),
        ("conv2", {"pad": [[2.0, 1.0, 2.0, 1.0]]}, r"'conv2' has padding \(2.0, 1.0, .*_2048 1"),
        ("pool5", {"pool": [[2.0, 2.0]]}, "'pool5' has size 2, VGG_CNN_M_2048 3"),
        ("pool1", {"pad": [[1.0] * 4]}, "'pool1' has padding 1, VGG_CNN_M_2048 0"),
        ("pool1", {"pad": [[0.0, 0.0, 1.0, 1.0]]}, r"'pool1' has padding \(0.0, 1.0\)"),
        ("pool2", {"method": "avg"}, "'pool2' has method avg, VGG_CNN_M_2048 max"),
        ("norm1", {"type": "relu"}, r"'pool1' is a pooling, .* a normalization \(norm1\) there"),
        ("conv3", {"type": "bnorm"}, r"'conv3' is a bnorm, .* convolution \(conv3\) there"),
    ],
)
def test_other_networks_of_matconvnet(weights, tmp_path, name, fields, message):
    layers = with_layer(stored.matlab_layers(weights), name, **fields)
    assert re.search(message, refused(tmp_path, "mat", layers))


def cell(*entries) -> np.ndarray:
    values = np.empty((1, len(entries)), object)
    values[0, :] = entries
    return values


def test_tensors_that_do_not_fit_each_other(weights, tmp_path):
    layers = stored.matlab_layers(weights)

    def error(name: str, *tensors: np.ndarray) -> str:
        return refused(tmp_path, "mat", with_layer(layers, name, weights=cell(*tensors)))

    kernel, biases = weights["conv2"]
    assert "must have a kernel (5, 5, 12, N)" in error("conv2", kernel[:, :, :6], biases)
    assert "Received: [(5, 5, 6, 32), (32, 1)]" in error("conv2", kernel[:, :, :6], biases[:, None])
    assert "must have 32 biases" in error("conv2", kernel, biases[:31])
    assert "Received: [(5, 5, 12, 32)]" in error("conv2", kernel)
    assert "Received: int16" in error("conv2", kernel.astype("int16"), biases)
    kernel = weights["fc6"][0]
    assert "must have a kernel (6, 6, 64, N)" in error("fc6", kernel[:5], weights["fc6"][1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("suffix", FEATURES)
def test_weights_that_are_not_finite(weights, tmp_path, suffix, value):
    kernel, biases = weights["fc6"]
    kernel = kernel.copy()
    kernel[3, 2, 1, 0] = value
    changed = {**weights, "fc6": (kernel, biases)}
    content = stored.matlab_layers(changed) if suffix == "mat" else stored.caffe_net(changed)
    assert "'fc6' has weights that are not finite" in refused(tmp_path, suffix, content)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((224, 224), 100.0), r"three channels. Received: .* \(224, 224\)"),
        (np.full((1, 1, 3), np.nan), "between 0 and 255"),
        (np.full((1, 1, 3), 400.0), "between 0 and 255. Received: 400"),
    ],
)
def test_average_images_that_are_none(model, weights, tmp_path, image, message):
    with pytest.raises(ValueError, match=message):
        load_weights(model, write(tmp_path, weights, "mat", image=image))
    if image.ndim == 3:
        with pytest.raises(ValueError, match=f"VGG_mean.binaryproto beside it .*{message}"):
            load_weights(model, write(tmp_path, weights, "caffemodel", image=image))


def test_files_that_are_not_of_matconvnet(tmp_path):
    for content in (b"", b"text\n" * 99, pickle.dumps({"layers": []})):
        assert "no MATLAB file of a version from 5" in refused(tmp_path, "mat", content)
    savemat(tmp_path / "other.mat", {"weights": np.zeros(3)})
    other = (tmp_path / "other.mat").read_bytes()
    assert "must hold a cell array `layers`" in refused(tmp_path, "mat", other)
    savemat(tmp_path / "other.mat", {"layers": cell(np.zeros(3))})
    other = (tmp_path / "other.mat").read_bytes()
    assert "layer 1 must be a struct" in refused(tmp_path, "mat", other)
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    assert "save it in MATLAB with '-v7'" in refused(tmp_path, "mat", head)


def test_a_network_within_a_variable(model, weights, tmp_path):
    path = tmp_path / "net.mat"
    savemat(path, {"net": {"layers": cell(*stored.matlab_layers(weights))}})
    assert len(load_weights(model, path).loaded) == 14
    np.testing.assert_array_equal(model.backbone.get_layer("conv3").kernel, weights["conv3"][0])


@pytest.mark.parametrize("old", [True, False], ids=["old", "new"])
@pytest.mark.parametrize(
    ("name", "parameter", "fields", "message"),
    [
        ("norm1", "lrn_param", {"k": 1.0}, "layer 'norm1' has k 1, VGG_CNN_M_2048 2"),
        ("norm2", "lrn_param", {"alpha": 1e-4}, "'norm2' has alpha/n 2e-05, .* 0.0001"),
        ("norm2", "lrn_param", {"norm_region": 1}, "'norm2' has n within channels, .*_2048 5"),
        ("conv1", "convolution_param", {"stride": 4}, "'conv1' has stride 4, VGG_CNN_M_2048 2"),
        ("conv2", "convolution_param", {"pad": 2}, "'conv2' has padding 2, VGG_CNN_M_2048 1"),
        ("pool5", "pooling_param", {"kernel_size": 2}, "'pool5' has size 2, VGG_CNN_M_2048 3"),
        ("pool5", "pooling_param", {"pool": 1}, "'pool5' has method average, .*_2048 max"),
    ],
)
def test_other_networks_of_caffe(weights, tmp_path, old, name, parameter, fields, message):
    net = stored.caffe_net(weights, old=old)
    (layer,) = (layer for layer in (*net.layers, *net.layer) if layer.name == name)
    for field, value in fields.items():
        setattr(getattr(layer, parameter), field, value)
    assert re.search(message, refused(tmp_path, "caffemodel", net))


def test_layers_of_caffe_that_are_others(weights, tmp_path):
    net = stored.caffe_net(weights)
    net.layer[8].type = "Deconvolution"
    text = refused(tmp_path, "caffemodel", net)
    assert "'conv3' is a layer of type Deconvolution, VGG_CNN_M_2048 has a convolution" in text
    net = stored.caffe_net({name: weights[name] for name in ("conv1", "conv2")})
    assert "layers end before conv3" in refused(tmp_path, "caffemodel", net)
    net = stored.caffe_net(weights)
    net.layer.add(name="fc9", type="InnerProduct")
    assert "layers ['fc8', 'fc9'] follow fc7" in refused(tmp_path, "caffemodel", net)
    net = stored.MESSAGES["Net"]()
    net.layers.add().layer.name = "conv1"
    assert "upgrade_net_proto_binary" in refused(tmp_path, "caffemodel", net)


def test_settings_that_a_file_of_caffe_leaves_open(model, weights, tmp_path):
    net = stored.caffe_net(weights, old=True)
    for layer in net.layers:
        layer.ClearField("convolution_param")
        layer.ClearField("pooling_param")
        if layer.name.startswith("norm"):
            layer.lrn_param.ClearField("k")  # as of a Caffe that had no such field
    path = stored.write_caffemodel(
        tmp_path / "w.caffemodel", net, image=np.reshape(stored.MEAN, (1, 1, 3))
    )
    report = load_weights(model, path)
    assert report.notes == (
        "local response normalisation: k not in the file, taken as the paper's",
    )
    check_features(model, weights, stored.caffe_features, stored.MEAN)


def test_shapes_of_caffe_that_their_numbers_do_not_fill(weights, tmp_path):
    net = stored.caffe_net(weights)
    net.layer[0].blobs[0].shape.dim[0] = 2**40
    assert "an array of shape (1099511627776, 3, 7, 7) has 1764" in (
        refused(tmp_path, "caffemodel", net)
    )
    net.layer[0].blobs[0].shape.dim[0] = -12
    assert "numbers; is the file whole?" in refused(tmp_path, "caffemodel", net)
    net = stored.caffe_net(weights)
    net.layer[0].blobs[0].ClearField("data")
    assert "has 0 numbers" in refused(tmp_path, "caffemodel", net)
    net = stored.caffe_net({**weights, "fc6": (weights["fc6"][0][:5], weights["fc6"][1])})
    assert "matrix over square maps of 64 channels" in refused(tmp_path, "caffemodel", net)


def test_files_that_are_not_of_caffe(tmp_path):
    for content in (b"", b"<!DOCTYPE html>\n" * 99, pickle.dumps({"layers": []})):
        assert "Caffe" in refused(tmp_path, "caffemodel", content)


def test_damaged_files_of_caffe_end_in_one_line(model, weights, tmp_path):
    small = stored.caffe_net({name: weights[name] for name in ("conv1", "conv2")}, old=True)
    whole = small.SerializeToString()
    path = tmp_path / "damaged.caffemodel"
    generator = np.random.default_rng(0)
    for position in (*range(60), *generator.integers(0, len(whole), 200)):
        changed = bytearray(whole)
        changed[position] ^= 1 << int(generator.integers(8))
        for content in (bytes(changed), whole[:position]):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=r"damaged.caffemodel: [^\n]+$"):
                load_weights(model, path)

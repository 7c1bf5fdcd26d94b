"""Backbones, those of Keras Applications against those networks themselves."""

import keras
import numpy as np
import pytest

from fstcn_keras import FSTCN, AuxiliaryClassifier
from fstcn_keras.backbones import BACKBONE_NAMES, get_backbone
from fstcn_keras.model import scale_features
from fstcn_keras.weights import load_weights
from tests.fstcn_keras.test_weights import write_keras_applications
from tests.networks import TINY

OWN = ("vgg_m", "squeezenet", "efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
APPLICATIONS = [name for name in BACKBONE_NAMES if name not in OWN]
# name in Keras, last layer before stride 32, its channels, side of its maps at 204 pixels, and the
# module whose `preprocess_input` prepares pixels, as Keras documents them
EXPECTED = {
    "resnet50v2": ("ResNet50V2", "conv4_block6_preact_relu", 1024, 13, "resnet_v2"),
    "mobilenetv3small": ("MobileNetV3Small", "expanded_conv_8_expand_bn", 288, 13, "mobilenet_v3"),
    "mobilenetv3large": ("MobileNetV3Large", "expanded_conv_12_expand_bn", 672, 13, "mobilenet_v3"),
    "efficientnetv2b0": (
        *("EfficientNetV2B0", "block6a_expand_activation", 672, 13, "efficientnet_v2"),
    ),
    "vgg16": ("VGG16", "block5_conv3", 512, 12, "vgg16"),
    "densenet121": ("DenseNet121", "pool4_relu", 1024, 12, "densenet"),
}


def random_network(name: str) -> keras.Model:
    """With every weight drawn, batch normalisation's statistics too, and its preprocessing."""
    make = getattr(keras.applications, EXPECTED[name][0])
    network = make(weights=None, include_top=False, input_shape=(204, 204, 3))
    generator = np.random.default_rng(0)
    for variable in network.variables:
        if len(variable.shape) == 1:  # biases, and scales and statistics near 1
            variable.assign(generator.uniform(0.8, 1.2, variable.shape))
    return network


def test_every_application_is_tested():
    assert list(EXPECTED) == APPLICATIONS


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in ("mobilenetv3large", "densenet121")))
        for name in APPLICATIONS
    ],
)
def test_weights_by_name_give_the_features_of_the_application(name, tmp_path):
    _, last, channels, side, module = EXPECTED[name]
    network = random_network(name)
    network.save(tmp_path / "w.h5")  # the format of Keras Applications
    backbone = get_backbone(name).model(size=204, width=1.0)
    assert backbone.compute_output_shape((1, 204, 204, 3)) == (1, side, side, channels)
    report = load_weights(backbone, tmp_path / "w.h5")
    assert report.missing == ("feature_scale/scale (): not in the file",)
    assert len(report.loaded) == len(backbone.weights) - 1
    assert not set(report.unused) & set(report.loaded)

    pixels = np.random.default_rng(1).integers(0, 256, (1, 204, 204, 3), dtype=np.uint8)
    prepared = getattr(keras.applications, module).preprocess_input(pixels.astype("float32"))
    expected_layer = network.get_layer(last)
    expected = keras.Model(network.input, expected_layer.output).predict_on_batch(prepared)
    if "mobilenet" in name:
        expected = expected * np.clip(expected / 6 + 0.5, 0, 1)  # hard swish
    normalized = get_backbone(name).frame_normalization()(pixels)
    found = backbone.predict_on_batch(keras.ops.convert_to_numpy(normalized))
    size = np.sqrt(np.mean(expected**2))
    np.testing.assert_allclose(found / size, expected / size, rtol=1e-3, atol=1e-4)


def test_names_of_earlier_versions_of_keras(tmp_path):
    backbone = get_backbone("mobilenetv3small").model(size=64, width=1.0)
    values = {
        "Conv": [np.full((3, 3, 3, 16), 2.0)],
        "Conv/BatchNorm": [np.full(16, value) for value in (3.0, 4.0, 5.0, 6.0)],
        "expanded_conv/squeeze_excite/Conv_1": [np.full((1, 1, 8, 16), 7.0), np.full(16, 8.0)],
        "expanded_conv_1/expand/BatchNorm": [np.full(72, value) for value in (1.0, 2.0, 3.0, 4.0)],
    }
    report = load_weights(backbone, write_keras_applications(tmp_path / "w.h5", values))
    assert (len(report.loaded), report.unused) == (11, ())
    found = backbone.get_layer("conv_bn").get_weights()
    assert [tensor[0] for tensor in found] == [3, 4, 5, 6]


def test_features_are_scaled_to_a_root_mean_square_of_1_over_both_inputs():
    model = FSTCN(num_classes=3, backbone="mobilenetv3small", **TINY)
    generator = np.random.default_rng(0)
    samples = {
        name: generator.integers(0, high, (2, 3, 68, 68, 3), dtype=np.uint8)
        for name, high in (("clip", 256), ("clip_diff", 40))
    }
    scale_features(model, samples)
    middle = samples["clip"][:, 1]
    images = {"frame": middle, "difference": samples["clip_diff"].reshape(-1, 68, 68, 3)}
    maps = []
    for kind, pixels in images.items():
        normalization = getattr(get_backbone("mobilenetv3small"), f"{kind}_normalization")()
        maps.append(keras.ops.convert_to_numpy(model.backbone(normalization(pixels))))
    features = np.concatenate(maps)
    assert features.shape == (2 + 2 * 3, 5, 5, 288)  # one frame, three differences a clip
    assert np.sqrt(np.mean(features**2)) == pytest.approx(1, rel=1e-3)
    scale = float(model.backbone.get_layer("feature_scale").scale)
    scale_features(model, samples)
    assert float(model.backbone.get_layer("feature_scale").scale) == pytest.approx(scale)


def test_scaling_leaves_other_backbones_alone():
    model = AuxiliaryClassifier(num_classes=3, **TINY)
    before = model.get_weights()
    scale_features(model, {"frame": np.full((1, 68, 68, 3), 9, np.uint8)})
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_saved_model_predicts_the_same(tmp_path):
    """In another process too, where the package registers its layers: `tests/test_imports.py`."""
    model = FSTCN(num_classes=3, backbone="mobilenetv3small", **TINY)
    model.backbone.get_layer("feature_scale").scale.assign(0.5)
    model.backbone.get_layer("conv_bn").trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert not loaded.backbone.get_layer("conv_bn").trainable
    clip = np.random.default_rng(0).integers(0, 256, (1, 3, 68, 68, 3), dtype=np.uint8)
    views = {"clip": clip, "clip_diff": clip}
    found, expected = (one.predict_on_batch(views) for one in (loaded, model))
    np.testing.assert_allclose(found, expected, rtol=1e-5)

"""The networks against the sizes and the equations of the paper."""

import keras
import numpy as np
import pytest
from keras import ops

from fstcn_keras import PRESETS, FSTCNConfig, auxiliary_classifier, fstcn
from fstcn_keras.backbones import get_backbone
from fstcn_keras.layers import TemporalConvolution, TPOperator
from fstcn_keras.weights import named_layers
from tests.contracts import outputs
from tests.networks import TINY, outline, random_pairs

PAPER_PARAMETERS = {
    "conv1": 7 * 7 * 3 * 96 + 96,
    "conv2": 5 * 5 * 96 * 256 + 256,
    "conv3": 3 * 3 * 256 * 512 + 512,
    "conv4": 3 * 3 * 512 * 512 + 512,
    "parallel_scl": 3 * 3 * 512 * 512 + 512,
    "spatial_fc": 6 * 6 * 512 * 4096 + 4096,
    "spatial_features": 4096 * 2048 + 2048,
    "temporal_scl": 3 * 3 * 512 * 128 + 128,
    "tp_operator": 128 * 128,
    "tcl": (3 * 3 * 16 * 32 + 32) + (5 * 5 * 16 * 32 + 32),
    "temporal_fc": 5 * 128 * (32 + 32) * 4096 + 4096,
    "temporal_features": 4096 * 2048 + 2048,
    "spatio_temporal_features": (2048 + 2048) * 2048 + 2048,
    "logits": 2048 * 51 + 51,
}


def layers_with_weights(model: keras.Model) -> dict[str, keras.layers.Layer]:
    return {**named_layers(model), "logits": model.classifier}


def features(model: keras.Model, *names: str) -> keras.Model:
    outputs = {**model.features, "probabilities": model.output}
    return keras.Model(model.input, [outputs[name] for name in names])


def assert_all_close(found, expected, **tolerances):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **tolerances)


def shapes(chain, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Output shapes of layers one after another, by name."""
    found = {}
    for layer in chain:
        found[layer.name] = shape = layer.compute_output_shape(shape)
    return found


def test_geometry_of_the_paper():
    model = outline(num_classes=51)
    found = shapes(model.backbone.layers[1:], (2, 204, 204, 3))
    order = ["conv1", "norm1", "pool1", "pad2", "conv2", "norm2", "pool2", "conv3", "conv4"]
    assert list(found) == order
    sizes = {"conv1": (99, 96), "pool1": (49, 96), "conv2": (24, 256), "pool2": (12, 256)}
    for name, (side, channels) in (sizes | {"conv4": (12, 512)}).items():
        assert found[name] == (2, side, side, channels)
    assert model.frame_encoder.compute_output_shape((2, 204, 204, 3)) == (2, 12, 12, 512)
    assert model.difference_encoder.compute_output_shape((2, 204, 204, 3)) == (2, 12, 12, 128)
    head = {layer.name: layer.output.shape for layer in model.head.layers}
    expected = {
        "frame": (12, 12, 512),
        "differences": (5, 12, 12, 128),
        "parallel_pool": (6, 6, 512),
        "time_distributed_temporal_pool": (5, 4, 4, 128),
        "tp_operator": (5, 128, 16),
        "tcl": (5, 128, 64),
    }
    assert {name: head[name][1:] for name in expected} == expected
    names = ("spatial_features", "temporal_features", "spatio_temporal_features")
    outputs = {name: x.shape for name, x in model.head.output.items()}
    assert outputs == {**dict.fromkeys(names, (None, 2048)), "logits": (None, 51)}
    assert model.output.shape == (None, 51)


def test_parameters_of_the_paper_layer_by_layer():
    model = outline(num_classes=51)
    found = {name: layer.count_params() for name, layer in layers_with_weights(model).items()}
    assert found == PAPER_PARAMETERS
    assert model.count_params() == sum(PAPER_PARAMETERS.values()) == 275_706_739


def test_activations_and_dropout_of_the_paper():
    model = outline(num_classes=51)
    found = layers_with_weights(model)
    tcl = found.pop("tcl")
    del found["tp_operator"]
    assert found.pop("logits").activation is keras.activations.linear
    assert model.layers[-1].activation is keras.activations.softmax
    for layer in (*found.values(), *tcl.convolutions):
        assert layer.activation is keras.activations.relu
    dropouts = [layer for layer in model.head.layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in (*dropouts, *tcl.dropouts)] == [0.5] * 7
    fully_connected = [layer for layer in found.values() if isinstance(layer, keras.layers.Dense)]
    inputs = [dropout.input for dropout in dropouts]
    assert all(any(fc.output is x for x in inputs) for fc in fully_connected)


def test_configuration_of_the_paper():
    assert PRESETS["paper"] == FSTCNConfig(
        **{"crop_size": 204, "short_side": 240, "clip_length": 5, "stride": 5, "distance": 9},
        **{"backbone": "vgg_m", "width": 1.0, "path_units": (4096, 2048), "joint_units": 2048},
        **{"dropout": 0.5, "weight_decay": 5e-4},
    )


@pytest.mark.parametrize(
    ("temporal_kernels", "left_out"), [((3,), 5 * 5 * 16 * 32 + 32), ((5,), 3 * 3 * 16 * 32 + 32)]
)
def test_one_temporal_kernel_alone(temporal_kernels, left_out):
    model = outline(num_classes=51, temporal_kernels=temporal_kernels)
    assert model.count_params() == 275_706_739 - left_out - 5 * 128 * 32 * 4096


@pytest.mark.parametrize(
    ("path", "other", "not_shared"),
    [
        ("spatial", "temporal", {"temporal_scl", "tp_operator", "tcl"}),
        ("temporal", "spatial", {"parallel_scl"}),
    ],
)
def test_one_path_alone_holds_no_weights_of_the_other(path, other, not_shared):
    found = layers_with_weights(outline(num_classes=51, paths=(path,)))
    gone = not_shared | {f"{other}_fc", f"{other}_features"}
    assert found.keys() == PAPER_PARAMETERS.keys() - gone
    assert found["spatio_temporal_features"].count_params() == 2048 * 2048 + 2048


def test_squeezenet_as_the_backbone():
    def fire(inputs, squeeze, expand):
        return inputs * squeeze + squeeze + (1 + 9) * squeeze * expand + 2 * expand

    sizes = [(64, 16, 64), (128, 16, 64), (128, 32, 128), (256, 32, 128)]
    sizes += [(256, 48, 192), (384, 48, 192), (384, 64, 256), (512, 64, 256)]
    expected = 3 * 3 * 3 * 64 + 64 + sum(fire(*size) for size in sizes)
    squeezenet = outline(get_backbone("squeezenet").model, size=204, width=1.0)
    assert squeezenet.count_params() == expected == 722_496
    names = ("conv1", "pool1", "pool3", "pool5")
    maps = [squeezenet.get_layer(name).output for name in names]
    sides = [x.shape[1] for x in keras.Model(squeezenet.input, maps)(keras.Input((204, 204, 3)))]
    assert sides == [101, 50, 25, 12]
    assert squeezenet.compute_output_shape((1, 204, 204, 3)) == (1, 12, 12, 512)
    for number in range(2, 10):  # the order that the ImageNet weights know
        narrow, wide = squeezenet.get_layer(f"fire{number}_concat").input
        assert narrow is squeezenet.get_layer(f"fire{number}_expand1x1").output
        assert wide is squeezenet.get_layer(f"fire{number}_expand3x3").output
    model = outline(num_classes=5, preset="squeeze")
    assert model.head.input["frame"].shape == (None, 12, 12, 512)
    assert model.head.input["differences"].shape == (None, 5, 12, 12, 128)


@pytest.mark.parametrize(
    ("name", "mean", "red"),
    [
        ("vgg_m", (123.675, 116.28, 103.53), (255 / 58.395, 0, 0)),
        ("squeezenet", (123.68, 116.779, 103.939), (0, 0, 255)),  # handed on as BGR
        ("vgg16", (123.68, 116.779, 103.939), (0, 0, 255)),
        ("resnet50v2", (127.5, 127.5, 127.5), (2, 0, 0)),
    ],
)
def test_frames_lose_their_mean_and_differences_do_not(name, mean, red):
    frame = outputs(get_backbone(name).frame_normalization(), np.array([mean], "float32"))
    np.testing.assert_allclose(frame, [[0, 0, 0]], atol=1e-5)
    pixel = np.array([[255, 0, 0]], np.uint8)
    difference = outputs(get_backbone(name).difference_normalization(), pixel)
    np.testing.assert_allclose(difference, [red], rtol=1e-6)


def test_a_rank_one_3d_kernel_factorises_into_scl_tp_operator_and_tcl():
    """Equations (1) to (3): V * (K_xy x k_t), by loops, against the layers one after another."""
    generator = np.random.default_rng(0)  # positive numbers, so that no ReLU cuts anything
    video = generator.uniform(size=(4, 5, 6))  # (t, y, x)
    spatial, temporal = generator.uniform(size=(3, 3, 2)), generator.uniform(size=3)
    kernel = np.einsum("t,yxf->tyxf", temporal, spatial)
    padded = np.pad(video, 1)
    expected = np.zeros((4, 5, 6, 2))
    for t, y, x in np.ndindex(4, 5, 6):
        patch = padded[t : t + 3, y : y + 3, x : x + 3, None]
        expected[t, y, x] = np.sum(patch * kernel, axis=(0, 1, 2))

    scl = keras.layers.TimeDistributed(keras.layers.Conv2D(2, 3, padding="same"))
    tp_operator, tcl = TPOperator(2), TemporalConvolution(30, kernel_sizes=(3,))
    x = video[None, ..., None].astype("float32")
    tcl(tp_operator(scl(x)))  # builds them
    scl.set_weights([spatial[:, :, None], np.zeros(2)])
    tp_operator.set_weights([np.eye(2)])
    along_time = np.zeros((3, 3, 30, 30))  # each position and each channel for itself
    along_time[:, 1] = temporal[:, None, None] * np.eye(30)
    tcl.set_weights([along_time, np.zeros(30)])
    y = ops.convert_to_numpy(tcl(tp_operator(scl(x))))  # (1, t, f, y * x)
    found = y[0].reshape(4, 2, 5, 6).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_named_features_stand_where_they_are_joined(model):
    names = ("spatial_features", "temporal_features", "spatio_temporal_features", "probabilities")
    found = features(model, *names).predict_on_batch(random_pairs(3))
    spatial, temporal, joint, probabilities = found
    assert [f.shape for f in found] == [(3, 8), (3, 8), (3, 8), (3, 4)]
    kernel, bias = model.head.get_layer("spatio_temporal_features").get_weights()
    both = np.concatenate([spatial, temporal], axis=1)
    np.testing.assert_allclose(joint, np.maximum(both @ kernel + bias, 0), rtol=1e-4, atol=1e-4)
    kernel, bias = model.classifier.get_weights()
    scores = np.exp(joint @ kernel + bias)
    np.testing.assert_allclose(probabilities, scores / scores.sum(axis=1, keepdims=True), rtol=1e-4)


def test_each_path_sees_its_own_input_and_the_spatial_path_the_middle_frame(model):
    x, other = random_pairs(3), random_pairs(3, seed=1)
    around, middle = x["clip"].copy(), x["clip"].copy()
    around[:, [0, 2]] = other["clip"][:, [0, 2]]
    middle[:, 1] = other["clip"][:, 1]
    run = features(model, "spatial_features", "temporal_features").predict_on_batch
    spatial, temporal = run(x)
    assert_all_close(run({**x, "clip": around}), [spatial, temporal], rtol=1e-5)
    changed = run({**x, "clip": middle})
    assert np.abs(changed[0] - spatial).max() > 1e-2
    np.testing.assert_allclose(changed[1], temporal, rtol=1e-5)
    changed = run({**x, "clip_diff": other["clip_diff"]})
    np.testing.assert_allclose(changed[0], spatial, rtol=1e-5)
    assert np.abs(changed[1] - temporal).max() > 1e-2


@pytest.mark.parametrize(("path", "seen"), [("spatial", "clip"), ("temporal", "clip_diff")])
def test_one_path_alone_sees_its_own_input(path, seen):
    model = fstcn(num_classes=4, paths=(path,), **TINY)
    run = features(model, f"{path}_features", "probabilities").predict_on_batch
    x, other = random_pairs(3), random_pairs(3, seed=1)
    expected = run(x)
    assert_all_close(run({**other, seen: x[seen]}), expected, rtol=1e-5)
    assert np.abs(run({**x, seen: other[seen]})[0] - expected[0]).max() > 1e-2


def test_the_auxiliary_classifier_is_the_spatial_path(model):
    auxiliary = auxiliary_classifier(num_classes=4, **TINY)
    own, shared = layers_with_weights(auxiliary), layers_with_weights(model)
    lower = {"conv1", "conv2", "conv3", "conv4"}
    path_layers = {"parallel_scl", "spatial_fc", "spatial_features"}
    assert own.keys() == lower | path_layers | {"logits"}
    for name in lower | path_layers:
        own[name].set_weights(shared[name].get_weights())
    x = random_pairs(3)
    found = features(auxiliary, "spatial_features").predict_on_batch({"frame": x["clip"][:, 1]})
    expected = features(model, "spatial_features").predict_on_batch(x)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-4, atol=1e-4)


def test_weight_decay_adds_wd_times_w_to_the_gradient_of_kernels():
    model = fstcn(num_classes=4, weight_decay=0.5, **TINY)
    generator = np.random.default_rng(0)
    model.set_weights([generator.normal(0.1, 0.1, w.shape) for w in model.get_weights()])
    model.compile(keras.optimizers.SGD(0.1), loss="categorical_crossentropy")
    before = [ops.convert_to_numpy(v).copy() for v in model.trainable_variables]
    nothing_else = np.zeros(2)
    loss = model.train_on_batch(random_pairs(2), np.eye(4)[:2], sample_weight=nothing_else)
    decays = [v.name in ("kernel", "P") for v in model.trainable_variables]
    assert sum(decays) == len(PAPER_PARAMETERS) + 1  # the TCL has two
    expected = sum(0.25 * np.sum(w**2) for w, decay in zip(before, decays, strict=True) if decay)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    after = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    factors = [1 - 0.1 * 0.5 if decay else 1 for decay in decays]
    for one, other, factor in zip(after, before, factors, strict=True):
        np.testing.assert_allclose(one, factor * other, rtol=1e-4)


def test_a_saved_model_predicts_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = random_pairs(3)
    np.testing.assert_array_equal(loaded.predict_on_batch(x), model.predict_on_batch(x))
    assert loaded.config == model.config
    names = ("spatial_features", "temporal_features", "spatio_temporal_features")
    assert [loaded.head.output[name].shape for name in names] == [(None, 8)] * 3


def test_mixed_precision_gives_float32_probabilities_near_those_of_float32(model):
    mixed = fstcn(num_classes=4, dtype="mixed_bfloat16", **TINY)
    mixed.set_weights(model.get_weights())
    assert mixed.head.get_layer("tcl").compute_dtype == "bfloat16"
    x = random_pairs(3)
    p = mixed.predict_on_batch(x)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, model.predict_on_batch(x), atol=0.02)

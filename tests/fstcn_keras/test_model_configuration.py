"""What builds a network, and what it refuses."""

import keras
import numpy as np
import pytest

from fstcn_keras import FSTCN, accelerate
from tests.networks import TINY, outline, random_pairs


def test_a_configuration_builds_the_same_network():
    changes = {"paths": ("temporal",), "temporal_kernels": (5,), "initialization": "mean"}
    changes |= {"name": "some_name", "dtype": "mixed_bfloat16", "classifier_activation": None}
    model = FSTCN(num_classes=4, **TINY, **changes)
    model.head.get_layer("tcl").trainable = False
    copy = FSTCN.from_config(model.get_config())
    assert [v.shape for v in copy.weights] == [v.shape for v in model.weights]
    assert (copy.config, copy.name, copy.num_classes) == (model.config, "some_name", 4)
    assert copy.classifier_activation is None
    assert copy.dtype_policy.name == "mixed_bfloat16"
    assert copy.head.get_layer("tcl").compute_dtype == "bfloat16"
    assert [layer.name for layer in copy.head.layers if not layer.trainable] == ["tcl"]
    assert keras.config.dtype_policy().name == "float32"  # of others, untouched


def test_a_frozen_branch_of_the_tcl_stays_frozen(tmp_path):
    model = FSTCN(num_classes=4, **TINY, temporal_kernels=(3, 5, 5))
    model.head.get_layer("tcl").convolutions[1].trainable = False
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    branches = loaded.head.get_layer("tcl").convolutions
    assert [branch.trainable for branch in branches] == [True, False, True]
    assert len(loaded.trainable_variables) == len(loaded.weights) - 2  # kernel and bias


def test_without_activation_the_outputs_are_logits(model):
    logits = FSTCN.from_config({**model.get_config(), "classifier_activation": None})
    logits.set_weights(model.get_weights())
    x = random_pairs(3)
    scores = np.exp(logits.predict_on_batch(x))
    expected = scores / scores.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_on_batch(x), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_images_of_other_types_are_refused(model, dtype):
    x = random_pairs(2)
    wrong = {**x, "clip_diff": x["clip_diff"].astype(dtype)}
    for inputs in (wrong, list(wrong.values())):
        for call in (model, model.predict_on_batch):
            with pytest.raises(ValueError, match=rf"`clip_diff` must hold uint8 .*: {dtype}"):
                call(inputs)


def test_images_may_be_given_in_order(model):
    x = random_pairs(2)
    fast = accelerate(FSTCN.from_config(model.get_config()))
    fast.set_weights(model.get_weights())
    expected = model.predict_on_batch(x)
    for form in (model, fast):
        np.testing.assert_allclose(form.predict_on_batch(list(x.values())), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"`clip` must hold uint8 .*: float32"):
        fast([np.float32(images) for images in x.values()])


def test_images_of_another_rank_are_refused(model):
    wrong = {name: images[0] for name, images in random_pairs(2).items()}
    with pytest.raises(ValueError, match=r"expected shape=\(None, 3, 68, 68, 3\)"):
        model(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "Received: num_classes=0"),
        ({"classifier_activation": "sigmoid"}, "'softmax', or None .* Received: 'sigmoid'"),
        ({"preset": "huge"}, "Received: 'huge'"),
        ({"paths": ()}, r"Received: paths=\(\)"),
        ({"paths": "spatial"}, "Received: paths='spatial'"),
        ({"paths": ("spatial", "optical_flow")}, "Received: paths="),
        ({"temporal_kernels": ()}, "Received: temporal_kernels="),
        ({"temporal_kernels": (3, 0)}, "Received: temporal_kernels="),
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"backbone": "vgg_16"}, "Received: 'vgg_16'"),
        ({"crop_size": 0}, "`crop_size` must be positive. Received: 0"),
        ({"crop_size": 24}, "Received"),
        ({"clip_length": -1}, "Received: -1"),
        ({"width": 0}, "Received: 0"),
        ({"joint_units": 0}, "Received: 0"),
        ({"path_units": (16,)}, r"Received: \(16,\)"),
        ({"path_units": (16, 0)}, r"Received: \(16, 0\)"),
        ({"short_side": 203}, "Received: short_side=203, crop_size=204"),
        ({"dropout": 1.0}, "Received: 1.0"),
        ({"weight_decay": -0.1}, "-0.05|-0.1"),
    ],
)
def test_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        outline(**{"num_classes": 4, **arguments})


def test_numbers_of_feature_maps():
    maps = {"scl_filters": (24, 16), "tp_filters": 12, "tcl_filters": 8}
    model = FSTCN(num_classes=3, **TINY | maps | {"width": 0.5})
    assert model.frame_encoder.get_layer("parallel_scl").filters == 12
    assert model.difference_encoder.get_layer("temporal_scl").filters == 8
    assert model.head.get_layer("tp_operator").P.shape == (8, 6)
    assert model.head.get_layer("tcl").filters == 4

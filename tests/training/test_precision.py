"""Gradients in mixed precision against float32 ones, and the precision that a run keeps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fstcn_keras import accelerate, fstcn
from training import distribution
from training.claims import open_run
from training.distribution import fast_precision, with_precision
from training.errors import UserError
from training.options import FitOptions, write_config
from training.parts import build, replaced
from training.stages import dtype_policy


def network(precision: str) -> keras.Model:
    changes = {"dtype": dtype_policy(precision), "dropout": 0.0, "weight_decay": 0.0}
    return accelerate(fstcn(num_classes=4, preset="small", **changes))


def gradients(model: keras.Model, seed: int) -> list[np.ndarray]:
    keras.utils.set_random_seed(seed)
    model.set_weights(fstcn(num_classes=4, preset="small", dropout=0.0).get_weights())
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (4, 5, 12, 12, 3), dtype=np.uint8)
    clip = coarse.repeat(9, axis=2).repeat(9, axis=3)
    with tf.GradientTape() as tape:
        outputs = model({"clip": clip, "clip_diff": clip // 2}, training=False)
        loss = keras.ops.mean(keras.ops.sparse_categorical_crossentropy(np.arange(4), outputs))
    values = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    return [np.asarray(value, np.float64).ravel() for value in values]


def test_bfloat16_gradients_point_where_float32_ones_do():
    networks = [network(precision) for precision in ("mixed_bfloat16", "float32")]
    cosines, norms, whole = [], [], []
    for seed in range(4):  # one alone is luck: by a few hundredths better or worse
        found, expected = (gradients(model, seed) for model in networks)
        assert len(found) == len(expected) == 29
        pairs = list(zip(found, expected, strict=True))
        cosines.append([cosine(*pair) for pair in pairs])
        norms.append([np.linalg.norm(one) / np.linalg.norm(other) for one, other in pairs])
        whole.append(cosine(np.concatenate(found), np.concatenate(expected)))
    assert np.mean(cosines, axis=0).min() > 0.95
    np.testing.assert_allclose(np.mean(norms, axis=0), 1, atol=0.1)
    assert np.mean(whole) > 0.985


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Of the angle between two vectors."""
    return one @ other / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((8, 0), "mixed_bfloat16"),
        ((9, 0), "mixed_bfloat16"),
        ((7, 5), "float32"),
        (None, "float32"),
    ],
)
def test_the_precision_that_is_fast_on_a_gpu(monkeypatch, capability, expected):
    """Tensor cores multiply bfloat16 from compute capability 8.0 on, depthwise networks or not."""
    details = {} if capability is None else {"compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: details)
    assert fast_precision() == fast_precision(depthwise=True) == expected


@pytest.mark.parametrize(
    ("multiplies", "depthwise", "expected"),
    [(True, False, "mixed_bfloat16"), (True, True, "float32"), (False, False, "float32")],
)
def test_the_precision_that_is_fast_on_a_processor(monkeypatch, multiplies, depthwise, expected):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(distribution, "multiplies_bfloat16", lambda: multiplies)
    assert fast_precision(depthwise=depthwise) == expected


def test_a_run_keeps_the_precision_that_auto_meant(tmp_path):
    auto = build(FitOptions, out=tmp_path)
    assert with_precision(auto).run.precision == fast_precision()
    lite = with_precision(build(FitOptions, out=tmp_path, preset="lite", scl_weights="imagenet"))
    assert lite.run.precision == "float32" or tf.config.list_physical_devices("GPU")
    other = replaced(auto, precision="mixed_float16")
    assert with_precision(other) == other
    (tmp_path / "checkpoints").mkdir()
    write_config(other, tmp_path / "config.yaml")
    assert open_run(auto).path == tmp_path  # the devices are not known yet
    with pytest.raises(UserError, match=r"other options \(precision: mixed_float16, "):
        open_run(with_precision(auto))

"""What new layers pass on at the start: against NumPy's means and the identity."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from fstcn_keras import fstcn
from fstcn_keras.initializers import MeanOverBlocks, NearIdentity
from tests.networks import TINY


def test_a_layer_over_positions_starts_as_one_over_their_mean():
    x = np.random.default_rng(0).standard_normal((5, 2, 3, 200)).astype(np.float32)
    layer = layers.Dense(100, kernel_initializer=MeanOverBlocks(6, seed=1))
    found = ops.convert_to_numpy(layer(x.reshape(5, -1)))
    kernel = ops.convert_to_numpy(layer.kernel).reshape(6, 200, 100)
    shared = kernel.sum(axis=0)
    np.testing.assert_allclose(found, x.mean(axis=(1, 2)) @ shared, atol=1e-5)
    for block in kernel[1:]:
        np.testing.assert_array_equal(block, kernel[0])
    assert shared.std() == pytest.approx((2 / 200) ** 0.5, rel=0.02)  # of 200 features, not 1200
    assert np.abs(shared.mean()) < 0.003


def test_a_convolution_whose_channels_are_positions_starts_as_one_over_their_mean():
    x = np.random.default_rng(0).standard_normal((2, 5, 20, 16)).astype(np.float32)
    layer = layers.Conv2D(8, 3, padding="same", kernel_initializer=MeanOverBlocks(16, seed=1))
    found = ops.convert_to_numpy(layer(x))
    taps = ops.convert_to_numpy(layer.kernel).sum(axis=2)  # (3, 3, 8)
    mean = np.pad(x.mean(axis=-1), ((0, 0), (1, 1), (1, 1)))
    places = np.ndindex(3, 3)
    expected = sum(mean[:, a : a + 5, b : b + 20, None] * taps[a, b] for a, b in places)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert taps.std() == pytest.approx((2 / 9) ** 0.5, rel=0.2)  # of 9 taps on one mean, not 144


def test_blocks_that_do_not_divide_the_inputs():
    with pytest.raises(ValueError, match=r"7 blocks must divide the inputs\. Received: \(20, 3\)"):
        MeanOverBlocks(7)((20, 3))


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_convolution_that_starts_near_the_identity(size):
    x = np.random.default_rng(0).random((2, 8, 8, 64)).astype(np.float32)
    layer = layers.Conv2D(64, size, padding="same", kernel_initializer=NearIdentity(seed=1))
    found = ops.convert_to_numpy(layer(x))
    rest = ops.convert_to_numpy(layer.kernel).copy()
    for feature in range(64):
        rest[size // 2, size // 2, feature, feature] -= 1
    assert rest.std() == pytest.approx(0.1 * (2 / (size * size * 64)) ** 0.5, rel=0.05)
    assert np.abs(found - x).max() < 0.6
    assert np.corrcoef(found.ravel(), x.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(("inputs", "outputs"), [(64, 16), (16, 64), (20, 8)])
def test_fewer_or_more_outputs_than_inputs(inputs, outputs):
    """The permutation P, a matrix, and what it passes on."""
    kernel = ops.convert_to_numpy(NearIdentity(seed=1)((inputs, outputs)))
    for output, column in enumerate(kernel.T):
        source = int(output * inputs / outputs)
        assert np.argmax(column) == source
        assert column[source] == pytest.approx(1, abs=0.4)
    assert np.median(np.abs(kernel)) < 0.1


@pytest.mark.parametrize("initializer", [MeanOverBlocks(3, seed=4), NearIdentity(seed=4)])
def test_an_initializer_survives_its_configuration(initializer):
    copy = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    shape = (6, 2) if isinstance(initializer, MeanOverBlocks) else (3, 3, 2, 2)
    np.testing.assert_array_equal(*(ops.convert_to_numpy(i(shape)) for i in (initializer, copy)))


def test_what_follows_the_backbone_passes_on_and_averages():
    model = fstcn(num_classes=4, **TINY | {"initialization": "mean"})
    positions = int(np.prod(model.head.get_layer("parallel_pool").output.shape[1:3]))
    for name, count in {"spatial_fc": positions, "temporal_fc": TINY["clip_length"]}.items():
        kernel = ops.convert_to_numpy(model.head.get_layer(name).kernel)
        each = kernel.reshape(count, -1, kernel.shape[-1])
        np.testing.assert_array_equal(each, np.broadcast_to(each[:1], each.shape), err_msg=name)
        assert each[0].std() > 0
    for convolution in model.head.get_layer("tcl").convolutions:
        kernel = ops.convert_to_numpy(convolution.kernel)
        np.testing.assert_array_equal(kernel, np.broadcast_to(kernel[:, :, :1], kernel.shape))
        assert kernel.std() > 0
    permutation = ops.convert_to_numpy(model.head.get_layer("tp_operator").P)
    assert (permutation.argmax(axis=0) == np.arange(16)).all()

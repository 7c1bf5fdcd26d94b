"""The twin in PyTorch against the network that it is measured against."""

import numpy as np
import pytest
from keras import ops

from fstcn_keras import fstcn
from fstcn_keras.config import preset_config
from tests.networks import TINY

torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `bench`")

from benchmarks import torch_twin  # noqa: E402

WIDE = {**TINY, "joint_units": 32}  # of 8 ReLUs at random all may be dead
NETWORKS = {
    "vgg_m": WIDE,
    "squeezenet": {**WIDE, "preset": "squeeze", "crop_size": 84, "short_side": 84},
    "efficientnet_lite0": {  # 100 pixels become 50, 25, 13, 7, 4: even and odd paddings
        **WIDE,
        "preset": "lite",
        "crop_size": 100,
        "short_side": 100,
        "width": 1.0,
        "scl_filters": (24, 16),
        "tp_filters": 8,
        "tcl_filters": 2,
    },
}
CLASSIFIER_SCALES = {"small": 1.0, "squeeze": 0.01, "lite": 1.0}  # those of large features small


def twins(network: dict, *, tuned: bool):
    """A Keras model with biases and clear answers, and its twin, in inference."""
    model = fstcn(num_classes=4, **network)
    generator = np.random.default_rng(0)
    for weight in model.weights:
        if weight.path.endswith("bias"):
            weight.assign(generator.normal(scale=0.1, size=weight.shape))
        if weight.path.endswith("depthwise/kernel"):  # Keras starts them as if over all channels
            scale = np.sqrt(2 / np.prod(weight.shape[:2]))
            weight.assign(generator.normal(scale=scale, size=weight.shape))
    kernel = model.classifier.kernel
    scale = CLASSIFIER_SCALES[network["preset"]]
    kernel.assign(generator.normal(scale=scale, size=kernel.shape))
    twin = torch_twin.FSTCN(preset_config(**network), num_classes=4, tuned=tuned)
    torch_twin.copy_weights(twin, [(w.path, ops.convert_to_numpy(w)) for w in model.weights])
    return model, twin.eval()


def logits(model, inputs: dict) -> np.ndarray:
    return np.log(ops.convert_to_numpy(model(inputs, training=False)))


@pytest.mark.parametrize("tuned", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_keras(name, tuned):
    network = NETWORKS[name]
    model, twin = twins(network, tuned=tuned)
    size = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert sum(p.numel() for p in twin.parameters()) == size
    side = network["crop_size"]
    generator = np.random.default_rng(1)
    inputs = {
        name: generator.integers(0, 256, (2, 3, side, side, 3), dtype=np.uint8)
        for name in ("clip", "clip_diff")
    }
    with torch.no_grad():
        found = twin(*(torch.tensor(x).permute(0, 1, 4, 2, 3) for x in inputs.values()))
    found = torch.log_softmax(found, dim=1).numpy()
    expected = logits(model, inputs)
    assert np.ptp(expected[0] - expected[1]) > 0.1  # the inputs make a difference
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_a_network_with_other_layers_is_refused():
    model, twin = twins(TINY, tuned=False)
    weights = [(w.path, ops.convert_to_numpy(w)) for w in model.weights]
    with pytest.raises(KeyError, match="logits_bias"):
        torch_twin.copy_weights(twin, weights[:-1])


def test_banded_lrn_is_that_of_pytorch():
    x = torch.randn(2, 7, 3, 3, generator=torch.Generator().manual_seed(0)) * 50
    expected = torch.nn.LocalResponseNorm(**torch_twin.LRN)(x)
    torch.testing.assert_close(torch_twin.BandedLRN(7)(x), expected)

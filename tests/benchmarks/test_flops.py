"""Counts of operations against counts by hand, and against PyTorch's."""

import importlib.util
import json

import pytest

from benchmarks import flops
from benchmarks.workers import NUM_CLASSES
from fstcn_keras import fstcn
from fstcn_keras.config import PRESETS
from tests.fstcn_keras.backbones.test_efficientnet_lite import BLOCKS
from tests.processes import run_python

SMALL = {  # preset small: 108 pixels become 51, 25, 12, 6; one frame and five differences
    "conv1": 6 * (51 * 51 * 48) * (7 * 7 * 3),
    "conv2": 6 * (12 * 12 * 128) * (5 * 5 * 48),
    "conv3": 6 * (6 * 6 * 256) * (3 * 3 * 128),
    "conv4": 6 * (6 * 6 * 256) * (3 * 3 * 256),
    "parallel_scl": (6 * 6 * 256) * (3 * 3 * 256),
    "spatial_fc": (3 * 3 * 256) * 512,
    "spatial_features": 512 * 256,
    "temporal_scl": 5 * (6 * 6 * 64) * (3 * 3 * 256),
    "tp_operator": (5 * 2 * 2) * 64 * 64,
    "tcl": (5 * 64 * 16) * (3 * 3 * 4) + (5 * 64 * 16) * (5 * 5 * 4),
    "temporal_fc": (5 * 64 * 32) * 512,
    "temporal_features": 512 * 256,
    "spatio_temporal_features": 512 * 256,
    "logits": 256 * 51,
}
SIZES = {preset: PRESETS[preset].crop_size for preset in ("small", "squeeze", "lite")}
COUNTS = """
import json, sys, torch
from benchmarks.torch_steps import clip_flops, flop_counter

counts = {
    preset: [clip_flops(preset, size, phase) for phase in ("inference", "training")]
    for preset, size in json.loads(sys.argv[1]).items()
}
layer = torch.nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8)
counts["depthwise"] = []
for of_images in (False, True):
    with flop_counter() as counter:
        layer(torch.zeros(1, 8, 7, 7, requires_grad=of_images)).sum().backward()
    counts["depthwise"].append(counter.get_total_flops())
print(json.dumps(counts))
"""


def test_the_small_network_counted_by_hand():
    model = fstcn(num_classes=51, preset="small")
    assert flops.multiply_adds(model) == SMALL
    total = sum(SMALL.values())
    assert flops.inference_flops(model) == 2 * total
    assert flops.training_flops(model) == 2 * (3 * total - SMALL["conv1"])


def test_depthwise_convolutions_counted_from_the_published_table():
    """Those of EfficientNet-B0 (Tan and Le 2019, Table 1), at 192 pixels: Lite0 has the same."""
    size, features, expected = 96, 32, 96 * 96 * 32 * 3 * 3 * 3
    for repeats, kernel, stride, expansion, filters in BLOCKS:
        for number in range(repeats):
            wide = features * expansion
            expected += size**2 * features * wide if expansion > 1 else 0
            size = size // stride if number == 0 else size
            expected += size**2 * wide * (kernel**2 + filters)
            features = filters
    model = fstcn(num_classes=2, preset="lite")
    counts = flops.multiply_adds(model)
    backbone = {n: c for n, c in counts.items() if n.startswith(("conv_stem", "block"))}
    assert sum(backbone.values()) == 6 * expected  # one frame and five differences
    first = 6 * (96 * 96 * 32) * (3 * 3 * 3)  # whose inputs are pixels
    assert flops.training_flops(model) == 2 * (3 * sum(counts.values()) - first)


@pytest.fixture(scope="module")
def counts_of_pytorch() -> dict[str, list[int]]:
    """Of inference and training by preset, and of a depthwise layer without and with the images'
    gradient; from a process of its own, since PyTorch's compiler may fail beside TensorFlow."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch comes with the extra `bench`")
    return json.loads(run_python(COUNTS, json.dumps(SIZES)))


@pytest.mark.parametrize("preset", SIZES)
def test_counts_are_those_of_pytorch(preset, counts_of_pytorch):
    model = fstcn(num_classes=NUM_CLASSES, preset=preset)
    counts = [flops.inference_flops(model), flops.training_flops(model)]
    assert counts == counts_of_pytorch[preset]


def test_pytorch_counts_a_depthwise_layer_as_by_hand(counts_of_pytorch):
    forward = 2 * (8 * 4 * 4) * (5 * 5)  # 7 pixels with stride 2 become 4; 8 features
    assert counts_of_pytorch["depthwise"] == [2 * forward, 3 * forward]

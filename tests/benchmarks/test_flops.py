"""Counts of operations against counts by hand, and against PyTorch's."""

import pytest

from benchmarks import flops
from fstcn_keras import fstcn
from fstcn_keras.config import preset_config
from tests.fstcn_keras.backbones.test_efficientnet_lite import BLOCKS

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
    counts = flops.multiply_adds(fstcn(num_classes=2, preset="lite"))
    backbone = {n: c for n, c in counts.items() if n.startswith(("conv_stem", "block"))}
    assert sum(backbone.values()) == 6 * expected  # one frame and five differences


@pytest.mark.parametrize("preset", ["small", "squeeze"])
def test_counts_are_those_of_pytorch(preset):
    torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `bench`")
    from torch.utils.flop_counter import FlopCounterMode

    from benchmarks.torch_twin import FSTCN

    config = preset_config(preset)
    with torch.device("meta"):
        twin = FSTCN(config, num_classes=51)
        clip = torch.zeros(1, 5, 3, config.crop_size, config.crop_size)
        with FlopCounterMode(display=False) as forward:
            logits = twin(clip, clip)
        with FlopCounterMode(display=False) as backward:
            logits.sum().backward()
    model = fstcn(num_classes=51, preset=preset)
    assert flops.inference_flops(model) == forward.get_total_flops()
    assert flops.training_flops(model) == forward.get_total_flops() + backward.get_total_flops()

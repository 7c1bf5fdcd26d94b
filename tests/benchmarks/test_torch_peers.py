"""The peers in PyTorch against what their papers say of them."""

import itertools

import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `bench`")

from benchmarks.torch_peers import C3D, R2Plus1D18  # noqa: E402


def size(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_r2plus1d_18_has_the_published_size():
    with torch.device("meta"):
        network = R2Plus1D18(num_classes=400)
    assert size(network) / 1e6 == pytest.approx(33.3, abs=0.1)  # Tran et al. 2018, Table 2
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv3d)]
    assert len(convolutions) == 2 * 17 + 3  # two for each of ResNet-18's 17, three shortcuts


def test_c3d_has_the_published_size():
    with torch.device("meta"):
        network = C3D(num_classes=101)
    channels = [3, 64, 128, 256, 256, 512, 512, 512, 512]
    convolutions = sum(27 * one * other + other for one, other in itertools.pairwise(channels))
    connected = 8192 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 101 + 101
    assert size(network) == convolutions + connected
    assert round(size(network) / 1e6) == 78

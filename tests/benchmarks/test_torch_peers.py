"""The peers in PyTorch against what their papers say of them."""

import pytest

torch = pytest.importorskip("torch", reason="PyTorch comes with the extra `bench`")

from benchmarks.torch_peers import C3D, R2Plus1D18, factorized  # noqa: E402


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
    convolutions = sum(
        27 * features * filters + filters
        for features, filters in [
            (3, 64),
            (64, 128),
            (128, 256),
            (256, 256),
            (256, 512),
            (512, 512),
            (512, 512),
            (512, 512),
        ]
    )
    connected = 8192 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 101 + 101
    assert size(network) == convolutions + connected
    assert round(size(network) / 1e6) == 78


def test_a_factorised_convolution_has_as_many_weights_as_a_full_one():
    convolutions = [m for m in factorized(64, 128, size=3) if isinstance(m, torch.nn.Conv3d)]
    weights = sum(convolution.weight.numel() for convolution in convolutions)
    assert 0.99 < weights / (3 * 3 * 3 * 64 * 128) <= 1


@pytest.mark.parametrize("network", [R2Plus1D18, C3D])
def test_clips_of_other_shapes_go_through(network):
    keywords = {"shape": (10, 60, 60)} if network is C3D else {}
    with torch.device("meta"):
        logits = network(num_classes=7, **keywords)(torch.zeros(2, 3, 10, 60, 60))
    assert logits.shape == (2, 7)

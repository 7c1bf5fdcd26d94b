"""EfficientNet-Lite0 in PyTorch, the lower SCLs of preset `lite` in `benchmarks.torch_twin`.

Batch normalisation is fixed and folded into the convolutions, so that each has a bias.
"""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

STAGES = (  # blocks, kernel size, stride, expansion and filters (Tan and Le 2019, Table 1)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class UnevenlyPadded(nn.Conv2d):
    """Pads an odd number of pixels, one more after an image than before, and convolves.

    Args:
        *arguments: of `nn.Conv2d`.
        total: pixels of padding along an axis.
        **options: of `nn.Conv2d`.
    """

    def __init__(self, *arguments, total: int, **options):
        super().__init__(*arguments, **options)
        self.pads = 2 * (total // 2, total - total // 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, self.pads))


class InvertedBottleneck(nn.Module):
    """Expands the features, convolves each by itself, and projects; adds its input if it can.

    Args:
        features: of its input.
        filters: of its output.
        size: side of its input, pixels.
        kernel_size: of the depthwise convolution.
        stride: of the depthwise convolution.
        expansion: factor on the features in between.
    """

    def __init__(
        self,
        features: int,
        filters: int,
        *,
        size: int,
        kernel_size: int,
        stride: int,
        expansion: int,
    ):
        super().__init__()
        wide = features * expansion
        self.expand = nn.Conv2d(features, wide, 1) if expansion > 1 else None
        self.depthwise = convolution(wide, wide, kernel_size, size=size, stride=stride, groups=wide)
        self.project = nn.Conv2d(wide, filters, 1)
        self.adds = stride == 1 and features == filters

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else functional.relu6(self.expand(x))
        result = self.project(functional.relu6(self.depthwise(wide)))
        return x + result if self.adds else result


def convolution(
    features: int, filters: int, kernel_size: int, *, size: int, stride: int, groups: int = 1
) -> nn.Conv2d:
    """A convolution that pads images of this size as TensorFlow's "same" does."""
    total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
    options = {"stride": stride, "groups": groups}
    if total % 2:
        return UnevenlyPadded(features, filters, kernel_size, total=total, **options)
    return nn.Conv2d(features, filters, kernel_size, padding=total // 2, **options)


def efficientnet_lite0(size: int) -> nn.Sequential:
    """The lower SCLs of preset `lite`, for images of this size."""
    stem = convolution(3, 32, 3, size=size, stride=2)
    layers = OrderedDict(conv_stem=stem, relu_stem=nn.ReLU6())
    size, features, number = -(-size // 2), 32, 0
    for blocks, kernel_size, stride, expansion, filters in STAGES:
        for block in range(blocks):
            layers[f"block{number}"] = InvertedBottleneck(
                features,
                filters,
                size=size,
                kernel_size=kernel_size,
                stride=stride if block == 0 else 1,
                expansion=expansion,
            )
            size = -(-size // stride) if block == 0 else size
            features, number = filters, number + 1
    return nn.Sequential(layers)

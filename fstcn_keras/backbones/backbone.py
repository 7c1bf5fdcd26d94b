"""Defines a backbone: a builder of layers, and the pixels that its weights expect."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from fstcn_keras.layers import PixelNormalization
from fstcn_keras.tensors import Tensor

IMAGENET_MEAN = (123.675, 116.28, 103.53)  # red, green, blue, 0 to 255
IMAGENET_STD = (58.395, 57.12, 57.375)
CAFFE_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Describes a network that maps frames to feature maps, without weights.

    Example:
        >>> from fstcn_keras.backbones import get_backbone
        >>> get_backbone("squeezenet").model(size=204, width=1.0).output.shape
        (None, None, None, 512)

    Attributes:
        build: `(x, size=, width=, regularizer=) -> x`, from `(batch, h, w, 3)` normalised pixels
            to feature maps at stride 16, 204 pixels to 12x12 or 13x13, or at stride 32, to 7x7;
            see `model`.
        mean: mean of a frame's pixels, RGB, 0 to 255.
        std: divisor of the pixels of frames and differences, RGB.
        channel_order: order in which the network takes the channels, `"rgb"` or `"bgr"`.
        depthwise: whether it has depthwise convolutions, whose gradients take long in bfloat16 on
            a processor.
        imagenet: returns the whole network with published ImageNet weights, whose layers have the
            same names, or the file that holds them; `None` if there are none.
    """

    build: Callable[..., Tensor]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: str = "rgb"
    depthwise: bool = False
    imagenet: Callable[[], keras.Model | Path] | None = None

    def model(
        self, *, size: int, width: float, regularizer: keras.regularizers.Regularizer | None = None
    ) -> keras.Model:
        """Builds the layers as one model of images of any size, `(batch, h, w, 3)` to maps.

        Args:
            size: side of the crops that it is for, pixels; the padding of some networks goes by
                it, also in larger images.
            width: factor on the number of feature maps, where the network allows one.
            regularizer: of the kernels.
        """
        pixels = keras.Input((None, None, 3), name="pixels")
        maps = self.build(pixels, size=size, width=width, regularizer=regularizer)
        return keras.Model(pixels, maps, name="backbone")

    def frame_normalization(self) -> PixelNormalization:
        """Returns the layer that prepares frames."""
        return PixelNormalization(
            self.mean, self.std, self.channel_order, name="frame_normalization"
        )

    def difference_normalization(self) -> PixelNormalization:
        """Returns the layer that prepares absolute differences, whose mean has cancelled."""
        return PixelNormalization(
            (0.0, 0.0, 0.0), self.std, self.channel_order, name="difference_normalization"
        )


def convolution_relu(
    filters: int,
    size: int,
    name: str,
    *,
    regularizer: keras.regularizers.Regularizer | None,
    strides: int = 1,
    padding: str = "same",
    initializer: str | keras.Initializer = "he_normal",
) -> keras.layers.Conv2D:
    """Returns Conv(filters, size, strides) with a ReLU, as He et al. 2015 start it by default.

    Example:
        >>> convolution_relu(8, 3, "conv", regularizer=None).padding
        'same'

    Args:
        filters: number of feature maps.
        size: side of the kernel, pixels.
        name: of the layer.
        regularizer: of the kernel, or `None`.
        strides: step of the convolution, pixels.
        padding: `"same"` or `"valid"`.
        initializer: of the kernel.
    """
    return keras.layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding=padding,
        activation="relu",
        kernel_initializer=initializer,
        kernel_regularizer=regularizer,
        data_format="channels_last",
        name=name,
    )

"""Builds the paper's backbone: the four lower spatial convolutional layers of CNN-M-2048."""

import functools

from keras import layers

from fstcn_keras.backbones.backbone import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    convolution_relu,
)
from fstcn_keras.layers import CeilMaxPooling2D, LocalResponseNormalization
from fstcn_keras.tensors import Regularizer, Tensor


def vgg_m(x: Tensor, *, size: int, width: float, regularizer: Regularizer) -> Tensor:
    """Builds the four lower SCLs, 204 -> 99-49-24-12 (Sun et al. 2015, section 2.5).

    Conv(96,7,2) - ReLU - Norm - Pooling(3,2) - Conv(256,5,2) - ReLU - Norm - Pooling(3,2) -
    Conv(512,3,1) - ReLU - Conv(512,3,1) - ReLU.

    Example:
        >>> pixels = layers.Input((204, 204, 3))
        >>> vgg_m(pixels, size=204, width=0.25, regularizer=None).shape
        (None, 12, 12, 128)

    Args:
        x: normalised pixels, `(batch, h, w, 3)`.
        size: not used: its padding goes by no size.
        width: factor on every number of feature maps.
        regularizer: of the kernels, or `None`.

    Returns:
        Feature maps, `(batch, h', w', 512 * width)`.
    """
    convolution = functools.partial(convolution_relu, regularizer=regularizer)
    x = convolution(round(width * 96), 7, "conv1", strides=2, padding="valid")(x)
    x = LocalResponseNormalization(name="norm1")(x)
    x = CeilMaxPooling2D(3, 2, name="pool1")(x)
    x = layers.ZeroPadding2D(1, name="pad2")(x)
    x = convolution(round(width * 256), 5, "conv2", strides=2, padding="valid")(x)
    x = LocalResponseNormalization(name="norm2")(x)
    x = CeilMaxPooling2D(3, 2, name="pool2")(x)
    x = convolution(round(width * 512), 3, "conv3")(x)
    return convolution(round(width * 512), 3, "conv4")(x)


BACKBONES = {"vgg_m": Backbone(build=vgg_m, mean=IMAGENET_MEAN, std=IMAGENET_STD)}

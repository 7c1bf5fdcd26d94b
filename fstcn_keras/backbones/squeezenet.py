"""Builds SqueezeNet 1.1, a small backbone for little data."""

import functools

from keras import layers

from fstcn_keras.backbones.backbone import CAFFE_MEAN, Backbone, convolution_relu
from fstcn_keras.layers import CeilMaxPooling2D
from fstcn_keras.tensors import Regularizer, Tensor

FEATURE_SCALE = 0.1  # its features have a root mean square near 10; what follows expects one near 1


def squeezenet(x: Tensor, *, size: int, width: float, regularizer: Regularizer) -> Tensor:
    """Builds SqueezeNet 1.1 without its top, 204 -> 101-50-25-12 (Iandola et al. 2016).

    Its widths are those of its ImageNet weights, so `width` does not touch them. Pooling is in
    ceil mode, as in the Caffe network that the weights come from. Layer names are those of the
    public Keras weights.

    Example:
        >>> pixels = layers.Input((204, 204, 3))
        >>> squeezenet(pixels, size=204, width=1.0, regularizer=None).shape
        (None, 12, 12, 512)

    Args:
        x: normalised pixels, `(batch, h, w, 3)`.
        size: not used: its padding goes by no size.
        width: not used.
        regularizer: of the kernels, or `None`.

    Returns:
        Feature maps, `(batch, h', w', 512)`.
    """
    convolution = functools.partial(convolution_relu, regularizer=regularizer)

    def fire(x: Tensor, squeeze: int, expand: int, name: str) -> Tensor:
        x = convolution(squeeze, 1, f"{name}_squeeze1x1")(x)
        return layers.Concatenate(name=f"{name}_concat")(
            [convolution(expand, size, f"{name}_expand{size}x{size}")(x) for size in (1, 3)]
        )

    x = convolution(64, 3, "conv1", strides=2, padding="valid")(x)
    x = CeilMaxPooling2D(3, 2, name="pool1")(x)
    x = fire(x, 16, 64, "fire2")
    x = fire(x, 16, 64, "fire3")
    x = CeilMaxPooling2D(3, 2, name="pool3")(x)
    x = fire(x, 32, 128, "fire4")
    x = fire(x, 32, 128, "fire5")
    x = CeilMaxPooling2D(3, 2, name="pool5")(x)
    x = fire(x, 48, 192, "fire6")
    x = fire(x, 48, 192, "fire7")
    x = fire(x, 64, 256, "fire8")
    x = fire(x, 64, 256, "fire9")
    return layers.Rescaling(FEATURE_SCALE, name="feature_scale")(x)


BACKBONES = {
    "squeezenet": Backbone(
        build=squeezenet, mean=CAFFE_MEAN, std=(1.0, 1.0, 1.0), channel_order="bgr"
    )
}

"""The lower spatial convolutional layers: what maps one frame to a feature map at stride 16.

Each entry of `SCLS` holds a builder and the pixel preprocessing its weights expect. Adding a
network means adding an entry, and its name to `presets.SCL_NAMES`; nothing else of FSTCN depends
on which one is used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers, ops

from fstcn_keras.layers import (
    CeilMaxPooling2D,
    FeatureScale,
    LocalResponseNormalization,
    PixelConvolution2D,
    PixelNormalization,
    WinogradConvolution2D,
)

NAME = "scl"  # of the lower SCLs as a model
IMAGENET_MEAN = (123.675, 116.28, 103.53)  # red, green, blue, 0 to 255
IMAGENET_STD = (58.395, 57.12, 57.375)
CAFFE_MEAN = (123.68, 116.779, 103.939)
_OF_PIXELS = {"strides": 2, "padding": "valid", "layer": PixelConvolution2D}  # of the first layer


@dataclass(frozen=True, kw_only=True)
class SCL:
    """One choice of lower spatial convolutional layers.

    Attributes:
        build: `(x, width, regularizer) -> x`, from `(batch, size, size, 3)` normalised pixels
            to feature maps at stride 16, 204 pixels to 12x12 or 13x13.
        mean: mean of a frame's pixels, RGB, 0 to 255.
        std: divisor of the pixels of frames and differences, RGB.
        channel_order: order in which the network takes the channels.
    """

    build: Callable
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channel_order: str

    def frame_normalization(self) -> PixelNormalization:
        """The layer that prepares frames."""
        return PixelNormalization(
            self.mean, self.std, self.channel_order, name="frame_normalization"
        )

    def difference_normalization(self) -> PixelNormalization:
        """The layer that prepares absolute differences, whose mean has cancelled."""
        return PixelNormalization(
            (0.0, 0.0, 0.0), self.std, self.channel_order, name="difference_normalization"
        )


def vgg_m(x, width: float, regularizer):
    """The paper's four lower SCLs: those of CNN-M-2048, 204 -> 99-49-24-12 (section 2.5).

    Conv(96,7,2) - ReLU - Norm - Pooling(3,2) - Conv(256,5,2) - ReLU - Norm - Pooling(3,2) -
    Conv(512,3,1) - ReLU - Conv(512,3,1) - ReLU.
    """

    def convolution(filters, size, name, **kwargs):
        kwargs = {"layer": WinogradConvolution2D, **kwargs}
        return convolution_relu(round(width * filters), size, name, regularizer, **kwargs)

    x = convolution(96, 7, "conv1", **_OF_PIXELS)(x)
    x = LocalResponseNormalization(name="norm1")(x)
    x = CeilMaxPooling2D(3, 2, name="pool1")(x)
    x = layers.ZeroPadding2D(1, name="pad2")(x)
    x = convolution(256, 5, "conv2", strides=2, padding="valid")(x)
    x = LocalResponseNormalization(name="norm2")(x)
    x = CeilMaxPooling2D(3, 2, name="pool2")(x)
    x = convolution(512, 3, "conv3")(x)
    return convolution(512, 3, "conv4")(x)


def squeezenet(x, width: float, regularizer):
    """SqueezeNet 1.1 without its top: 512 channels, 204 -> 101-50-25-12 (Iandola et al. 2016).

    Its widths are those of its ImageNet weights, so `width` does not touch them. Pooling is in
    ceil mode, as in the Caffe network that the weights come from. Layer names are those of the
    public Keras weights.
    """

    def fire(x, squeeze, expand, name):
        x = convolution_relu(squeeze, 1, f"{name}_squeeze1x1", regularizer)(x)
        return layers.Concatenate(name=f"{name}_concat")(
            [
                convolution_relu(expand, size, f"{name}_expand{size}x{size}", regularizer)(x)
                for size in (1, 3)
            ]
        )

    x = convolution_relu(64, 3, "conv1", regularizer, **_OF_PIXELS)(x)
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
    # its features have a root mean square near 10; what follows is initialised for one near 1
    return layers.Rescaling(0.1, name="feature_scale")(x)


def convolution_relu(
    filters: int,
    size: int,
    name: str,
    regularizer,
    *,
    strides: int = 1,
    padding: str = "same",
    layer: type[layers.Conv2D] = layers.Conv2D,
    initializer: str | keras.Initializer = "he_normal",
) -> layers.Conv2D:
    """Conv(filters, size, strides) with a ReLU, and He's initialisation for it by default."""
    return layer(
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


@dataclass(frozen=True)
class Application:
    """A builder of the part of a network of Keras Applications that comes before stride 32.

    Layers have the names that they have there. Widths are those of the ImageNet weights. Keras
    builds them without regularisers: their kernels decay by the optimiser of `training.fit`, as
    all do, but not in a loss. `FeatureScale` follows, see `scale_features`.

    Attributes:
        name: of the function in `keras.applications`.
        before: name of the layer whose input the feature maps are.
        options: further arguments of the function.
    """

    name: str
    before: str
    options: Mapping = field(default_factory=dict)

    def network(self, **kwargs) -> keras.Model:
        """The whole network but for its classifier; arguments as `keras.applications` has them."""
        build = getattr(keras.applications, self.name)
        return build(include_top=False, **self.options, **kwargs)

    def __call__(self, x, width: float, regularizer):
        """See `SCL.build`."""
        network = self.network(weights=None, input_tensor=x)
        return FeatureScale(name="feature_scale")(network.get_layer(self.before).input)


_IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "channel_order": "rgb"}
_CAFFE = {"mean": CAFFE_MEAN, "std": (1.0, 1.0, 1.0), "channel_order": "bgr"}
_UNIT = {"mean": (127.5,) * 3, "std": (127.5,) * 3, "channel_order": "rgb"}  # -1 to 1
_PIXELS_PREPARED = {"include_preprocessing": False}

SCLS = {
    "vgg_m": SCL(build=vgg_m, **_IMAGENET),
    "squeezenet": SCL(build=squeezenet, **_CAFFE),
    "resnet50v2": SCL(build=Application("ResNet50V2", "conv4_block6_1_conv"), **_UNIT),
    "mobilenetv3small": SCL(
        build=Application("MobileNetV3Small", "expanded_conv_8_depthwise_pad", _PIXELS_PREPARED),
        **_UNIT,
    ),
    "mobilenetv3large": SCL(
        build=Application("MobileNetV3Large", "expanded_conv_12_depthwise_pad", _PIXELS_PREPARED),
        **_UNIT,
    ),
    "efficientnetv2b0": SCL(
        build=Application("EfficientNetV2B0", "block6a_dwconv2", _PIXELS_PREPARED), **_IMAGENET
    ),
    "vgg16": SCL(build=Application("VGG16", "block5_pool"), **_CAFFE),
    "densenet121": SCL(build=Application("DenseNet121", "pool4_conv"), **_IMAGENET),
}


def build_scl(name: str, *, size: int, width: float, regularizer) -> keras.Model:
    """The lower SCLs as one model, `(batch, size, size, 3)` -> `(batch, h, w, f)`, named "scl".

    Args:
        name: a key of `SCLS`.
        size: side of the crop, pixels.
        width: factor on the number of feature maps, where the network allows one.
        regularizer: regulariser of the kernels.

    Raises:
        ValueError: if the crop is too small for the network's strides.
    """
    inputs = keras.Input((size, size, 3), name="pixels")
    return keras.Model(inputs, SCLS[name].build(inputs, width, regularizer), name=NAME)


def lower_scls(model: keras.Model) -> keras.Model:
    """The lower SCLs within `fstcn` or the auxiliary classifier, as `build_scl` made them."""
    return getattr(_lower_layer(model), "layer", _lower_layer(model))


def scale_features(model: keras.Model, samples: Mapping[str, np.ndarray]):
    """Gives the features of the lower SCLs a root mean square of 1 over some samples.

    What follows is initialised for that; features of ImageNet networks are of any size. Does
    nothing to lower SCLs without a `FeatureScale`.

    Args:
        model: `fstcn` or the auxiliary classifier.
        samples: its inputs by name, uint8 `(batch, ...)`.
    """
    for layer in lower_scls(model).layers:
        if isinstance(layer, FeatureScale):
            features = keras.Model(model.inputs, _lower_layer(model).output)
            maps = ops.cast(features(samples, training=False), "float32")
            size = ops.sqrt(ops.mean(ops.square(maps)))
            layer.scale.assign(layer.scale / ops.maximum(size, 1e-12))


def _lower_layer(model: keras.Model) -> keras.Layer:
    return next(one for one in model.layers if getattr(one, "layer", one).name == NAME)

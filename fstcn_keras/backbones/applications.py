"""Takes networks of Keras Applications as backbones: their part before stride 32.

Layers have the names that they have there, and widths are those of the ImageNet weights. Keras
builds them without regularisers: their kernels decay by the optimiser of `training.fit`, as all do,
but not in a loss.
"""

import functools
from typing import Any

import keras

from fstcn_keras.backbones.backbone import (
    CAFFE_MEAN,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
)
from fstcn_keras.layers import FeatureScale
from fstcn_keras.tensors import Regularizer, Tensor

_IMAGENET: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
_CAFFE: dict[str, Any] = {"mean": CAFFE_MEAN, "std": (1.0, 1.0, 1.0), "channel_order": "bgr"}
_MOBILE: dict[str, Any] = {"preprocessed": True, "depthwise": True}
_UNIT: dict[str, Any] = {"mean": (127.5,) * 3, "std": (127.5,) * 3}  # -1 to 1


def application(name: str, end: str, *, preprocessed: bool = False, **fields: Any) -> Backbone:
    """Returns a backbone from `keras.applications`.

    `FeatureScale` follows it, see `fstcn_keras.model.scale_features`.

    Example:
        >>> application("VGG16", "block5_pool", **_CAFFE).channel_order
        'bgr'

    Args:
        name: of the function there.
        end: name of the layer whose input the feature maps are.
        preprocessed: whether the function must be told that pixels come normalised.
        **fields: `mean`, `std`, `channel_order` and `depthwise` of `Backbone`.
    """
    network = getattr(keras.applications, name)
    options = {"include_preprocessing": False} if preprocessed else {}

    def build(x: Tensor, *, size: int, width: float, regularizer: Regularizer) -> Tensor:
        # Keras pads by the size that it knows; the copy pads the same in images of any size
        sized = network(include_top=False, weights=None, input_shape=(size, size, 3), **options)
        (maps,) = (layer.input for layer in sized.layers if layer.name == end)
        copy = keras.models.clone_model(keras.Model(sized.input, maps), input_tensors=x)
        return FeatureScale(name="feature_scale")(copy.output)

    imagenet = functools.partial(
        network, include_top=False, weights="imagenet", input_shape=(224, 224, 3), **options
    )
    return Backbone(build=build, imagenet=imagenet, **fields)


BACKBONES = {
    "resnet50v2": application("ResNet50V2", "conv4_block6_1_conv", **_UNIT),
    "mobilenetv3small": application(
        "MobileNetV3Small",
        "expanded_conv_8_depthwise_pad",
        **_MOBILE,
        **_UNIT,
    ),
    "mobilenetv3large": application(
        "MobileNetV3Large",
        "expanded_conv_12_depthwise_pad",
        **_MOBILE,
        **_UNIT,
    ),
    "efficientnetv2b0": application("EfficientNetV2B0", "block6a_dwconv2", **_MOBILE, **_IMAGENET),
    "vgg16": application("VGG16", "block5_pool", **_CAFFE),
    "densenet121": application("DenseNet121", "pool4_conv", **_IMAGENET),
}

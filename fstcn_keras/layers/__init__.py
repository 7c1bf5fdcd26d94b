"""Defines the layers of FSTCN, each serialisable and on `keras.ops` alone."""

from fstcn_keras.layers.ceil_max_pooling import CeilMaxPooling2D
from fstcn_keras.layers.feature_scale import FeatureScale
from fstcn_keras.layers.frame_choice import FrameChoice
from fstcn_keras.layers.local_response_normalization import LocalResponseNormalization
from fstcn_keras.layers.pixel_normalization import PixelNormalization
from fstcn_keras.layers.temporal_convolution import TemporalConvolution
from fstcn_keras.layers.tp_operator import TPOperator

__all__ = [
    "CeilMaxPooling2D",
    "FeatureScale",
    "FrameChoice",
    "LocalResponseNormalization",
    "PixelNormalization",
    "TPOperator",
    "TemporalConvolution",
]

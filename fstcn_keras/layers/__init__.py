"""The layers of FSTCN, each serialisable and on `keras.ops` alone."""

from fstcn_keras.layers.ceil_max_pooling import CeilMaxPooling2D
from fstcn_keras.layers.feature_scale import FeatureScale
from fstcn_keras.layers.folded_time_distributed import FoldedTimeDistributed
from fstcn_keras.layers.frame_choice import FrameChoice
from fstcn_keras.layers.large_dense import LargeDense
from fstcn_keras.layers.local_response_normalization import LocalResponseNormalization
from fstcn_keras.layers.pixel_convolution import PixelConvolution2D
from fstcn_keras.layers.pixel_normalization import PixelNormalization
from fstcn_keras.layers.temporal_convolution import TemporalConvolution
from fstcn_keras.layers.tp_operator import TPOperator
from fstcn_keras.layers.winograd_convolution import WinogradConvolution2D

__all__ = [
    "CeilMaxPooling2D",
    "FeatureScale",
    "FoldedTimeDistributed",
    "FrameChoice",
    "LargeDense",
    "LocalResponseNormalization",
    "PixelConvolution2D",
    "PixelNormalization",
    "TPOperator",
    "TemporalConvolution",
    "WinogradConvolution2D",
]

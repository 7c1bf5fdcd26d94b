"""FSTCN for Keras 3: the network, its clip arithmetic, its score fusion."""

from fstcn_keras import clips, fusion, layers
from fstcn_keras.classifier import ActionClassifier, ViewPlan
from fstcn_keras.model import auxiliary_classifier, fstcn
from fstcn_keras.presets import PRESETS, FSTCNConfig

__all__ = [
    "PRESETS",
    "ActionClassifier",
    "FSTCNConfig",
    "ViewPlan",
    "auxiliary_classifier",
    "clips",
    "fstcn",
    "fusion",
    "layers",
]

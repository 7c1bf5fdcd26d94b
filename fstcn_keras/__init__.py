"""Recognises actions in videos by FSTCN, in Keras 3.

Importing the package registers its classes with Keras, so that `keras.models.load_model` reads its
files. A process that needs no network, such as one that decodes videos, sets the environment
variable `FSTCN_KERAS_LAZY`: Keras is then imported with the first name below that needs it, as it
is in the commands of the project.
"""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fstcn_keras import clips, fusion, layers
    from fstcn_keras.acceleration import accelerate
    from fstcn_keras.classifier import ActionClassifier
    from fstcn_keras.config import PRESETS, FSTCNConfig
    from fstcn_keras.model import FSTCN, AuxiliaryClassifier, auxiliary_classifier, fstcn
    from fstcn_keras.prediction import Prediction
    from fstcn_keras.video import VideoError, VideoReader
    from fstcn_keras.views.plan import ViewPlan

__version__ = "0.1.0"

_MODULES = {
    "FSTCN": "model",
    "PRESETS": "config",
    "ActionClassifier": "classifier",
    "AuxiliaryClassifier": "model",
    "FSTCNConfig": "config",
    "Prediction": "prediction",
    "VideoError": "video",
    "VideoReader": "video",
    "ViewPlan": "views.plan",
    "accelerate": "acceleration",
    "auxiliary_classifier": "model",
    "clips": "",
    "fstcn": "model",
    "fusion": "",
    "layers": "",
}

__all__ = [
    "FSTCN",
    "PRESETS",
    "ActionClassifier",
    "AuxiliaryClassifier",
    "FSTCNConfig",
    "Prediction",
    "VideoError",
    "VideoReader",
    "ViewPlan",
    "accelerate",
    "auxiliary_classifier",
    "clips",
    "fstcn",
    "fusion",
    "layers",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name] or name}")
    return getattr(module, name) if _MODULES[name] else module


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _is_lazy() -> bool:
    if sys.argv[:1] == ["-m"]:  # Python looks for the command of `python -m fstcn_keras.COMMAND`
        return True
    main = getattr(sys.modules.get("__main__"), "__spec__", None)  # of `python -m`
    packages = (__name__, "training", "analysis", "benchmarks")
    is_command = main is not None and main.name.split(".")[0] in packages
    return is_command or bool(os.environ.get("FSTCN_KERAS_LAZY"))


if not _is_lazy():
    importlib.import_module(f"{__name__}.model")

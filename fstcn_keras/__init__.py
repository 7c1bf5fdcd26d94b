"""FSTCN for Keras 3: the network, its clip arithmetic, its score fusion.

Keras is imported when a name below is first used, so that what needs no network, such as
reading videos in many processes, starts without it.
"""

import contextlib
import importlib
import sys

from fstcn_keras.imports import around_import

_MODULE_OF = {
    "PRESETS": "config",
    "ActionClassifier": "classifier",
    "FSTCNConfig": "config",
    "ViewPlan": "views.plan",
    "auxiliary_classifier": "model",
    "fstcn": "model",
}

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


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULE_OF.get(name, name)}")
    return getattr(module, name) if name in _MODULE_OF else module


def __dir__() -> list[str]:
    return sorted(__all__)


@contextlib.contextmanager
def _layers_registered():
    """Makes Keras load models that hold the layers, whichever is imported first."""
    yield
    importlib.import_module(f"{__name__}.layers")


if "keras" in sys.modules:
    importlib.import_module(f"{__name__}.layers")
else:
    around_import("keras", _layers_registered)

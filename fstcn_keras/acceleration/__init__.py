"""Computes layers in forms that are faster on one machine.

A network is built, saved and exported of plain layers. `accelerate` gives those in memory other
methods, which compute the same numbers from the same weights, rounding apart. Each module here is
one form: its function `replacements` says what of a layer it replaces, and its docstring gives the
figure that it is there for. Removing a module changes no file.
"""

from collections.abc import Callable
from typing import Any

import keras

from fstcn_keras.acceleration import (
    folded_time,
    fully_connected,
    pixel_convolution,
    pixel_normalization,
    plain_export,
    pooling,
    response_normalization,
    winograd_convolution,
)
from fstcn_keras.parts import all_layers

Replacements = dict[str, Any]  # attributes of one layer, by name

_FORMS: tuple[Callable[[keras.Layer], Replacements], ...] = (
    fully_connected.replacements,
    folded_time.replacements,
    pixel_convolution.replacements,
    pixel_normalization.replacements,
    plain_export.replacements,
    pooling.replacements,
    response_normalization.replacements,
    winograd_convolution.replacements,
)


def accelerate(model: keras.Model) -> keras.Model:
    """Gives the layers of a model the forms that are fast on this machine.

    The model is changed in place and keeps its weights, its configuration and what it saves:
    `save` and `export` write plain layers. What it computes differs by rounding alone.

    Example:
        >>> from fstcn_keras import FSTCN
        >>> model = FSTCN(num_classes=5, preset="small")
        >>> accelerate(model) is model
        True

    Args:
        model: any model; layers that no form suits stay as they are.

    Returns:
        The model.
    """
    for layer in all_layers(model):
        for form in _FORMS:
            for name, value in form(layer).items():
                setattr(layer, name, value)
        if isinstance(layer, keras.Model):  # what it has compiled before is of the plain forms
            layer.train_function = layer.test_function = layer.predict_function = None
    return model

"""Exports plain layers.

`keras.Model.export` writes what it traces. The compiled passes of a faster form are programs of
this machine's compiler and processor, which another may not have.
"""

from typing import Any

import keras


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns an `export` that writes a plain copy of a model.

    Example:
        >>> list(replacements(keras.Sequential()))
        ['export']
    """
    if not isinstance(layer, keras.Model):
        return {}
    return {"export": lambda *args, **kwargs: plain_copy(layer).export(*args, **kwargs)}


def plain_copy(model: keras.Model, **changes: Any) -> keras.Model:
    """Returns a model of plain layers with the same weights.

    Example:
        >>> dense = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> copy = plain_copy(dense)
        >>> bool((copy.get_weights()[0] == dense.get_weights()[0]).all())
        True

    Args:
        model: the model.
        **changes: of its configuration.

    Raises:
        ValueError: if its configuration does not build the same weights.
    """
    copy = model.__class__.from_config({**model.get_config(), **changes})
    shapes, copied = ([tuple(v.shape) for v in one.weights] for one in (model, copy))
    if copied != shapes:
        raise ValueError(
            f"a copy of {model.name} has {len(copied)} weights in place of {len(shapes)}: Keras "
            "copies a shared layer for each of its places; save the FSTCN that it was made of"
        )
    copy.set_weights(model.get_weights())
    return copy

"""Chooses what the arithmetic of views computes with: NumPy, or the ops of Keras' backend.

What is computed with is chosen from the values: `keras.ops` as soon as a tensor is among them, so
that the same function makes part of a graph; else NumPy, and then Keras is never imported:
processes that only decode do without it.
"""

from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray, or a tensor of Keras' backend
Length: TypeAlias = Any  # int, or a scalar integer tensor

_NUMPY = (int, float, np.generic, np.ndarray, list, tuple)


def array_namespace(*values: Array | Length) -> ModuleType:
    """Returns the module that computes with some values: `numpy`, or `keras.ops` for tensors.

    Example:
        >>> array_namespace(3, np.zeros(2)).__name__
        'numpy'
    """
    if all(isinstance(value, _NUMPY) for value in values):
        return np
    from keras import ops

    return ops


def as_array(values: Array) -> Array:
    """Returns a tensor as it is, anything else as a NumPy array.

    Example:
        >>> as_array([0.5, 0.5])
        array([0.5, 0.5])
    """
    return np.asarray(values) if array_namespace(values) is np else values


def cast(values: Array, dtype: str) -> Array:
    """Converts numbers to another type, in their namespace.

    Example:
        >>> cast([1, 2], "float32")
        array([1., 2.], dtype=float32)
    """
    ops = array_namespace(values)
    return np.asarray(values, dtype) if ops is np else ops.cast(values, dtype)


def integers(values: Array, *others: Array | Length) -> Array:
    """Converts numbers to the integers of the namespace of all these values.

    They are int64 in NumPy and int32 in a graph.

    Example:
        >>> integers([2.0, 3.0])
        array([2, 3])
    """
    ops = array_namespace(values, *others)
    return np.asarray(values, np.int64) if ops is np else ops.cast(values, "int32")

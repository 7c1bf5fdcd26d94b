"""What runs the layers, and which of their forms suit it.

A layer may compute the same numbers by other operations than Keras' own, where those are known to
be faster. Layers ask here while a network is traced.
"""

import contextlib
import sys
from collections.abc import Callable, Sequence

import keras

from fstcn_keras.processor import instructions

_portable = False


@contextlib.contextmanager
def portable():
    """Networks traced within are of Keras' own operations, for whatever may run them later.

    TensorFlow Serving, for one, may have no compiler, and other machines other processors.
    """
    global _portable
    before, _portable = _portable, True
    try:
        yield
    finally:
        _portable = before


def under_jax() -> bool:
    """Whether all is compiled by XLA: under JAX."""
    return keras.backend.backend() == "jax"


def on_processor() -> bool:
    """Whether TensorFlow computes on this machine's processor, and on nothing else."""
    tensorflow = keras.backend.backend() == "tensorflow" and not _portable
    return tensorflow and not keras.distribution.list_devices("gpu")


def multiplies_matrices(dtype: str) -> bool:
    """Whether the processor has units for whole matrices of the format, as for bfloat16 by AMX."""
    return dtype == "bfloat16" and "amx_bf16" in instructions()


def compiles(shape: Sequence[int | None]) -> bool:
    """Whether a layer is to compile what it does with such inputs by `compiled`.

    Under TensorFlow every size of them takes a program of its own: their size must be known, but
    for the batch. Measured on Linux alone.
    """
    on_linux = on_processor() and sys.platform == "linux"
    return under_jax() or (on_linux and None not in shape[1:])


def compiled(function: Callable) -> Callable:
    """The function as one XLA program under TensorFlow; under JAX, which compiles all, itself."""
    if under_jax():
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False, jit_compile=True)

"""Tells what runs the layers, which decides the forms that suit it."""

import functools
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from fstcn_keras.processor import instructions

_CALLS_AT_ONCE = 3  # of `overlapped`: two keep two cores busy most of the time


def under_jax() -> bool:
    """Tells whether XLA compiles everything, which is so under JAX.

    Example:
        >>> under_jax() == (keras.backend.backend() == "jax")
        True
    """
    return keras.backend.backend() == "jax"


def on_processor() -> bool:
    """Tells whether TensorFlow computes on this machine's processor and on nothing else.

    Example:
        >>> on_processor() and under_jax()
        False
    """
    if keras.backend.backend() != "tensorflow":
        return False
    return all(name.startswith("cpu") for name in keras.distribution.list_devices())


def is_plain(convolution: keras.layers.Conv2D) -> bool:
    """Tells whether a convolution is square in kernels and strides, without dilation and groups.

    Example:
        >>> is_plain(keras.layers.Conv2D(8, 3)), is_plain(keras.layers.Conv2D(8, (1, 3)))
        (True, False)
    """
    square = len({*convolution.kernel_size}) == len({*convolution.strides}) == 1
    kind = convolution.data_format, tuple(convolution.dilation_rate), convolution.groups
    return square and kind == ("channels_last", (1, 1), 1)


def multiplies_matrices(dtype: str) -> bool:
    """Tells whether the processor has units for matrices of the format, as AMX for bfloat16.

    Example:
        >>> multiplies_matrices("float32")
        False
    """
    return dtype == "bfloat16" and "amx_bf16" in instructions()


def may_compile(shape: Sequence[int | None]) -> bool:
    """Tells whether a layer may compile what it does with inputs of this shape by `compiled`.

    Under TensorFlow every shape of them takes a program of its own, which takes some tenths of a
    second: it must be known, but for the batch. Measured on Linux alone.

    Example:
        >>> may_compile((None, 24, None, 96)) == under_jax()  # an open length
        True
    """
    on_linux = on_processor() and sys.platform == "linux"
    return under_jax() or (on_linux and None not in shape[1:])


def compiled(function: Callable) -> Callable:
    """Compiles a function by XLA under TensorFlow; under JAX, which compiles all, returns it.

    Example:
        >>> double = compiled(lambda x: 2 * x)
        >>> float(double(keras.ops.ones(())))
        2.0

    Args:
        function: of tensors to tensors.
    """
    if under_jax() or keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False, jit_compile=True)


def inference(
    network: keras.Model, shape: tuple[int | None, ...]
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes a function of batches from a network of one input.

    Under TensorFlow it is traced here, once, and several threads may call it.

    Example:
        >>> pixels = keras.Input((2,), dtype="uint8")
        >>> network = keras.Sequential([pixels, keras.layers.Rescaling(0.5)])
        >>> inference(network, (None, 2))(np.full((1, 2), 6, np.uint8))
        array([[3., 3.]], dtype=float32)

    Args:
        network: of uint8 images.
        shape: of its input; lengths that are `None` are left open.
    """
    if keras.backend.backend() != "tensorflow":
        return network.predict_on_batch
    import tensorflow as tf

    traced = tf.function(functools.partial(network, training=False), autograph=False)
    run = traced.get_concrete_function(tf.TensorSpec(shape, "uint8"))
    return lambda x: run(tf.constant(x)).numpy()


def overlapped(function: Callable, arguments: Sequence) -> list:
    """Calls a function on each of the arguments, under TensorFlow a few calls at once.

    What Python does, and some operations, take one core: the others work on another call then.

    Example:
        >>> overlapped(len, ["a", "clip"])
        [1, 4]

    Args:
        function: called from several threads.
        arguments: one for each call.

    Returns:
        The results in the order of the arguments.
    """
    if keras.backend.backend() != "tensorflow":
        return [function(argument) for argument in arguments]
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return list(pool.map(function, arguments))

"""What runs the layers, which decides the forms that suit it."""

import functools
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from fstcn_keras.processor import instructions

_CALLS_AT_ONCE = 3  # of `overlapped`: two keep two cores busy most of the time


def under_jax() -> bool:
    """Whether all is compiled by XLA: under JAX."""
    return keras.backend.backend() == "jax"


def on_processor() -> bool:
    """Whether TensorFlow computes on this machine's processor, on nothing else."""
    if keras.backend.backend() != "tensorflow":
        return False
    return all(name.startswith("cpu") for name in keras.distribution.list_devices())


def is_plain(convolution: keras.layers.Conv2D) -> bool:
    """Whether a convolution has square kernels and strides, and neither dilation nor groups."""
    square = len({*convolution.kernel_size}) == len({*convolution.strides}) == 1
    kind = convolution.data_format, tuple(convolution.dilation_rate), convolution.groups
    return square and kind == ("channels_last", (1, 1), 1)


def multiplies_matrices(dtype: str) -> bool:
    """Whether the processor has units for whole matrices of the format, as for bfloat16 by AMX."""
    return dtype == "bfloat16" and "amx_bf16" in instructions()


def may_compile(shape: Sequence[int | None]) -> bool:
    """Whether a layer is to compile what it does with such inputs by `compiled`.

    Under TensorFlow every shape of them takes a program of its own, which takes some tenths of a
    second: it must be known, but for the batch. Measured on Linux alone.
    """
    on_linux = on_processor() and sys.platform == "linux"
    return under_jax() or (on_linux and None not in shape[1:])


def compiled(function: Callable) -> Callable:
    """The function as an XLA program under TensorFlow; under JAX, which compiles all, itself."""
    if under_jax() or keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False, jit_compile=True)


def inference(
    network: keras.Model, shape: tuple[int | None, ...]
) -> Callable[[np.ndarray], np.ndarray]:
    """A network of one input as a function of batches.

    Under TensorFlow it is traced here, once, and several threads may call it.

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
    """The results of a function for each of the arguments; under TensorFlow a few calls at once.

    What Python does, and some operations, take one core: the others work on another call then.
    """
    if keras.backend.backend() != "tensorflow":
        return [function(argument) for argument in arguments]
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return list(pool.map(function, arguments))

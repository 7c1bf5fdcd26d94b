"""Floating-point operations of the network, from the shapes of its layers.

Only products with weights count, two operations for each multiply-add: what normalisation,
pooling and activations take is not work that a matrix peak is a measure of, and how LRN adds up
its neighbours is its own affair.
"""

import collections
import math
from collections.abc import Iterator

import keras

from fstcn_keras import FSTCN
from fstcn_keras.layers import TemporalConvolution, TPOperator

Shape = tuple[int | None, ...]


def multiply_adds(model: FSTCN) -> dict[str, int]:
    """Counts the multiply-adds of one clip in a forward pass, by layer in their order.

    Args:
        model: the network, whose layers with weights are convolutions, over all channels or
            depthwise, `Dense`, `TPOperator` and `TemporalConvolution`.
    """
    config = model.config
    size = (None, config.crop_size, config.crop_size, 3)
    counts = collections.Counter()
    for encoder, images in (
        (model.frame_encoder, 1),
        (model.difference_encoder, config.clip_length),
    ):
        for layer, shape in _encoder_layers(encoder, size) if encoder is not None else ():
            counts[layer.name] += images * _products(layer, shape)
    for layer in model.head.layers:
        counts[layer.name] += _products(layer, layer.output.shape)
    return {name: count for name, count in counts.items() if count}


def inference_flops(model: FSTCN) -> int:
    """Counts the operations of one clip in inference: the forward pass."""
    return 2 * sum(multiply_adds(model).values())


def training_flops(model: FSTCN) -> int:
    """Counts the operations of one clip in training.

    The forward pass, and as many again for the gradients of the weights and for those of the
    inputs; the first layer's inputs are pixels and need none.
    """
    counts = list(multiply_adds(model).values())
    return 2 * (3 * sum(counts) - counts[0])


def _encoder_layers(encoder: keras.Sequential, shape: Shape) -> Iterator[tuple[keras.Layer, Shape]]:
    """The layers of an encoder, those of its backbone in their place, and shapes of outputs."""
    for layer in encoder.layers:
        if isinstance(layer, keras.Model):  # of images of any size: a copy knows this one
            copy = keras.models.clone_model(layer, input_tensors=keras.Input(shape[1:]))
            yield from ((inner, inner.output.shape) for inner in copy.layers)
            shape = copy.output.shape
        else:
            shape = layer.compute_output_shape(shape)
            yield layer, shape


def _products(layer: keras.Layer, shape: Shape) -> int:
    """Multiply-adds with the weights of one layer, 0 for one of another kind."""
    if isinstance(layer, TemporalConvolution):
        positions = math.prod(shape[1:-1])  # l_t * f
        return sum(positions * math.prod(one.kernel.shape) for one in layer.convolutions)
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return math.prod(shape[1:]) * math.prod(layer.kernel.shape[:2])
    if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense, TPOperator)):
        kernel = layer.P if isinstance(layer, TPOperator) else layer.kernel
        # each of the outputs is a sum over all axes of the kernel but the last
        return math.prod(shape[1:]) * math.prod(kernel.shape[:-1])
    return 0

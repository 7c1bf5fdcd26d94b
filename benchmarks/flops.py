"""Floating-point operations of the network, from the shapes of its layers.

Only products with weights count, two operations for each multiply-add: what normalisation,
pooling and activations take is not work that a matrix peak is a measure of, and how LRN adds up
its neighbours is its own affair.
"""

import math

import keras

from fstcn_keras.layers import FoldedTimeDistributed, TemporalConvolution, TPOperator

FIRST_LAYER = "conv1"  # of all lower SCLs that are counted


def multiply_adds(model: keras.Model) -> dict[str, int]:
    """Multiply-adds of one clip in a forward pass, by layer.

    Args:
        model: `fstcn_keras.fstcn`, or a part of it, whose layers with weights are convolutions
            over all channels, `Dense`, `TPOperator` and `TemporalConvolution`.
    """
    counts = {}
    for layer in model.layers:
        inner = getattr(layer, "layer", layer)  # of FoldedTimeDistributed
        if isinstance(inner, keras.Model):
            times = layer.output.shape[1] if isinstance(layer, FoldedTimeDistributed) else 1
            counts |= {name: times * count for name, count in multiply_adds(inner).items()}
        elif isinstance(inner, TemporalConvolution):
            positions = math.prod(layer.output.shape[1:-1])  # l_t * f
            counts[inner.name] = sum(
                positions * math.prod(convolution.kernel.shape)
                for convolution in inner.convolutions
            )
        elif isinstance(inner, (keras.layers.Conv2D, keras.layers.Dense, TPOperator)):
            kernel = inner.P if isinstance(inner, TPOperator) else inner.kernel
            # each of the outputs is a sum over all axes of the kernel but the last
            counts[inner.name] = math.prod(layer.output.shape[1:]) * math.prod(kernel.shape[:-1])
    return counts


def inference_flops(model: keras.Model) -> int:
    """Operations of one clip in inference: the forward pass."""
    return 2 * sum(multiply_adds(model).values())


def training_flops(model: keras.Model) -> int:
    """Operations of one clip in training.

    The forward pass, and as many again for the gradients of the weights and for those of the
    inputs; the first layer's inputs are pixels and need none.
    """
    counts = multiply_adds(model)
    return 2 * (3 * sum(counts.values()) - counts[FIRST_LAYER])

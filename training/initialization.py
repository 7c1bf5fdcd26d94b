"""New layers that start as a pooling of what lies below them, at a scale that can be trained.

The fully-connected layers of FSTCN have more inputs than a small collection has pixels to teach
them with. Started from Gaussian noise they stay at chance for many epochs; started as averages
over space and time, with some noise, they begin where global pooling would. Each unit is then
brought to unit variance on training samples, layer by layer (Mishkin and Matas 2016).
"""

from collections.abc import Collection

import keras
import numpy as np
from keras import ops

NOISE = 0.1  # share of the kernel that stays as initialised
FC_NOISE = 0.05  # the same for the first fully-connected layers


def start_as_pooling(model: keras.Model, samples: dict[str, np.ndarray], *, keep: Collection[str]):
    """Sets the kernels of the layers above the lower SCLs.

    Parallel SCL and P start as the identity, the TCL as a mean over its input channels and time
    at its centre, the first fully-connected layers as means over space (spatial path) or over
    time and TCL maps (temporal path), all with noise. Then every unit's pre-activation gets unit
    variance over the samples, and mean 0 (convolutions over space) or 1/2 (what comes after).

    Args:
        model: FSTCN or its auxiliary classifier.
        samples: inputs by name, uint8 `(batch, ...)`.
        keep: names of layers that are left as they are, as they are trained already.
    """
    layers = {layer.name: layer for layer in model.layers}
    for name, mean in _UNIT_MEANS.items():
        if name not in layers or name in keep:
            continue
        layer = layers[name]
        pool_kernel(layer)
        below = keras.Model(model.inputs, layer.input)
        _normalize(layer, below(samples, training=False), mean)


# in the order of the data; the mean that the pre-activations get
_UNIT_MEANS = {
    "parallel_scl": 0.0,
    "spatial_fc": 0.5,
    "spatial_features": 0.5,
    "time_distributed_temporal_scl": 0.0,
    "tp_operator": 0.0,
    "tcl": 0.5,
    "temporal_fc": 0.5,
    "temporal_features": 0.5,
    "spatio_temporal_features": 0.5,
}


def pool_kernel(layer: keras.Layer):
    """Makes the kernel of one layer of FSTCN a pooling with noise; others are left alone."""
    name = layer.name
    if name == "parallel_scl":
        kernel = NOISE * ops.convert_to_numpy(layer.kernel)
        kernel[1, 1] += np.eye(*kernel.shape[2:])
        layer.kernel.assign(kernel)
    elif name == "tp_operator":
        projection = NOISE * ops.convert_to_numpy(layer.P)
        layer.P.assign(projection + np.eye(*projection.shape))
    elif name == "tcl":
        for convolution in layer.convolutions:
            kernel = ops.convert_to_numpy(convolution.kernel)
            centre, channels = kernel.shape[0] // 2, kernel.shape[2]
            noise = np.random.default_rng(0).normal(size=kernel.shape[2:])
            kernel = NOISE * kernel
            kernel[centre, centre] += (1 + noise) / channels
            convolution.kernel.assign(kernel)
    elif name in ("spatial_fc", "temporal_fc"):
        _average(layer)


def _average(layer: keras.layers.Dense):
    """Unit `u` reads the mean of feature channel `u mod f` over all else."""
    *_, f = shape = _before_flatten(layer)
    if len(shape) == 3 and layer.name == "temporal_fc":  # (l_t, f', TCL maps)
        f = shape[1]
        channel = np.broadcast_to(np.arange(f)[None, :, None], shape)
    else:  # (h, w, f)
        channel = np.broadcast_to(np.arange(f), shape)
    mean = (channel.reshape(-1, 1) == np.arange(layer.units) % f) * (f / channel.size)
    layer.kernel.assign(FC_NOISE * ops.convert_to_numpy(layer.kernel) + mean)


def _before_flatten(layer: keras.layers.Dense) -> tuple[int, ...]:
    flatten = layer.input._keras_history.operation
    return tuple(flatten.input.shape[1:])


def _normalize(layer: keras.Layer, x, mean: float):
    if layer.name == "tp_operator":  # has no bias; what follows is normalised
        return
    inner = getattr(layer, "layer", layer)
    if inner is not layer:  # folded TimeDistributed
        x = ops.reshape(x, (-1, *x.shape[2:]))
    for unit_layer in getattr(layer, "convolutions", [inner]):
        activation, unit_layer.activation = unit_layer.activation, keras.activations.linear
        outputs = ops.convert_to_numpy(ops.cast(unit_layer(x), "float32"))
        unit_layer.activation = activation
        outputs = outputs.reshape(-1, outputs.shape[-1])
        deviation = outputs.std(axis=0) + 1e-3 * outputs.std()
        bias = ops.convert_to_numpy(unit_layer.bias)
        unit_layer.kernel.assign(ops.convert_to_numpy(unit_layer.kernel) / deviation)
        unit_layer.bias.assign((bias - outputs.mean(axis=0)) / deviation + mean)

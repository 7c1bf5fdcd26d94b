"""Stage 2 of both paths: a classifier on each, and the joint layers that start as their product."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from fstcn_keras.model import CLASSIFIER
from fstcn_keras.presets import PATHS

JOINT = "spatio_temporal_features"


def path_classifiers(model: keras.Model, *, num_classes: int) -> keras.Model:
    """A classifier on the features of every path, as section 2.3 gives the spatial path one.

    Args:
        model: FSTCN; the layers are shared, all but the joint ones.
        num_classes: number of actions, `N`.

    Returns:
        A model from FSTCN's inputs to class probabilities, float32 `(batch, N)`, an output
        for each path of FSTCN; the last layers are `spatial_classifier` and
        `temporal_classifier`.
    """
    names = [layer.name for layer in model.layers]
    outputs = [
        keras.layers.Dense(
            num_classes,
            activation="softmax",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype="float32",
            name=f"{path}_classifier",
        )(model.get_layer(f"{path}_features_dropout").output)
        for path in PATHS
        if f"{path}_features" in names
    ]
    return keras.Model(model.input, outputs, name="path_classifiers")


def product(probabilities: Sequence):
    """What classifiers say together: the normalised geometric mean of their probabilities.

    Args:
        probabilities: of one classifier or more, `(batch, N)` each.
    """
    if len(probabilities) == 1:
        return probabilities[0]
    logs = [ops.log(ops.maximum(p, keras.config.epsilon())) for p in probabilities]
    return ops.softmax(sum(logs) / len(logs))


def join_as_product(classifiers: keras.Model, model: keras.Model):
    """Sets the joint layers so that FSTCN gives the product of the classifiers of its paths.

    With z the mean of the paths' N logits, joint unit n is relu(z_n) and unit N + n relu(-z_n);
    the classifier takes their difference, so the network gives the softmax of z: `product`. The
    other joint units stay as they are, and what the classifier reads of them starts at 0.

    Args:
        classifiers: what `path_classifiers` gives.
        model: FSTCN of the same paths.

    Raises:
        ValueError: if there are fewer joint units than twice the classes.
    """
    joint, last = model.get_layer(JOINT), model.get_layer(CLASSIFIER)
    num_classes = last.units
    if joint.units < 2 * num_classes:
        raise ValueError(
            f"a product over {num_classes} classes takes {2 * num_classes} joint units. "
            f"Received: {joint.units}"
        )
    by_name = {layer.name: layer for layer in classifiers.layers}
    names = [f"{path}_classifier" for path in PATHS]  # as the joint layer reads the paths
    layers = [by_name[name] for name in names if name in by_name]
    kernels = [ops.convert_to_numpy(layer.kernel) for layer in layers]
    mean = np.concatenate(kernels) / len(layers)  # (features of all paths, N)
    bias = sum(ops.convert_to_numpy(layer.bias) for layer in layers) / len(layers)
    kernel, biases = (ops.convert_to_numpy(weight).copy() for weight in joint.weights)
    kernel[:, : 2 * num_classes] = np.concatenate([mean, -mean], axis=1)
    biases[: 2 * num_classes] = np.concatenate([bias, -bias])
    joint.set_weights([kernel, biases])
    readout = np.zeros(last.kernel.shape, np.float32)
    readout[: 2 * num_classes] = np.concatenate([np.eye(num_classes), -np.eye(num_classes)])
    last.set_weights([readout, np.zeros(num_classes, np.float32)])

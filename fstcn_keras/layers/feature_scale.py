"""Brings pre-trained features to the size that what follows expects, by one number."""

import keras
from keras import ops

from fstcn_keras.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class FeatureScale(keras.layers.Layer):
    """Multiplies all features by one fixed number, `scale * x`.

    The number is a weight that is not trained: it is stored with the other weights, and starts
    at 1 until `fstcn_keras.model.scale_features` sets it from data.

    Example:
        >>> layer = FeatureScale()
        >>> layer.build((None, 2))
        >>> _ = layer.scale.assign(0.5)
        >>> ops.convert_to_numpy(layer(ops.array([[2.0, 4.0]])))
        array([[1., 2.]], dtype=float32)

    Input shape:
        Any.

    Output shape:
        The same.

    Reference:
        Mishkin and Matas 2016 (layers are scaled by what they make of data).
    """

    def build(self, input_shape: Shape) -> None:
        """Makes the scale."""
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones", trainable=False)

    def call(self, x: Tensor) -> Tensor:
        """Returns the scaled features."""
        return x * ops.cast(self.scale, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns the shape of the outputs."""
        return input_shape

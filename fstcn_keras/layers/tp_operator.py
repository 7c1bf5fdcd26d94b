"""Defines the transformation and permutation (T-P) operator."""

from typing import Any

import keras
from keras import ops
from keras.initializers import RandomNormal

from fstcn_keras.tensors import Initializer, Regularizer, Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class TPOperator(keras.layers.Layer):
    """Rearranges a clip's feature maps so that a 2-D convolution runs over (time, channel).

    Transformation: the two spatial axes become one vector, and the axes are reordered so that
    time and feature channel are the "image" and the `h * w` positions its channels.
    Permutation: the feature channels are reorganised by the learned matrix `P`.

    ```
    y[b, t, j, s] = sum_i x[b, t, s // w, s % w, i] * P[i, j]
    ```

    `P` has shape `(f, filters)`, no bias, and by default starts from N(0, 1/f), which keeps the
    variance.

    Example:
        >>> tuple(TPOperator(64)(ops.ones((1, 5, 4, 4, 128))).shape)
        (1, 5, 64, 16)

    Args:
        filters: number of feature channels after the permutation, the paper's `f'`.
        kernel_initializer: initialiser of `P`, instead of the Gaussian.
        kernel_regularizer: regulariser of `P`.

    Input shape:
        `(batch, l_t, h, w, f)`, floating point; `h`, `w` and `f` static.

    Output shape:
        `(batch, l_t, filters, h * w)`.

    Raises:
        ValueError: if `filters` is not positive, or the input does not have five axes.

    Reference:
        Sun et al. 2015, section 2.1 and its footnote 2; the deviation of the Gaussian is the
        project's choice, the paper gives none.
    """

    def __init__(
        self,
        filters: int,
        *,
        kernel_initializer: Initializer = None,
        kernel_regularizer: Regularizer = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if filters < 1:
            raise ValueError(f"`filters` must be positive. Received: filters={filters}")
        self.filters = filters
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.input_spec = keras.layers.InputSpec(ndim=5)

    def build(self, input_shape: Shape) -> None:
        """Makes the matrix `P`."""
        features = input_shape[-1]
        self.P = self.add_weight(
            name="P",
            shape=(features, self.filters),
            initializer=self.kernel_initializer or RandomNormal(stddev=features**-0.5),
            regularizer=self.kernel_regularizer,
        )

    def call(self, x: Tensor) -> Tensor:
        """Returns the rearranged and permuted maps, `(batch, l_t, filters, h * w)`."""
        _, l_t, h, w, f = x.shape
        x = ops.reshape(x, (-1, l_t, h * w, f))
        x = ops.matmul(x, self.P)  # (batch, l_t, h*w, filters)
        return ops.transpose(x, (0, 1, 3, 2))  # (batch, l_t, filters, h*w)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns the shape of the outputs."""
        batch, l_t, h, w, _ = input_shape
        return (batch, l_t, self.filters, h * w)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

"""Defines the temporal convolutional layer (TCL)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fstcn_keras.tensors import Initializer, Regularizer, Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class TemporalConvolution(keras.layers.Layer):
    """Convolves over (time, feature channel) in parallel branches and concatenates their maps.

    Each branch is Conv2D(filters, k x k, "same") -> ReLU -> Dropout. Large kernels see slow
    motion, small ones fast motion. No pooling follows: it would blur the temporal cues.

    Example:
        >>> TemporalConvolution(32).compute_output_shape((1, 5, 128, 16))
        (1, 5, 128, 64)

    Args:
        filters: number of maps of each branch.
        kernel_sizes: side of each branch's kernel, in steps of time and of feature channel.
        dropout: dropout probability after each ReLU.
        kernel_initializer: initialiser of the kernels.
        kernel_regularizer: regulariser of the kernels.
        seed: seed of the first branch's dropout, the others count on from it; `None` takes one
            from Keras' global seed.

    Input shape:
        `(batch, l_t, f, positions)`, floating point, as `TPOperator` gives it.

    Output shape:
        `(batch, l_t, f, filters * len(kernel_sizes))`.

    Raises:
        ValueError: if `filters` is not positive or `kernel_sizes` is empty.

    Reference:
        Sun et al. 2015, sections 2.1 and 2.5 (Conv(32,3,1) and Conv(32,5,1), dropout 0.5).
    """

    def __init__(
        self,
        filters: int,
        *,
        kernel_sizes: Sequence[int] = (3, 5),
        dropout: float = 0.5,
        kernel_initializer: Initializer = "he_normal",
        kernel_regularizer: Regularizer = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if filters < 1:
            raise ValueError(f"`filters` must be positive. Received: filters={filters}")
        if not kernel_sizes:
            raise ValueError(
                f"`kernel_sizes` must name at least one kernel. Received: {kernel_sizes}"
            )
        self.filters = filters
        self.kernel_sizes = tuple(kernel_sizes)
        self.dropout = dropout
        if isinstance(kernel_initializer, keras.Initializer):  # each branch makes its own
            kernel_initializer = keras.initializers.serialize(kernel_initializer)
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.seed = seed
        self.convolutions = [
            keras.layers.Conv2D(
                filters,
                size,
                padding="same",
                activation="relu",
                kernel_initializer=self.kernel_initializer,
                kernel_regularizer=self.kernel_regularizer,
                data_format="channels_last",
                dtype=self.dtype_policy,
                name=f"conv_{size}x{size}",
            )
            for size in self.kernel_sizes
        ]
        self.dropouts = [
            keras.layers.Dropout(
                dropout, seed=None if seed is None else seed + branch, dtype=self.dtype_policy
            )
            for branch in range(len(self.kernel_sizes))
        ]

    def build(self, input_shape: Shape) -> None:
        """Makes the kernels of the branches."""
        for convolution in self.convolutions:
            convolution.build(input_shape)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """Returns the maps of all branches, `(batch, l_t, f, maps)`."""
        branches = [
            drop(convolution(x), training=training)
            for convolution, drop in zip(self.convolutions, self.dropouts, strict=True)
        ]
        return ops.concatenate(branches, axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns the shape of the outputs."""
        return (*input_shape[:-1], self.filters * len(self.kernel_sizes))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_sizes": self.kernel_sizes,
            "dropout": self.dropout,
            "kernel_initializer": self.kernel_initializer,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "seed": self.seed,
        }

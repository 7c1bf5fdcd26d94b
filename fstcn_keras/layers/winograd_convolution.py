"""A convolution of many channels with fewer products."""

import keras

from fstcn_keras.acceleration import dispatch, winograd


@keras.saving.register_keras_serializable(package="fstcn_keras")
class WinogradConvolution2D(keras.layers.Conv2D):
    """A `Conv2D` of many channels that is faster on a processor.

    Arguments, weights and numbers are those of `keras.layers.Conv2D`, rounding apart. Where
    TensorFlow runs on a processor alone, maps of a known shape are convolved in float32 by
    Winograd's minimal filtering if `winograd.suits` them; not in bfloat16 if the processor
    multiplies matrices of that, nor in float64. Elsewhere Keras' own convolution is used.
    """

    def _suits(self, shape) -> bool:
        """Whether the convolution of such maps is one that `winograd.convolution` does."""
        return (
            None not in shape[1:]
            and dispatch.is_plain(self)
            and (self.strides[0] == 1 or self.padding == "valid")
            and self.compute_dtype != "float64"
            and winograd.suits(
                shape[1:3],
                size=self.kernel_size[0],
                strides=self.strides[0],
                filters=self.filters,
            )
        )

    def convolution_op(self, inputs, kernel):
        by_units = dispatch.multiplies_matrices(self.compute_dtype)
        if by_units or not dispatch.on_processor() or not self._suits(inputs.shape):
            return super().convolution_op(inputs, kernel)
        maps = winograd.convolution(inputs, kernel, strides=self.strides[0], padding=self.padding)
        return keras.ops.cast(maps, self.compute_dtype)

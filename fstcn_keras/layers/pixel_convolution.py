"""The convolution of pixels, an image's first."""

import keras

from fstcn_keras.layers import execution, fusible


@keras.saving.register_keras_serializable(package="fstcn_keras")
class PixelConvolution2D(keras.layers.Conv2D):
    """A strided `Conv2D` without padding that suits few channels.

    Arguments, weights and numbers are those of `keras.layers.Conv2D`. Under JAX the strides of a
    plain one are folded into channels, see `fusible.strided_convolution`: matrix units want more
    than the three of an image.
    """

    def _is_plain(self) -> bool:
        """Whether it is square, and neither padded, dilated nor grouped."""
        square = len({*self.kernel_size}) == len({*self.strides}) == 1
        kind = self.padding, self.data_format, tuple(self.dilation_rate), self.groups
        return square and kind == ("valid", "channels_last", (1, 1), 1)

    def convolution_op(self, inputs, kernel):
        if execution.under_jax() and self._is_plain():
            return fusible.strided_convolution(inputs, kernel, self.strides[0])
        return super().convolution_op(inputs, kernel)

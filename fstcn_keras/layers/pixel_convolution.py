"""The convolution of pixels, an image's first."""

import keras

from fstcn_keras.acceleration import dispatch, xla_ops


@keras.saving.register_keras_serializable(package="fstcn_keras")
class PixelConvolution2D(keras.layers.Conv2D):
    """A strided `Conv2D` without padding that suits few channels.

    Arguments, weights and numbers are those of `keras.layers.Conv2D`. Under JAX the strides of a
    plain one are folded into channels, see `xla_ops.strided_convolution`: matrix units want more
    than the three of an image.
    """

    def convolution_op(self, inputs, kernel):
        if dispatch.under_jax() and self.padding == "valid" and dispatch.is_plain(self):
            return xla_ops.strided_convolution(inputs, kernel, self.strides[0])
        return super().convolution_op(inputs, kernel)

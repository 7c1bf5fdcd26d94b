"""The convolution of pixels, an image's first."""

import keras

from fstcn_keras.layers import fusible


@keras.saving.register_keras_serializable(package="fstcn_keras")
class PixelConvolution2D(keras.layers.Conv2D):
    """A strided `Conv2D` without padding that suits few channels.

    Arguments, weights and numbers are those of `keras.layers.Conv2D`. Under JAX its strides are
    folded into channels, see `fusible.strided_convolution`: matrix units want more than the three
    of an image.
    """

    def convolution_op(self, inputs, kernel):
        if fusible.used() and self.padding == "valid" and len(set(self.strides)) == 1:
            return fusible.strided_convolution(inputs, kernel, self.strides[0])
        return super().convolution_op(inputs, kernel)

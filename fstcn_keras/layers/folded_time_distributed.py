"""`TimeDistributed` without the loop over time."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="fstcn_keras")
class FoldedTimeDistributed(keras.layers.TimeDistributed):
    """Applies a layer to every frame of a clip, with time folded into the batch.

    The stock wrapper calls the layer once per time step; here one call sees `batch * l_t`
    frames. Outputs and gradients are those of the stock wrapper for every layer that treats the
    members of a batch alike and apart, as the spatial convolutional layers do. Masks are not
    supported.

    Args:
        layer: the layer or model that maps one frame, `(batch, ...)` to `(batch, ...)`.

    Input shape:
        `(batch, l_t, ...)`, `l_t` static.

    Output shape:
        `(batch, l_t, ...)`, the trailing axes those of `layer`'s output.

    Raises:
        ValueError: if the input has fewer than three axes.

    Reference:
        Sun et al. 2015, section 2.2 (individual frames are fed into the lower SCLs).
    """

    def call(self, inputs, training=None, mask=None):
        l_t = inputs.shape[1]
        frames = ops.reshape(inputs, (-1, *inputs.shape[2:]))  # (batch * l_t, ...)
        outputs = self.layer(frames)
        return ops.reshape(outputs, (-1, l_t, *outputs.shape[1:]))

"""Turns uint8 pixels into what the first convolution expects."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from fstcn_keras.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class PixelNormalization(keras.layers.Layer):
    """Turns RGB pixels into standardised floats: `(x - mean) / std` per channel.

    A frame is given its data set's mean; an absolute difference of two frames has the mean
    cancelled already and takes zero.

    Example:
        >>> layer = PixelNormalization((100, 100, 100), (50, 50, 50))
        >>> ops.convert_to_numpy(layer(ops.array([[0, 100, 200]], "uint8")))
        array([[-2.,  0.,  2.]], dtype=float32)

    Args:
        mean: three numbers, subtracted from red, green and blue; 0 to 255.
        std: three positive numbers, the divisors of red, green and blue.
        channel_order: `"rgb"`, or `"bgr"` to hand the channels on in reverse order.

    Input shape:
        `(..., 3)`, uint8 (or any number between 0 and 255), RGB.

    Output shape:
        The same, in the layer's compute dtype.

    Raises:
        ValueError: if `mean` or `std` does not hold three numbers, a divisor is not positive,
            or `channel_order` is neither `"rgb"` nor `"bgr"`.

    Reference:
        Design table, row "pixels".
    """

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], channel_order: str = "rgb", **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(
                "`mean` and `std` must hold three numbers, those of `std` positive. "
                f"Received: mean={mean}, std={std}"
            )
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(
                f"`channel_order` must be 'rgb' or 'bgr'. Received: channel_order={channel_order}"
            )
        self.mean = tuple(float(m) for m in mean)
        self.std = tuple(float(s) for s in std)
        self.channel_order = channel_order

    def call(self, x: Tensor) -> Tensor:
        """Returns the standardised pixels, `(..., 3)`."""
        x = (ops.cast(x, "float32") - ops.array(self.mean)) / ops.array(self.std)
        if self.channel_order == "bgr":
            x = ops.flip(x, axis=-1)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns the shape of the outputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "mean": self.mean,
            "std": self.std,
            "channel_order": self.channel_order,
        }

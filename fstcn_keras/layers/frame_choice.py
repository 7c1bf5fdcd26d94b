"""Chooses the one frame that feeds the spatial path."""

from typing import Any

import keras
from keras import ops

from fstcn_keras.tensors import Shape, Tensor


@keras.saving.register_keras_serializable(package="fstcn_keras")
class FrameChoice(keras.layers.Layer):
    """Keeps one frame of a clip: a random one in training, the middle one in inference.

    In training each clip of the batch draws its own frame, uniformly. In inference the frame
    `l_t // 2` is kept.

    Example:
        >>> clip = ops.reshape(ops.arange(5), (1, 5, 1))
        >>> int(FrameChoice()(clip)[0, 0])
        2

    Args:
        seed: seed of the draws; `None` takes one from Keras' global seed.

    Input shape:
        `(batch, l_t, ...)`, any dtype, `l_t` static.

    Output shape:
        `(batch, ...)`, the same dtype.

    Reference:
        Sun et al. 2015, section 2.2.
    """

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Returns the chosen frame of each clip, `(batch, ...)`."""
        l_t = x.shape[1]
        if not training:
            return x[:, l_t // 2]
        batch, frame = ops.shape(x)[0], x.shape[2:]
        chosen = keras.random.randint((batch,), 0, l_t, seed=self.seed_generator)
        frames = ops.reshape(x, (-1, *frame))  # those of all clips, one after another
        return ops.take(frames, chosen + l_t * ops.arange(batch, dtype="int32"), axis=0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Returns the shape of the outputs."""
        return (input_shape[0], *input_shape[2:])

    def compute_output_spec(
        self, x: keras.KerasTensor, training: bool = False
    ) -> keras.KerasTensor:
        """Returns shape and dtype of the outputs; the dtype is that of the inputs."""
        return keras.KerasTensor(self.compute_output_shape(x.shape), dtype=x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "seed": self.seed}

"""Passes the frames and the differences of clips through the backbone together.

The two encoders of FSTCN call it one after the other, on a sixth and on the rest of the images: a
training step of `small` then takes 1.00 times as long in float32 and 1.05 times in bfloat16, its
inference 1.03 and 1.05 times (batch 8, steps in turn, two cores of an Intel Xeon with AMX;
TensorFlow 2.21).
"""

from typing import Any

import keras
from keras import ops

from fstcn_keras.model import FSTCN, images_by_name
from fstcn_keras.parts import LOGITS
from fstcn_keras.tensors import Tensor


def replacements(layer: keras.Layer) -> dict[str, Any]:
    """Returns a `call` of a network of both paths that runs the backbone once.

    Example:
        >>> replacements(FSTCN(num_classes=3, preset="small", width=0.125, paths=["spatial"]))
        {}

    Args:
        layer: of any kind.
    """
    if not isinstance(layer, FSTCN):
        return {}
    choice, encoder, difference_encoder = (
        layer.frame_choice,
        layer.frame_encoder,
        layer.difference_encoder,
    )
    if choice is None or encoder is None or difference_encoder is None:  # of one path alone
        return {}
    frame_pixels, backbone, parallel_scl = encoder.layers
    difference_pixels, _, temporal_scl = difference_encoder.layers
    activation = keras.activations.get(layer.classifier_activation)

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Tensor:
        inputs = images_by_name(layer, inputs)
        frames = choice(inputs["clip"], training=training)  # (batch, h, w, 3)
        batch, l_t = ops.shape(frames)[0], inputs["clip_diff"].shape[1]
        differences = ops.reshape(inputs["clip_diff"], (-1, *frames.shape[1:]))
        images = [frame_pixels(frames), difference_pixels(differences)]
        maps = backbone(ops.concatenate(images), training=training)  # (batch + batch*l_t, h, w, f)
        # the gradient of a split is a concatenation; it takes a known length
        split = ops.split(maps, [batch]) if isinstance(batch, int) else (maps[:batch], maps[batch:])
        frame_maps, maps = split
        difference_maps = temporal_scl(maps)
        outputs = layer.head(
            {
                "frame": parallel_scl(frame_maps),
                "differences": ops.reshape(
                    difference_maps, (-1, l_t, *difference_maps.shape[1:])
                ),  # (batch, l_t, h, w, f')
            },
            training=training,
        )
        return activation(outputs[LOGITS])

    return {"call": call}

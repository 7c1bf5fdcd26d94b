"""A network that names what it can see, red, green or blue, and frames for it."""

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from fstcn_keras import ActionClassifier, ViewPlan

PLAN = ViewPlan(num_clips=2, short_side=32, crop_size=24, clip_length=2, stride=2, distance=3)
COLOURS = ("red", "green", "blue")


def save_colour_run(folder: Path) -> Path:
    """Its scores are the shares of the three colours in a clip."""
    inputs = {
        name: keras.Input((2, 24, 24, 3), dtype="uint8", name=name)
        for name in ("clip", "clip_diff")
    }
    levels = layers.GlobalAveragePooling3D()(layers.Rescaling(1 / 255)(inputs["clip"]))
    shares = levels / ops.sum(levels, axis=-1, keepdims=True)
    ActionClassifier(keras.Model(inputs, shares), classes=list(COLOURS), plan=PLAN).save(folder)
    return folder


def coloured(*seconds: str, fps: int = 10) -> np.ndarray:
    """Seconds of one colour each, with a fifth of its level in the others."""
    levels = np.full((len(COLOURS), 3), 40, np.uint8) + np.diag([160] * 3).astype(np.uint8)
    frames = np.repeat(levels[[COLOURS.index(name) for name in seconds]], fps, axis=0)
    return np.broadcast_to(frames[:, None, None], (len(frames), 48, 65, 3)).copy()

"""A video and a network to measure with, both of random numbers."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from fstcn_keras import ActionClassifier, ViewPlan, fstcn
from tests.videos import write_video


def coarse_video(path: Path, *, num_frames: int, square: int, seed: int = 0) -> Path:
    """Writes a video of 20 x 15 squares of random colours, each so many pixels wide."""
    shape = (num_frames, 15, 20, 3)
    squares = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return write_video(path, squares.repeat(square, axis=1).repeat(square, axis=2), codec="mpeg4")


def random_run(
    folder: Path, *, num_classes: int, preset: str = "small", num_clips: int = 5, **changed: Any
) -> Path:
    """Saves a network with random weights like a run; `changed` are fields of the preset."""
    keras.utils.set_random_seed(0)
    classes = [f"class {number}" for number in range(num_classes)]
    network = fstcn(num_classes=num_classes, preset=preset, **changed)
    plan = ViewPlan.from_config(network.config, num_clips=num_clips)
    ActionClassifier(network, classes=classes, plan=plan).save(folder)
    return folder

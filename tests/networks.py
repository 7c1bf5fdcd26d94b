"""Networks small enough for tests."""

import keras
import numpy as np

from fstcn_keras import FSTCN, ActionClassifier, ViewPlan, accelerate
from fstcn_keras.rejection import Rejection

TINY = {  # of `fstcn` and `auxiliary_classifier`; 68 pixels become maps of 3x3
    "preset": "small",
    "crop_size": 68,
    "short_side": 68,
    "clip_length": 3,
    "width": 0.125,
    "path_units": (16, 8),
    "joint_units": 8,
}
REJECTION = Rejection(
    share=0.1, threshold=-3.8, clip_threshold=-4.0, videos=20
)  # of `clear_classifier`


def outline(build=FSTCN, **arguments) -> keras.Model:
    """A model whose weights have shapes but take no memory: the paper's would take 1.1 GB."""
    with keras.StatelessScope(initialize_variables=False):
        model = build(**arguments)
    keras.utils.clear_session()  # forget that these weights still wait for their values
    return model


def with_clear_answers(model: FSTCN, *, factor: float = 100) -> FSTCN:
    """The network, its classifier's kernel so large that scores differ from view to view."""
    kernel = model.classifier.kernel
    kernel.assign(factor * kernel)
    return model


def clear_classifier() -> ActionClassifier:
    """An accelerated network of four classes and three clips a video, always the same."""
    keras.utils.set_random_seed(0)
    units = {"path_units": (32, 16), "joint_units": 16}
    model = FSTCN(num_classes=4, preset="small", width=0.25, crop_size=60, short_side=66, **units)
    plan = ViewPlan.from_config(model.config, num_clips=3)
    model = accelerate(with_clear_answers(model))
    classes = ["run", "déjà vu", "sit", "jump"]
    return ActionClassifier(model, classes=classes, plan=plan, rejection=REJECTION)


def random_pairs(number: int, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shape = (number, TINY["clip_length"], TINY["crop_size"], TINY["crop_size"], 3)
    return {
        name: generator.integers(0, 256, shape, dtype=np.uint8) for name in ("clip", "clip_diff")
    }

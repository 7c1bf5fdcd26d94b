"""Options that say how a network is trained; their defaults are those of the recipe."""

import math
from dataclasses import dataclass
from typing import Literal

from training.parts import check, option


@dataclass(frozen=True, kw_only=True)
class OptimizationOptions:
    """What pre-training on images and training on videos share."""

    recipe: Literal["paper", "modern"] | None = option(
        None, "defaults of what follows (default: paper for preset paper, else modern)"
    )
    optimizer: Literal["sgd", "adam", "adamw"] | None = option(None, "sgd is with momentum 0.9")
    batch_size: int | None = option(None, "samples in a batch, over all devices")
    label_smoothing: float | None = option(None, "share of the target spread over all classes")
    scales: tuple[float, ...] | None = option(
        None, "sides of training crops relative to the frames' short side, drawn at random"
    )

    def __post_init__(self):
        check(self, ["batch_size"], lambda size: size > 0, "be positive")
        check(self, ["label_smoothing"], lambda share: 0 <= share < 1, "lie in [0, 1)")
        check(self, ["scales"], lambda scales: all(0 < s <= 1 for s in scales), "lie in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """Epochs and rates of the stages."""

    weight_decay: float | None = option(None, "on kernels; that of adamw stands apart")
    auxiliary_epochs: int | None = option(
        None, "stage 2: passes over the training videos, one frame of each a pass; 0: no stage 2"
    )
    auxiliary_rate: float | None = option(None, "stage 2: highest learning rate")
    auxiliary_scl_rate: float | None = option(
        None, "stage 2: rate of layers loaded by --scl-weights, relative to the rest; 0: fixed"
    )
    head_epochs: int | None = option(
        None,
        "before stage 3: passes over the training videos that fix what --scl-weights loaded; "
        "0: no such stage",
    )
    head_rate: float | None = option(None, "before stage 3: highest learning rate")
    encoded_views: int | None = option(
        None,
        "before stage 3: views of each training video that backbone and SCLs, all fixed, encode "
        "once, so that an epoch takes seconds; 0: new views in every epoch, SCLs move if new",
    )
    path_views: Literal["same", "independent"] | None = option(
        None,
        "with --encoded-views: whether both paths see the same view of a video in a step, or each "
        "one of its own drawing, which makes more pairs of them",
    )
    epochs: int | None = option(
        None,
        "stage 3: passes over the training videos, one clip of each a pass; 0: no stage 3, after "
        "--head-epochs",
    )
    learning_rate: float | None = option(
        None, "stage 3: highest rate, after linear warm-up, before cosine decay"
    )
    scl_rate: float | None = option(
        None, "stage 3: rate of layers loaded by --scl-weights, relative to the rest; 0: fixed"
    )
    class_weights: Literal["none", "balanced"] = option(
        "none",
        "balanced: the loss of a class's videos is weighted by the inverse of their number, so "
        "that rare classes count as much as frequent ones",
    )
    min_steps: int | None = option(
        None,
        "steps that a stage lasts at least: a collection of few videos gets more passes "
        "(default: the recipe's; 0 where the epochs of the last stage are given)",
    )
    warmup_epochs: float | None = option(
        None,
        "epochs of linear warm-up of each stage, half of it at most (default: 2, a tenth at most)",
    )

    def __post_init__(self):
        rates = "learning_rate", "auxiliary_rate", "head_rate"
        shares = "scl_rate", "auxiliary_scl_rate", "weight_decay"
        check(self, [*rates, *shares], math.isfinite, "be finite")
        check(self, rates, lambda value: value > 0, "be positive")
        epochs = "auxiliary_epochs", "head_epochs", "epochs"
        not_negative = (*epochs, "encoded_views", "min_steps", *shares)
        check(self, not_negative, lambda value: value >= 0, "not be negative")

    def passes(self, epochs: int, steps_per_epoch: int) -> int:
        """Returns the epochs of a stage that is given so many, not 0, of so many steps."""
        return max(epochs, math.ceil(self.min_steps / steps_per_epoch))

    def warmup(self, epochs: int) -> float:
        """Returns the epochs of warm-up of a stage of so many epochs."""
        if self.warmup_epochs is None:
            return min(2.0, epochs / 10)
        return min(self.warmup_epochs, epochs / 2)

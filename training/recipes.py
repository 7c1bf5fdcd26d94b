"""How each preset is trained unless the command says otherwise."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of the stages that `fit` runs; every field is an option of the command.

    Attributes:
        optimizer: `"sgd"` with momentum 0.9 as in section 2.5 of the paper, `"adam"`, which
            divides the gradient, weight decay included, by its running magnitude, or `"adamw"`,
            whose weight decay stands apart.
        weight_decay: `wd` in the gradient term `wd * w` of every kernel; for AdamW the share of a
            kernel that a step takes off, times the learning rate.
        dropout: dropout probability after each fully-connected layer and TCL branch.
        batch_size: samples in a batch.
        auxiliary_epochs: passes over the training videos in stage 2, one frame of each a pass; 0
            leaves the stage out.
        auxiliary_rate: its highest learning rate, after the warm-up.
        auxiliary_scl_rate: rate of pre-trained layers in stage 2, relative to the others.
        head_epochs: passes over the training videos before stage 3, one clip of each a pass, in
            which pre-trained layers are fixed; 0 leaves the stage out.
        head_rate: its highest learning rate, after the warm-up.
        encoded_views: views of each training video that the fixed encoders encode once for it; 0
            draws new ones in every epoch.
        path_views: whether both paths see the `"same"` one of these views in a step, or each one
            of its own drawing, `"independent"`.
        epochs: passes over the training videos in stage 3, one clip of each a pass; 0 leaves it
            out.
        learning_rate: its highest learning rate, after the warm-up.
        scl_rate: rate of pre-trained layers in stage 3, relative to the others.
        min_steps: steps that each stage lasts at least: collections of few videos get more passes.
        label_smoothing: share of the target that is spread over all classes.
        scales: sides of the training crops relative to the frames' short side; without any, the
            crop is as large as the network's input.
    """

    optimizer: str
    weight_decay: float
    dropout: float
    batch_size: int
    auxiliary_epochs: int
    auxiliary_rate: float
    auxiliary_scl_rate: float
    epochs: int
    learning_rate: float
    scl_rate: float
    head_epochs: int = 0
    head_rate: float = 3e-4
    encoded_views: int = 0
    path_views: str = "same"
    min_steps: int = 0
    label_smoothing: float = 0.0
    scales: tuple[float, ...] = ()


_PAPER = Recipe(
    optimizer="sgd",
    weight_decay=5e-4,
    dropout=0.5,
    batch_size=32,
    auxiliary_epochs=50,
    auxiliary_rate=1e-2,
    auxiliary_scl_rate=0.0,
    epochs=100,
    learning_rate=1e-2,
    scl_rate=1.0,
)

_FINE_TUNED = Recipe(  # half the paper's batch keeps it under 4 GB
    optimizer="adam",
    weight_decay=5e-4,
    dropout=0.2,
    batch_size=16,
    auxiliary_epochs=0,
    auxiliary_rate=1e-4,
    auxiliary_scl_rate=0.1,
    epochs=15,
    learning_rate=1e-4,
    scl_rate=0.1,
    min_steps=600,
)

RECIPES = {
    ("paper", "paper"): _PAPER,
    ("paper", "small"): _PAPER,
    ("paper", "squeeze"): _PAPER,
    ("paper", "lite"): _PAPER,
    ("modern", "paper"): dataclasses.replace(_PAPER, label_smoothing=0.1),
    ("modern", "small"): Recipe(
        optimizer="adam",
        weight_decay=5e-4,
        dropout=0.2,
        batch_size=32,
        auxiliary_epochs=0,
        auxiliary_rate=1e-3,
        auxiliary_scl_rate=1.0,
        epochs=40,
        learning_rate=1e-3,
        scl_rate=1.0,
        min_steps=200,
    ),
    ("modern", "squeeze"): _FINE_TUNED,
    ("modern", "lite"): dataclasses.replace(  # chosen by training.tune, see docs/results.md
        _FINE_TUNED,
        optimizer="adamw",
        weight_decay=1e-2,
        head_epochs=30,
        encoded_views=8,
        path_views="independent",
        epochs=0,
        label_smoothing=0.1,
    ),
}

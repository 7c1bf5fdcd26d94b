"""How each preset is trained unless the command says otherwise."""

from dataclasses import dataclass

import keras


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Optimiser settings.

    Attributes:
        optimizer: `"sgd"` with momentum 0.9 as in section 2.5 of the paper, or `"adam"`.
        learning_rate: the highest rate, after the warm-up.
        epochs: passes over the training videos, one clip of each a pass.
    """

    optimizer: str
    learning_rate: float
    epochs: int


# The wider a fully-connected layer's input, the smaller the steps of Adam that it bears.
RECIPES = {
    "paper": Recipe(optimizer="sgd", learning_rate=1e-2, epochs=100),
    "small": Recipe(optimizer="adam", learning_rate=1e-3, epochs=40),
    "squeeze": Recipe(optimizer="adam", learning_rate=1e-4, epochs=40),
}


def build_optimizer(
    name: str, *, learning_rate: float, warmup_steps: int, total_steps: int
) -> keras.optimizers.Optimizer:
    """The optimiser with linear warm-up from zero, then cosine decay to zero.

    Args:
        name: `"sgd"` or `"adam"`.
        learning_rate: the highest rate, reached after the warm-up.
        warmup_steps: steps of the warm-up, fewer than `total_steps`.
        total_steps: steps of the whole training.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=total_steps - warmup_steps,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    if name == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9)
    return keras.optimizers.Adam(schedule)

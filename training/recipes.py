"""How each preset is trained unless the command says otherwise."""

from collections.abc import Iterable
from dataclasses import dataclass

import keras


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Optimiser settings.

    Attributes:
        optimizer: `"sgd"` with momentum 0.9 as in section 2.5 of the paper, or `"adam"`, which
            divides the gradient, weight decay included, by its running magnitude.
        learning_rate: the highest rate, after the warm-up.
        epochs: passes over the training videos, one clip of each a pass.
        batch_size: clips in a batch.
    """

    optimizer: str
    learning_rate: float
    epochs: int
    batch_size: int = 32


# The wider a fully-connected layer's input, the smaller the steps of Adam that it bears. Half the
# paper's batch keeps the fine-tuning of SqueezeNet under 4 GB.
RECIPES = {
    "paper": Recipe(optimizer="sgd", learning_rate=1e-2, epochs=100),
    "small": Recipe(optimizer="adam", learning_rate=1e-3, epochs=40),
    "squeeze": Recipe(optimizer="adam", learning_rate=1e-4, epochs=30, batch_size=16),
}


class _SlowVariables:
    """Mixin: an optimiser that moves some variables at a fraction of its learning rate."""

    def __init__(self, learning_rate, *, slow_variables, slow_rate: float, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._slow_paths = {variable.path for variable in slow_variables}
        self._slow_rate = slow_rate

    def build(self, variables):
        super().build(variables)
        self._slow = {
            i for i, variable in enumerate(variables) if variable.path in self._slow_paths
        }

    def update_step(self, gradient, variable, learning_rate):
        if self._get_variable_index(variable) in self._slow:
            learning_rate = learning_rate * self._slow_rate
        super().update_step(gradient, variable, learning_rate)


class FineTuningSGD(_SlowVariables, keras.optimizers.SGD):
    """SGD that fine-tunes."""


class FineTuningAdam(_SlowVariables, keras.optimizers.Adam):
    """Adam that fine-tunes."""


def build_optimizer(
    name: str,
    *,
    learning_rate: float,
    warmup_steps: int,
    total_steps: int,
    slow_variables: Iterable[keras.Variable] = (),
    slow_rate: float = 1.0,
) -> keras.optimizers.Optimizer:
    """The optimiser with linear warm-up from zero, then cosine decay to zero.

    Args:
        name: `"sgd"` or `"adam"`.
        learning_rate: the highest rate, reached after the warm-up.
        warmup_steps: steps of the warm-up, fewer than `total_steps`.
        total_steps: steps of the whole training.
        slow_variables: those that move at `slow_rate` times the rate.
        slow_rate: factor for them.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(1, total_steps - warmup_steps),
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    slow = {"slow_variables": slow_variables, "slow_rate": slow_rate}
    return (
        FineTuningSGD(schedule, momentum=0.9, **slow)
        if name == "sgd"
        else FineTuningAdam(schedule, **slow)
    )

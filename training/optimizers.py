"""Optimisers with a schedule, some of whose variables may move more slowly."""

from collections.abc import Mapping

import keras


class _RatedVariables:
    """Mixin: an optimiser that moves some variables at a fraction of its learning rate."""

    def __init__(self, learning_rate, *, rates: Mapping[str, float], **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._rates = dict(rates)

    def update_step(self, gradient, variable, learning_rate):
        path = self._trainable_variables[self._get_variable_index(variable)].path
        super().update_step(gradient, variable, learning_rate * self._rates.get(path, 1.0))


class FineTuningSGD(_RatedVariables, keras.optimizers.SGD):
    """SGD that fine-tunes."""


class FineTuningAdamW(_RatedVariables, keras.optimizers.AdamW):
    """AdamW that fine-tunes."""


class FineTuningAdam(_RatedVariables, keras.optimizers.Adam):
    """Adam that fine-tunes."""


def build_optimizer(
    name: str,
    *,
    learning_rate: float,
    warmup_steps: int,
    total_steps: int,
    rates: Mapping[str, float],
    weight_decay: float = 0.0,
    loss_scale: bool = False,
) -> keras.Optimizer:
    """The optimiser with linear warm-up from zero, then cosine decay to zero.

    Args:
        name: `"sgd"`, `"adam"` or `"adamw"`.
        learning_rate: the highest rate, reached after the warm-up.
        warmup_steps: steps of the warm-up, fewer than `total_steps`.
        total_steps: steps of the whole training.
        rates: factor on the rate of some variables, by their path.
        weight_decay: of AdamW, on kernels: share of the weight that a step at rate 1 takes off.
        loss_scale: whether to scale the loss so that float16 gradients do not vanish.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(1, total_steps - warmup_steps),
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    if name == "sgd":
        optimizer = FineTuningSGD(schedule, momentum=0.9, rates=rates)
    elif name == "adam":
        optimizer = FineTuningAdam(schedule, rates=rates)
    else:
        optimizer = FineTuningAdamW(schedule, weight_decay=weight_decay, rates=rates)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return keras.optimizers.LossScaleOptimizer(optimizer) if loss_scale else optimizer

"""Optimisers with a schedule, some of whose variables may move more slowly."""

from collections.abc import Mapping

import keras
import tensorflow as tf

NOT_DECAYED = ("bias", "gamma", "beta")  # the last part of the paths of what is no kernel


class _FineTuning:
    """Mixin: an optimiser with a rate for each variable, and weight decay for kernels alone.

    Where the decay is a term `wd * w` of the gradient, its numbers are those of
    `keras.regularizers.L2(wd / 2)` on the kernels. As a part of the loss it would cost four more
    passes over all weights.
    """

    def __init__(self, learning_rate, *, rates: Mapping[str, float], kernel_decay: float, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self._rates = dict(rates)
        self._kernel_decay = kernel_decay

    def _rate(self, variable) -> float:
        return self._rates.get(self._path(variable), 1.0)

    def _decay(self, variable) -> float:
        is_kernel = self._path(variable).split("/")[-1] not in NOT_DECAYED
        return self._kernel_decay if is_kernel else 0.0

    def _path(self, variable) -> str:
        # on several devices the variable is one device's part, which has another name
        return self._trainable_variables[self._get_variable_index(variable)].path


class FineTuningSGD(_FineTuning, keras.optimizers.SGD):
    """SGD with momentum whose step is two operations in place.

    ```
    velocity = momentum * (velocity - rate * wd / momentum * w) - rate * gradient
    w = w + velocity
    ```
    """

    def update_step(self, gradient, variable, learning_rate):
        learning_rate = learning_rate * self._rate(variable)
        velocity = self.momentums[self._get_variable_index(variable)].value
        if decay := self._decay(variable):
            tf.raw_ops.ResourceApplyGradientDescent(
                var=velocity.handle,
                alpha=learning_rate * decay / self.momentum,
                delta=variable,
            )
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.handle,
            lr=learning_rate,
            grad=gradient,
            momentum=self.momentum,
        )


class _AdamInPlace(_FineTuning, keras.optimizers.Adam):
    """Adam whose step is one operation, where Keras' takes twelve."""

    def update_step(self, gradient, variable, learning_rate):
        number = self._get_variable_index(variable)
        step = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[number].value.handle,
            v=self._velocities[number].value.handle,
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate * self._rate(variable),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FineTuningAdam(_AdamInPlace):
    """Adam that divides the gradient, its decay included, by its running magnitude."""

    def update_step(self, gradient, variable, learning_rate):
        if decay := self._decay(variable):
            gradient = gradient + decay * variable
        super().update_step(gradient, variable, learning_rate)


class FineTuningAdamW(_AdamInPlace):
    """AdamW: before a step of Adam every kernel loses `rate * wd` of itself."""

    def update_step(self, gradient, variable, learning_rate):
        if decay := self._decay(variable):
            tf.raw_ops.ResourceApplyGradientDescent(
                var=variable.handle,
                alpha=learning_rate * self._rate(variable) * decay,
                delta=variable,
            )
        super().update_step(gradient, variable, learning_rate)


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
    """Builds the optimiser with linear warm-up from zero, then cosine decay to zero.

    Args:
        name: `"sgd"`, `"adam"` or `"adamw"`.
        learning_rate: the highest rate, reached after the warm-up.
        warmup_steps: steps of the warm-up, fewer than `total_steps`.
        total_steps: steps of the whole training.
        rates: factor on the rate of some variables, by their path.
        weight_decay: on kernels: `wd` in the gradient term `wd * w`; of AdamW the share of the
            weight that a step at rate 1 takes off.
        loss_scale: whether to scale the loss so that float16 gradients do not vanish.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else learning_rate,
        decay_steps=max(1, total_steps - warmup_steps),
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    own = {"rates": rates, "kernel_decay": weight_decay}
    if name == "sgd":
        optimizer = FineTuningSGD(schedule, momentum=0.9, **own)
    else:
        optimizer = {"adam": FineTuningAdam, "adamw": FineTuningAdamW}[name](schedule, **own)
    return keras.optimizers.LossScaleOptimizer(optimizer) if loss_scale else optimizer

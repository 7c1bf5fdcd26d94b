"""Steps of the accelerated network in Keras on JAX, for `benchmarks.gpu`; without TensorFlow."""

import functools

import jax
import jax.numpy as jnp
import keras
from keras import ops

from benchmarks import flops
from benchmarks.workers import NUM_CLASSES, Work
from fstcn_keras import PRESETS, accelerate, fstcn


def step(*, network: str, phase: str, batch: int, repeats: int) -> Work:
    """A training step (forward, loss, backward, update) or a forward pass, in mixed bfloat16.

    Args:
        network: the preset.
        phase: `"training"` or `"inference"`.
        batch: clips of a step; they stay on the device.
        repeats: steps of a call, synchronised once.
    """
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = accelerate(fstcn(num_classes=NUM_CLASSES, preset=network))
    inputs, labels = _batch(network, batch)
    if phase == "training":
        count = flops.training_flops(model)
        call = _training(model, inputs, labels, repeats, PRESETS[network].weight_decay)
    else:
        count = flops.inference_flops(model)
        call = _inference(model, inputs, repeats)
    return Work(call, repeats * batch * count)


def peak(*, precision: str, size: int, repeats: int) -> Work:
    """A product of two square matrices."""
    left, right = jax.random.normal(jax.random.key(0), (2, size, size), precision)
    product = jax.jit(jnp.matmul)

    def call():
        for _ in range(repeats):
            result = product(left, right)
        result.block_until_ready()

    return Work(call, repeats * 2 * size**3)


def device() -> str:
    """Name of the device that JAX computes on."""
    return jax.devices()[0].device_kind


def reason(error: Exception) -> str | None:
    """Why the machine cannot, see `Worker`."""
    # JAX has one type for all errors of its runtime: the status stands in the text alone
    if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
        return "out of memory"
    return None


def _training(model: keras.Model, inputs: dict, labels: jax.Array, repeats: int, decay: float):
    """A function that does `repeats` training steps, with `decay * w` in the gradients.

    The memory of the state is handed on from step to step; the model's own is gone with the first.
    """
    optimizer = keras.optimizers.SGD(1e-3, momentum=0.9)
    optimizer.build(model.trainable_variables)

    def objective(trainable, non_trainable, inputs, labels):
        probabilities, non_trainable = model.stateless_call(
            trainable, non_trainable, inputs, training=True
        )
        targets = ops.one_hot(labels, NUM_CLASSES)
        return ops.mean(ops.categorical_crossentropy(targets, probabilities)), non_trainable

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state, inputs, labels):
        trainable, non_trainable, slots = state
        derive = jax.value_and_grad(objective, has_aux=True)
        (loss, non_trainable), gradients = derive(trainable, non_trainable, inputs, labels)
        gradients = [g + decay * w for g, w in zip(gradients, trainable, strict=True)]
        trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
        return (trainable, non_trainable, slots), loss

    variables = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    state = tuple([variable.value for variable in group] for group in variables)

    def call():
        nonlocal state
        for _ in range(repeats):
            state, loss = step(state, inputs, labels)
        jax.block_until_ready((state, loss))

    return call


def _inference(model: keras.Model, inputs: dict, repeats: int):
    """A function that does `repeats` forward passes."""

    @jax.jit
    def forward(trainable, non_trainable, inputs):
        return model.stateless_call(trainable, non_trainable, inputs, training=False)[0]

    groups = (model.trainable_variables, model.non_trainable_variables)
    state = [[variable.value for variable in group] for group in groups]

    def call():
        for _ in range(repeats):
            probabilities = forward(*state, inputs)
        probabilities.block_until_ready()

    return call


def _batch(network: str, batch: int) -> tuple[dict, jax.Array]:
    """Inputs and labels, on the device."""
    config = PRESETS[network]
    shape = (batch, config.clip_length, config.crop_size, config.crop_size, 3)
    keys = jax.random.split(jax.random.key(0), 3)
    inputs = {
        name: jax.random.randint(key, shape, 0, 256, "uint8")
        for name, key in zip(("clip", "clip_diff"), keys, strict=False)
    }
    return inputs, jax.random.randint(keys[2], (batch,), 0, NUM_CLASSES)

"""The devices that training runs on, and the number format that is fast on them."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import keras
import numpy as np
import tensorflow as tf

from fstcn_keras.backbones import get_backbone
from fstcn_keras.processor import multiplies_bfloat16
from fstcn_keras.runs import RunFolder
from training.cluster import Cluster, ended_by_loss, waiting_for
from training.errors import UserError
from training.locks import locked
from training.parts import Options, replaced

PART = 2**24  # numbers that are sent at once


def device_strategy() -> tf.distribute.Strategy:
    """Returns `MirroredStrategy` over all visible GPUs, or over the logical CPUs without any.

    With the environment variable `TF_CONFIG`, the description of a cluster of machines as
    TensorFlow defines it, `MultiWorkerMirroredStrategy` over the devices of all workers. It must
    then come before anything else that computes.

    Raises:
        UserError: if `TF_CONFIG` is wrong.
    """
    if cluster := Cluster.from_environment():
        with waiting_for(cluster):
            return tf.distribute.MultiWorkerMirroredStrategy()
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    return tf.distribute.MirroredStrategy(devices)


@contextlib.contextmanager
def training_devices(batch_sizes: Iterable[int]) -> Iterator[tf.distribute.Strategy]:
    """Yields `device_strategy`; a worker that loses another one within ends, see `ended_by_loss`.

    Args:
        batch_sizes: of all that is to be trained on the devices.

    Raises:
        UserError: if one of them does not divide over the devices, and as `device_strategy` does.
    """
    with ended_by_loss(Cluster.from_environment()):
        strategy = device_strategy()
        count = strategy.num_replicas_in_sync
        for size in batch_sizes:
            if size % count:
                raise UserError(
                    f"--batch-size {size} does not divide over {count} devices: give a multiple of "
                    f"{count}"
                )
        yield strategy


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Returns how many processes train together."""
    resolver = strategy.cluster_resolver
    jobs = resolver.cluster_spec().as_dict() if resolver else {}
    return sum(map(len, jobs.values())) or 1


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes files: the first worker, or the only one."""
    cluster = Cluster.from_environment()
    return num_workers(strategy) == 1 or cluster is None or cluster.number == 0


def describe(strategy: tf.distribute.Strategy) -> str:
    """Returns `1 CPU`, `2 GPUs`, `8 GPUs of 2 workers`."""
    count, workers = strategy.num_replicas_in_sync, num_workers(strategy)
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    text = f"{count} {kind}{'s' if count > 1 else ''}"
    return f"{text} of {workers} workers" if workers > 1 else text


def sum_over_workers(strategy: tf.distribute.Strategy, number: float) -> float:
    """Sums every worker's number; no worker goes on before all have come here."""
    if num_workers(strategy) == 1:
        return number
    replicas = strategy.num_replicas_in_sync // num_workers(strategy)
    return float(_summing(strategy, tf.float64)(tf.constant([number], tf.float64))[0]) / replicas


def take_from_chief(strategy: tf.distribute.Strategy, variables: Iterable[keras.Variable]):
    """Sets every worker's variables to the values that they have at the first worker."""
    if num_workers(strategy) == 1:
        return

    total = _summing(strategy, tf.int64)
    chief = is_chief(strategy)
    replicas = strategy.num_replicas_in_sync // num_workers(strategy)
    variables = list(variables)
    while variables:
        part = [variables.pop(0)]
        while variables and sum(math.prod(v.shape) for v in [*part, variables[0]]) < PART:
            part.append(variables.pop(0))
        values = [tf.convert_to_tensor(variable.value).numpy() for variable in part]
        sent = b"".join(value.tobytes() for value in values)
        # half of each integer stays empty: sums over the replicas of a worker are exact
        words = np.frombuffer(sent + bytes(-len(sent) % 4), np.uint32).astype(np.int64) * chief
        taken = (total(tf.constant(words)).numpy() // replicas).astype(np.uint32).tobytes()
        for variable, value in zip(part, values, strict=True):
            own, taken = taken[: value.nbytes], taken[value.nbytes :]
            variable.assign(np.frombuffer(own, value.dtype).reshape(value.shape))


def _summing(strategy: tf.distribute.Strategy, dtype: tf.DType):
    """Returns a function that sums vectors over all replicas."""

    @tf.function(autograph=False, jit_compile=False, input_signature=[tf.TensorSpec([None], dtype)])
    def total(value):
        values = strategy.run(lambda value: value, args=(value,))
        return strategy.reduce("SUM", values, axis=None)

    return total


def alone(run: RunFolder, strategy: tf.distribute.Strategy) -> AbstractContextManager:
    """Holds the run folder for this process and its workers: no other trains in it meanwhile."""
    return locked(run.path, "trains") if is_chief(strategy) else contextlib.nullcontext()


def with_precision(options: Options) -> Options:
    """Returns the options of a run, with the number format that `auto` means on these devices.

    Looks at the devices, and so must come after `device_strategy`.
    """
    if options.run.precision != "auto":
        return options
    depthwise = get_backbone(options.backbone.scl).depthwise
    return replaced(options, precision=fast_precision(depthwise=depthwise))


def fast_precision(*, depthwise: bool = False) -> str:
    """Returns `"mixed_bfloat16"` where the processor multiplies bfloat16, else `"float32"`.

    Args:
        depthwise: see `Backbone`; such a network is trained in float32 on a processor.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        return "mixed_bfloat16" if capability and capability >= (8, 0) else "float32"
    return "mixed_bfloat16" if multiplies_bfloat16() and not depthwise else "float32"

"""The devices that training runs on, and the number format that is fast on them."""

import json
import os
from pathlib import Path

import tensorflow as tf

from training.cli import UserError


def device_strategy(*, batch_size: int) -> tf.distribute.Strategy:
    """`MirroredStrategy` over all visible GPUs, or over the logical CPUs if there is none.

    With the environment variable `TF_CONFIG`, the description of a cluster of machines as
    TensorFlow defines it, `MultiWorkerMirroredStrategy` over the devices of all workers. It must
    then come before anything else that computes.

    Raises:
        UserError: if the batch does not divide over the devices.
    """
    if "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
        devices = [device.name for device in tf.config.list_logical_devices(kind)]
        strategy = tf.distribute.MirroredStrategy(devices)
    count = strategy.num_replicas_in_sync
    if batch_size % count:
        raise UserError(f"--batch-size {batch_size} does not divide over {count} devices")
    return strategy


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files: the first worker, or the only one."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id in (None, 0)


def describe(strategy: tf.distribute.Strategy) -> str:
    """`1 CPU`, `2 GPUs`, `8 GPUs of 2 workers`."""
    count = strategy.num_replicas_in_sync
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    text = f"{count} {kind}{'s' if count > 1 else ''}"
    if "TF_CONFIG" in os.environ:
        text += f" of {len(json.loads(os.environ['TF_CONFIG'])['cluster']['worker'])} workers"
    return text


def fast_precision() -> str:
    """`"mixed_bfloat16"` where the processor multiplies bfloat16 itself, else `"float32"`."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
        return "mixed_bfloat16" if capability and capability >= (8, 0) else "float32"
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    native = "avx512_bf16" in flags or "amx_bf16" in flags
    return "mixed_bfloat16" if native else "float32"

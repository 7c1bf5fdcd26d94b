"""The devices that training runs on, and the number format that is fast on them."""

from pathlib import Path

import tensorflow as tf

from training.cli import UserError


def device_strategy(*, batch_size: int) -> tf.distribute.MirroredStrategy:
    """`MirroredStrategy` over all visible GPUs, or over the logical CPUs if there is none.

    Raises:
        UserError: if the batch does not divide over the devices.
    """
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if batch_size % len(devices):
        raise UserError(f"--batch-size {batch_size} does not divide over {len(devices)} devices")
    return tf.distribute.MirroredStrategy(devices)


def describe(strategy: tf.distribute.Strategy) -> str:
    """`1 CPU`, `2 GPUs`."""
    count = strategy.num_replicas_in_sync
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return f"{count} {kind}{'s' if count > 1 else ''}"


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

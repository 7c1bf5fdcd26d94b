"""The settings of a command's process, made in one place."""

import os
import sys
from pathlib import Path

from fstcn_keras.allocation import keep_few_arenas, set_up_allocation
from fstcn_keras.import_log import quieten_tensorflow

# Keras imports them for wrappers and conversions that no command uses, where they are installed
UNUSED_BY_KERAS = ("matplotlib", "pandas", "sklearn")
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # of NVIDIA's driver, and WSL's


class BackendError(Exception):
    """Keras is set to a backend that the command cannot work with."""


def set_up_process(*, tensorflow: bool = False) -> None:
    """Makes the settings of this process; nothing may have imported Keras or TensorFlow yet.

    A command's `main` calls it first; a library's user never gets it.

    Args:
        tensorflow: for what trains and judges networks: Keras must run on TensorFlow, and memory
            lies in large pages.

    Raises:
        BackendError: if the environment names another backend than TensorFlow.
    """
    set_up_environment()
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] != "0":
        quieten_tensorflow()
    os.environ["FSTCN_KERAS_LAZY"] = "1"  # of processes that decode for this one
    if not tensorflow:
        return
    if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
        raise BackendError(
            "training needs Keras' TensorFlow backend, "
            f"got KERAS_BACKEND={os.environ['KERAS_BACKEND']}: unset it"
        )
    set_up_allocation()


def import_keras() -> None:
    """Imports Keras in three quarters of its time: without packages that it has no need of.

    They are as if not installed meanwhile, for this process alone, and can be imported afterwards.
    For the commands after which a person waits; a library's user never gets it.
    """
    if "keras" in sys.modules:
        return
    hidden = [name for name in UNUSED_BY_KERAS if name not in sys.modules]
    try:
        for name in hidden:
            sys.modules[name] = None  # type: ignore[assignment]  # it cannot be imported
        import keras  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]


def limit_memory(mib: int) -> None:
    """Lets this process take so many MiB more addresses than it has, where Linux tells.

    What decodes files that may come from anyone gets such a limit: few bytes can claim much.
    """
    statistics = Path("/proc/self/statm")
    if not statistics.exists():
        return
    import resource  # not on all systems

    keep_few_arenas()
    taken = int(statistics.read_text().split()[0]) * resource.getpagesize()
    most = taken + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def set_up_environment() -> None:
    """Sets what TensorFlow reads when it is imported, where the environment does not yet.

    By itself TensorFlow uses oneDNN only on processors with AVX-512 VNNI or wider instructions;
    on others too its convolutions are faster (`python -m benchmarks.settings`). With an NVIDIA GPU
    its log tells warnings and errors, which say why one is not used; without, nothing: errors that
    matter are raised, and the log's are of the GPU that is not there.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    has_gpu = any(device.exists() for device in GPU_DEVICES)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1" if has_gpu else "3")

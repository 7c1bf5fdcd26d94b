"""Keeps from a command's stderr what TensorFlow logs while it is imported.

Two of its libraries log there before they know of any log level: five lines on every computer
without a GPU. For commands; a library's user never gets it.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NOISE = (  # how the lines begin that tell no user anything
    b"WARNING: All log messages before absl::InitializeLog()",
    b"I0000 ",
    b"To enable the following instructions:",
)
FORWARD = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
for line in sys.stdin.buffer:
    if not line.startswith({NOISE!r}):
        os.write(2, line)
"""
WAIT_S = 1.0


def quieten_tensorflow() -> None:
    """Has TensorFlow imported without these lines, whenever in this process that happens.

    Example:
        >>> quieten_tensorflow()
        >>> [type(finder).__name__ for finder in sys.meta_path].count("_QuietFinder")
        1
    """
    if not any(isinstance(finder, _QuietFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietFinder())


@contextlib.contextmanager
def _noise_dropped() -> Iterator[None]:
    """Sends what is written to stderr through a process that leaves out `NOISE`.

    A process, as nothing else is lost then: it writes on if this one is aborted, and for processes
    that this one starts meanwhile, as long as they live.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # closed: nobody reads it
        yield
        return
    forwarder = None
    with contextlib.suppress(OSError):
        command = [sys.executable, "-I", "-S", "-c", FORWARD]
        forwarder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        assert forwarder.stdin is not None
        os.dup2(forwarder.stdin.fileno(), 2)
        forwarder.stdin.close()
    try:
        yield
    finally:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(stderr, 2)
        os.close(stderr)
        if forwarder is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                forwarder.wait(WAIT_S)


class _QuietFinder(MetaPathFinder):
    """Finds TensorFlow where the other finders do, and has it loaded quietly."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != "tensorflow":
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _QuietLoader(spec.loader)
                return spec
        return None


class _QuietLoader(Loader):
    """Loads a module as its own loader does, quietly."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _noise_dropped():
            self._loader.exec_module(module)

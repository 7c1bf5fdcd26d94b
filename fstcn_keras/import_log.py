"""Keeps from a command's stderr what TensorFlow logs while it is imported.

Two of its libraries log there, seven lines on every computer without a GPU, before they know of any
log level. For commands; a library's user never gets it.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from fstcn_keras.processor import instructions

NOISE = (  # how the lines begin that tell no user anything
    b"WARNING: All log messages before absl::InitializeLog()",
    b"I0000 ",
    b"To enable the following instructions:",
)


def quieten_tensorflow() -> None:
    """Has TensorFlow imported without these lines, whenever in this process that happens.

    A processor without AVX has it abort while it is imported: there its own words must be seen.
    """
    found = instructions()
    if "tensorflow" not in sys.modules and (not found or "avx" in found):
        sys.meta_path.insert(0, _QuietFinder())


@contextlib.contextmanager
def noise_dropped() -> Iterator[None]:
    """Holds back what is written to stderr, and writes all of it but `NOISE` at the end."""
    try:
        stderr = os.dup(2)
    except OSError:  # closed: nobody reads it
        yield
        return
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            log.seek(0)
            for line in log:
                if not line.startswith(NOISE):
                    os.write(2, line)


class _QuietFinder(MetaPathFinder):
    """Finds TensorFlow where it is, once, and has it loaded quietly."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> Any:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    """Loads a module as its own loader does, quietly."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with noise_dropped():
            self._loader.exec_module(module)

"""Something done around the import of a package, whoever imports it and whenever."""

import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager

from fstcn_keras.acceleration.processor import instructions


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, package: str, context: Callable[[], AbstractContextManager]):
        self.package = package
        self.context = context

    def find_spec(self, name, path, target=None):
        if name != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_in_context(module):
                with self.context():
                    execute(module)

            spec.loader.exec_module = execute_in_context
        return spec


def around_import(package: str, context: Callable[[], AbstractContextManager]):
    """From now on the first import of the package runs inside `context()`.

    Modules that need not have a heavy package then need not import it for the sake of what must
    be done when it comes. Nothing happens if it has been imported already.
    """
    sys.meta_path.insert(0, _Finder(package, context))


def set_up_tensorflow():
    """From now on TensorFlow computes with oneDNN and keeps its log off the terminal.

    By itself TensorFlow uses oneDNN only on processors with AVX-512 VNNI or wider instructions;
    on others too its convolutions are faster (`python -m benchmarks.settings`). What the
    environment sets already stays as it is. If TensorFlow's import fails, its log is printed; it
    is not held back at all on processors that TensorFlow aborts on.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    around_import("tensorflow", _native_stderr_held_back)


@contextlib.contextmanager
def _native_stderr_held_back():
    """Keeps off the terminal what TensorFlow's C++ prints before its log level is read.

    If the import fails, everything held back is printed after all. Nothing is held back where
    there is no place for it, nor on processors without AVX: TensorFlow prints why and aborts.
    """
    with contextlib.ExitStack() as stack:
        try:
            terminal = os.dup(2)
            stack.callback(os.close, terminal)
            held_back = stack.enter_context(tempfile.TemporaryFile())
        except OSError:  # standard error is closed, or no folder can be written to
            held_back = None
        if held_back is None or "avx" not in (instructions() or {"avx"}):
            yield
            return
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(held_back.fileno(), 2)
        stack.callback(os.dup2, terminal, 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(terminal, held_back.read())
            raise

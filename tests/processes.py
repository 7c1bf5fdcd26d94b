"""Python in a process of its own; where the project lies, and real data beside it."""

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"  # tests of it are skipped where it is not
HANG_S = 600  # after which what should end hangs, on however busy a machine


def run_python(
    code: str,
    *arguments: object,
    cwd: Path = ROOT,
    without: Collection[str] = ("FSTCN_KERAS_LAZY",),
    **environment: str,
) -> str:
    """What the code prints, in this environment without some variables and with others."""
    inherited = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_command(module: str, *arguments: object, cwd: Path = ROOT, **environment: str):
    """The completed process of `python -m MODULE ARGUMENTS`, however it ends."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )


def start_python(*arguments: object, stderr: int = subprocess.PIPE, **environment: str):
    """A running process of Python with these arguments, its output to be read."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )

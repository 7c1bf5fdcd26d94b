"""Python in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[1]


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

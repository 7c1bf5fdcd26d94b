"""CSV files that name the machine, the versions, the day and the command."""

import csv
import datetime
import importlib.metadata
import io
import json
import os
import platform
import re
import resource
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fstcn_keras.files import atomic_write_text
from fstcn_keras.processor import vector_instructions

RESULTS = Path(__file__).parent / "results"
LIMITS = (  # environment variables that keep libraries from a processor's wider instructions
    "ONEDNN_MAX_CPU_ISA",
    "MKL_ENABLE_INSTRUCTIONS",
    "XLA_FLAGS",
)
PACKAGES = (
    *("tensorflow", "keras", "torch", "jax", "onnxruntime", "ai-edge-litert"),
    *("numpy", "av", "array_record"),
)


def write_csv(name: str, rows: list[dict]):
    """Writes `benchmarks/results/NAME.csv`, a comment line of circumstances first."""
    RESULTS.mkdir(exist_ok=True)
    text = io.StringIO()
    text.write(f"# {circumstances()}\n")
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(RESULTS / f"{name}.csv", text.getvalue())
    print(f"{circumstances()}\nwritten to {RESULTS / f'{name}.csv'}")


def print_table(rows: list[dict]):
    """Prints the rows under their names, columns as wide as what is in them."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (f"{value:{width}}" for value, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def circumstances() -> str:
    """Processor, cores, versions, date and command, in one line, as a shell takes the command."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    arguments = map(_without_folder, sys.argv[1:])
    limits = [f"{name}={shlex.quote(os.environ[name])}" for name in LIMITS if name in os.environ]
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    command = " ".join([*limits, "python", "-m", shlex.join([module, *arguments])])
    processor = f"{_processor()}, {os.cpu_count()} cores, {vector_instructions()}"
    python = f"Python {platform.python_version()}"
    return f"{processor}; {python}, {versions}; {datetime.date.today()}; {command}"


def alternate(
    variants: dict[str, Callable[[], object]], *, rounds: int = 7, turn: float = 0.5
) -> dict[str, float]:
    """Seconds of a call of each variant: the median over its turns of the mean in a turn.

    They take turns, so that a drifting machine hits all alike. A turn begins with a call that is
    not timed, as it finds caches and memory as another variant left them.

    Args:
        variants: by name; each call must return only when its work is done.
        rounds: turns of each variant.
        turn: seconds after which no further call begins in a turn.
    """
    seconds = {name: [] for name in variants}
    for _ in range(rounds):
        for name, call in variants.items():
            call()
            calls, begin, taken = 0, time.perf_counter(), 0.0
            while not calls or taken < turn:
                call()
                calls += 1
                taken = time.perf_counter() - begin
            seconds[name].append(taken / calls)
    return {name: statistics.median(values) for name, values in seconds.items()}


def children_s() -> float:
    """Returns the processor time of all processes that this one has started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def own_process(*arguments: str):
    """What `python -m ARGUMENTS` prints last, in JSON."""
    command = [sys.executable, "-m", *arguments]
    return json.loads(subprocess.check_output(command).splitlines()[-1])


def _without_folder(argument: str) -> str:
    """Returns `DIR` for a path of this machine, and the option before it, if it is in the word."""
    option, sign, value = argument.partition("=")
    if option.startswith("-") and os.path.isabs(value):
        return f"{option}{sign}DIR"
    return "DIR" if os.path.isabs(argument) else argument


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()

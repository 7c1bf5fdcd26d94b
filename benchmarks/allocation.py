"""What keeping freed memory saves a training step: python -m benchmarks.allocation

Keras on TensorFlow, by the step that `training.fit` trains with, and PyTorch, tuned, if it is
installed; each in one process that keeps what it frees and in one that does not, in turn.
"""

import contextlib
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import print_table, write_csv
from benchmarks.step import MODULES, PRECISIONS, installed
from benchmarks.workers import Case, Worker, measure
from fstcn_keras.presets import PRESETS
from training import cli
from training.cli import option

WAYS = {"given back": False, "kept": True}


@dataclass(frozen=True, kw_only=True)
class AllocationOptions:
    """What to measure."""

    presets: tuple[Literal[tuple(PRESETS)], ...] = option(("small", "squeeze"), "which networks")
    batch: int = option(8, "clips of a step")
    rounds: int = option(5, "turns of each")


def main(options: AllocationOptions):
    """Prints and writes the table."""
    frameworks = installed()
    rows = [row for preset in options.presets for row in compared(preset, frameworks, options)]
    print_table(rows)
    write_csv("allocation", rows)


def compared(preset: str, frameworks: list[str], options: AllocationOptions) -> list[dict]:
    """One row for each framework and number format."""
    cases = [
        Case(
            labels={"preset": preset, "framework": framework, "precision": precision, "way": way},
            worker=f"{framework} {way}",
            function="step",
            arguments=_arguments(framework, preset, precision, options.batch),
        )
        for framework in frameworks
        for precision in PRECISIONS
        for way in WAYS
    ]
    with contextlib.ExitStack() as stack:
        workers = {
            f"{framework} {way}": stack.enter_context(Worker(MODULES[framework], keep_memory=keep))
            for framework in frameworks
            for way, keep in WAYS.items()
        }
        measured = measure(cases, workers, rounds=options.rounds)
    rows = []
    for given, kept in zip(measured[::2], measured[1::2], strict=True):
        row = {name: value for name, value in kept.case.labels.items() if name != "way"}
        row |= {"given back, s": f"{given.seconds:.4f}", "kept, s": f"{kept.seconds:.4f}"}
        row["kept / given back"] = f"{kept.seconds / given.seconds:.2f}" if given.seconds else ""
        rows.append({**row, "not measured": given.reason or kept.reason})
    return rows


def _arguments(framework: str, preset: str, precision: str, batch: int) -> dict:
    given = {"network": preset, "precision": precision, "phase": "training", "batch": batch}
    if framework == "PyTorch":
        given |= {"form": "tuned", "crop_size": PRESETS[preset].crop_size}
    return given


if __name__ == "__main__":
    cli.run(main, AllocationOptions)

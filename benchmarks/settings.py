"""What the settings of a training process save a step: python -m benchmarks.settings

Keras on TensorFlow, by the step that `training.fit` trains with, in a process with its settings
and in one that lacks one of them, in turn: memory that a step frees is kept for the next, and lies
in huge pages (`fstcn_keras/allocation.py`), TensorFlow computes with oneDNN
(`fstcn_keras/imports.py`).
"""

import contextlib
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import print_table, write_csv
from benchmarks.step import MODULES, native_precisions
from benchmarks.workers import Case, Measured, Worker, measure
from fstcn_keras.presets import PRESETS
from training import cli
from training.cli import option

WITH_ALL = "all"
LACKING = {  # what a worker is given that lacks the setting
    "freed memory kept, huge pages": {"keep_memory": False},
    "oneDNN": {"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
}


@dataclass(frozen=True, kw_only=True)
class SettingsOptions:
    """What to measure."""

    presets: tuple[Literal[tuple(PRESETS)], ...] = option(("small", "squeeze"), "which networks")
    batch: int = option(8, "clips of a step")
    rounds: int = option(5, "turns of each")


def main(options: SettingsOptions):
    """Prints and writes the table."""
    precisions = native_precisions()
    rows = [row for preset in options.presets for row in compared(preset, precisions, options)]
    print_table(rows)
    write_csv("settings", rows)


def compared(preset: str, precisions: tuple[str, ...], options: SettingsOptions) -> list[dict]:
    """One row for each setting and number format."""
    cases = [
        Case(
            labels={"preset": preset, "precision": precision, "settings": way},
            worker=way,
            function="step",
            arguments={
                "network": preset,
                "precision": precision,
                "phase": "training",
                "batch": options.batch,
            },
        )
        for precision in precisions
        for way in (WITH_ALL, *LACKING)
    ]
    with contextlib.ExitStack() as stack:
        workers = {
            way: stack.enter_context(Worker(MODULES["Keras"], **LACKING.get(way, {})))
            for way in (WITH_ALL, *LACKING)
        }
        measured = measure(cases, workers, rounds=options.rounds)
    found = {(m.case.labels["precision"], m.case.labels["settings"]): m for m in measured}
    return [
        {
            "preset": preset,
            "precision": precision,
            "setting": way,
            "without, s": f"{found[precision, way].seconds:.4f}",
            "with, s": f"{found[precision, WITH_ALL].seconds:.4f}",
            "times as fast": _ratio(found[precision, way], found[precision, WITH_ALL]),
            "not measured": found[precision, way].reason or found[precision, WITH_ALL].reason,
        }
        for precision in precisions
        for way in LACKING
    ]


def _ratio(without: Measured, complete: Measured) -> str:
    return f"{without.seconds / complete.seconds:.2f}" if complete.seconds else ""


if __name__ == "__main__":
    cli.run(main, SettingsOptions)

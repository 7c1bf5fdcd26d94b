"""What the settings of a training process save a step: python -m benchmarks.settings

Keras on TensorFlow, by the step that `training.fit` trains with, in a process with its settings
and in one that lacks some of them, in turn: memory that a step frees is kept for the next, and
lies in huge pages (`fstcn_keras/allocation.py`), TensorFlow computes with oneDNN
(`fstcn_keras/imports.py`), without which bfloat16 is not worth timing.
"""

import contextlib
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import print_table, write_csv
from benchmarks.step import MODULES, native_precisions
from benchmarks.workers import Case, Measured, Worker, measure
from fstcn_keras.allocation import keep_freed_memory
from fstcn_keras.presets import PRESETS
from training import cli
from training.cli import UserError, option

WITH_ALL = "all"
HUGE_PAGES, ALLOCATION, ONEDNN = "huge pages", "freed memory kept, huge pages", "oneDNN"
LACKING = {  # what a worker is given that lacks the setting
    HUGE_PAGES: {"allocation": keep_freed_memory},
    ALLOCATION: {"allocation": None},
    ONEDNN: {"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
}
OF_PRECISION = {"float32": tuple(LACKING), "bfloat16": (HUGE_PAGES, ALLOCATION)}


@dataclass(frozen=True, kw_only=True)
class SettingsOptions:
    """What to measure."""

    presets: tuple[Literal[tuple(PRESETS)], ...] = option(tuple(PRESETS), "which networks")
    batch: int = option(8, "clips of a step")
    rounds: int = option(5, "turns of each")


def main(options: SettingsOptions):
    """Prints and writes the table."""
    for name in ("batch", "rounds"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be positive, got {getattr(options, name)}")
    rows = []
    precisions = native_precisions()
    for preset in options.presets:
        for precision in precisions:
            rows += compared(preset, precision, options)
            write_csv("settings", rows)  # what is measured stays if the next one is cut short
    print_table(rows)


def compared(preset: str, precision: str, options: SettingsOptions) -> list[dict]:
    """One row for each setting."""
    lacking = OF_PRECISION[precision]
    arguments = {
        "network": preset,
        "precision": precision,
        "phase": "training",
        "batch": options.batch,
    }
    cases = [
        Case(
            labels={"preset": preset, "precision": precision, "settings": way},
            worker=way,
            function="step",
            arguments=arguments,
        )
        for way in (WITH_ALL, *lacking)
    ]
    with contextlib.ExitStack() as stack:
        workers = {
            way: stack.enter_context(Worker(MODULES["Keras"], **LACKING.get(way, {})))
            for way in (WITH_ALL, *lacking)
        }
        with_all, *without = measure(cases, workers, rounds=options.rounds)
    return [
        {
            "preset": preset,
            "precision": precision,
            "setting": way,
            "without, s": f"{one.seconds:.4f}",
            "with, s": f"{with_all.seconds:.4f}",
            "times as fast": _ratio(one, with_all),
            "not measured": one.reason or with_all.reason,
        }
        for way, one in zip(lacking, without, strict=True)
    ]


def _ratio(without: Measured, complete: Measured) -> str:
    return f"{without.seconds / complete.seconds:.2f}" if complete.seconds else ""


if __name__ == "__main__":
    cli.run(main, SettingsOptions)

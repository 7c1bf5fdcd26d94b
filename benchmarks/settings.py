"""What the settings of the commands' processes save: python -m benchmarks.settings

Keras on TensorFlow, by the step that `training.fit` trains with and in inference, in a process with
all settings and in one that lacks one of them, in turn: memory lies in huge pages
(`fstcn_keras/allocation.py`), TensorFlow computes with oneDNN (`fstcn_keras/process.py`), without
which bfloat16 is not worth timing.
"""

import contextlib
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import print_table, write_csv
from benchmarks.step import MODULES, PHASES, native_precisions
from benchmarks.workers import Case, Measured, Worker, measure
from fstcn_keras.config import PRESETS
from training import cli
from training.parts import check, option

WITH_ALL = "all"
LACKING = {  # what a worker is given that lacks the setting
    "huge pages": {"huge_pages": False},
    "oneDNN": {"environment": {"TF_ENABLE_ONEDNN_OPTS": "0"}},
}
OF_PRECISION = {"float32": ("huge pages", "oneDNN"), "bfloat16": ("huge pages",)}


@dataclass(frozen=True, kw_only=True)
class SettingsOptions:
    """What to measure."""

    presets: tuple[Literal[tuple(PRESETS)], ...] = option(tuple(PRESETS), "which networks")
    batch: int = option(8, "clips of a step")
    rounds: int = option(5, "turns of each")

    def __post_init__(self):
        check(self, ["batch", "rounds"], lambda number: number > 0, "be positive")


def main(options: SettingsOptions):
    """Prints and writes the table."""
    rows = []
    precisions = native_precisions()
    for preset in options.presets:
        for precision in precisions:
            rows += compared(preset, precision, options)
            write_csv("settings", rows)  # what is measured stays if the next one is cut short
    print_table(rows)


def compared(preset: str, precision: str, options: SettingsOptions) -> list[dict]:
    """One row for each phase and setting."""
    lacking = OF_PRECISION[precision]
    cases = [
        Case(
            labels={"preset": preset, "precision": precision, "phase": phase, "settings": way},
            worker=way,
            function="step",
            arguments={"network": preset, "precision": precision}
            | {"phase": phase, "batch": options.batch},
        )
        for phase in PHASES
        for way in (WITH_ALL, *lacking)
    ]
    with contextlib.ExitStack() as stack:
        workers = {
            way: stack.enter_context(Worker(MODULES["Keras"], **LACKING.get(way, {})))
            for way in (WITH_ALL, *lacking)
        }
        measured = measure(cases, workers, rounds=options.rounds)
    found = {(one.case.labels["phase"], one.case.worker): one for one in measured}
    return [row(found[phase, way], found[phase, WITH_ALL]) for phase in PHASES for way in lacking]


def row(without: Measured, with_all: Measured) -> dict:
    """One line of the table."""
    known = without.seconds and with_all.seconds
    return {
        **{name: without.case.labels[name] for name in ("preset", "precision", "phase")},
        "setting": without.case.worker,
        "without, s": f"{without.seconds:.4f}",
        "with, s": f"{with_all.seconds:.4f}",
        "times as fast": f"{without.seconds / with_all.seconds:.2f}" if known else "",
        "not measured": without.reason or with_all.reason,
    }


if __name__ == "__main__":
    cli.run(main, SettingsOptions)

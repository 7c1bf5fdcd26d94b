"""Training step and inference against PyTorch and the matrix peak: python -m benchmarks.step

The presets in Keras on TensorFlow, by the step that `training.fit` trains with; the same networks
in PyTorch, plain and tuned (channels last, banded LRN, `torch.compile`, fused update, and like
the commands here with its memory in huge pages); R(2+1)D-18 and C3D, tuned, on clips of as many
pixels, beside networks that leave memory for them. All with the same batch, in float32 and,
where the processor multiplies it, bfloat16, each in a process of its own, in turn with products of
large square matrices, whose rate is the machine's peak. PyTorch comes with
`pip install -e '.[bench]'`; without it Keras is measured alone.
"""

import contextlib
import importlib.util
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.report import print_table, write_csv
from benchmarks.workers import Case, Measured, Worker, measure
from fstcn_keras.config import PRESETS
from fstcn_keras.processor import multiplies_bfloat16
from training import cli
from training.parts import check, option

PHASES = ("training", "inference")
PRECISIONS = ("float32", "bfloat16")
FORMS = {"float32": ("plain", "tuned"), "bfloat16": ("tuned",)}  # of PyTorch
PEERS = ("R(2+1)D-18", "C3D")
MODULES = {"Keras": "benchmarks.keras_steps", "PyTorch": "benchmarks.torch_steps"}
PLAIN = "PyTorch, plain"  # its process


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """What to measure."""

    presets: tuple[Literal["paper", "small", "squeeze", "lite"], ...] = option(
        ("paper", "small", "squeeze", "lite"), "which networks"
    )
    peers_beside: tuple[Literal["small", "squeeze"], ...] = option(
        ("small", "squeeze"), "networks that R(2+1)D-18 and C3D take turns with"
    )
    batch: int = option(8, "clips of a step")
    rounds: int = option(5, "turns of each")
    matrix: int = option(4096, "side of the matrices of the peak")
    name: str = option("step", "of the table in benchmarks/results")

    def __post_init__(self):
        check(self, ["batch", "rounds", "matrix"], lambda number: number > 0, "be positive")


def main(options: StepOptions):
    """Prints and writes the table."""
    frameworks, precisions, rows = installed(), native_precisions(), []
    for preset in options.presets:
        cases = list(all_cases(preset, frameworks, precisions, options))
        with contextlib.ExitStack() as stack:
            workers = {name: stack.enter_context(Worker(MODULES[name])) for name in frameworks}
            if "PyTorch" in frameworks:
                plain = Worker(MODULES["PyTorch"], huge_pages=False)
                workers[PLAIN] = stack.enter_context(plain)
            rows += table(measure(cases, workers, rounds=options.rounds), options.batch)
        write_csv(options.name, rows)  # what is measured stays if the next one is cut short
    print_table(rows)


def installed() -> list[str]:
    """The frameworks that there are; says what to install if there is one alone."""
    if importlib.util.find_spec("torch") is not None:
        return list(MODULES)
    print("Keras alone: for PyTorch, pip install -e '.[bench]'", file=sys.stderr)
    return ["Keras"]


def native_precisions() -> tuple[str, ...]:
    """The number formats that the processor multiplies; says which are left out."""
    if multiplies_bfloat16():
        return PRECISIONS
    print("float32 alone: this processor has no products of bfloat16", file=sys.stderr)
    return PRECISIONS[:1]


def all_cases(
    preset: str, frameworks: list[str], precisions: Sequence[str], options: StepOptions
) -> Iterable[Case]:
    """What takes turns: the matrix products, the preset and the peers."""
    crop_size = PRESETS[preset].crop_size
    peers = PEERS if preset in options.peers_beside else ()
    for framework, precision in itertools.product(frameworks, precisions):
        yield Case(
            labels=_labels("matrix product", options.matrix, framework, "", precision, ""),
            worker=framework,
            function="peak",
            arguments={"precision": precision, "size": options.matrix},
        )
    for network, phase in itertools.product((preset, *peers), PHASES):
        arguments = {"network": network, "phase": phase, "batch": options.batch}
        for precision in precisions if network == preset else ():
            yield Case(
                labels=_labels(network, crop_size, "Keras", "", precision, phase),
                worker="Keras",
                function="step",
                arguments={**arguments, "precision": precision},
            )
        forms = [(form, precision) for precision in precisions for form in FORMS[precision]]
        for form, precision in forms if "PyTorch" in frameworks else ():
            if network == preset or form == "tuned":
                yield Case(
                    labels=_labels(network, crop_size, "PyTorch", form, precision, phase),
                    worker=PLAIN if form == "plain" else "PyTorch",
                    function="step",
                    arguments=arguments
                    | {"crop_size": crop_size, "form": form, "precision": precision},
                )


def table(measured: list[Measured], batch: int) -> list[dict]:
    """Rows with rates, and shares of the peaks: the best product of any framework in them."""
    peaks = {}
    for one in measured:
        if one.case.function == "peak":
            precision = one.case.labels["precision"]
            peaks[precision] = max(one.rate, peaks.get(precision, 0.0))
    return [row(one, batch, peaks) for one in measured]


def row(one: Measured, batch: int, peaks: dict[str, float]) -> dict:
    """One line of the table."""
    found = dict.fromkeys(("seconds", "clips/s", "GFLOP/s"), "")
    found |= {f"of {precision} peak": "" for precision in PRECISIONS}
    if not one.reason:
        found["seconds"] = f"{one.seconds:.4f}"
        if one.case.function == "step":
            found["clips/s"] = f"{batch / one.seconds:.3g}"
        found["GFLOP/s"] = f"{one.rate / 1e9:.1f}"
        for precision, peak in peaks.items():
            found[f"of {precision} peak"] = f"{one.rate / peak:.3f}"
    return {**one.case.labels, **found, "not measured": one.reason}


def _labels(network: str, size: int, framework: str, form: str, precision: str, phase: str) -> dict:
    return {"network": network, "size": size, "framework": framework, "form": form} | {
        "precision": precision,
        "phase": phase,
    }


if __name__ == "__main__":
    cli.run(main, StepOptions)

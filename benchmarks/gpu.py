"""Training and inference on a GPU, against PyTorch and the matrix peak: python -m benchmarks.gpu

The networks in Keras on JAX, in mixed bfloat16, and their twins in PyTorch, compiled, with channels
last and bfloat16 autocasting, where PyTorch is installed. Batches stay on the device; a time is
that of several steps, synchronised after the last, in turn with the framework's other work. For
each batch size one framework after the other has the device to itself, in a process of its own:
what does not fit is said so, and does not fit alone. The peak is the rate of products of large
bfloat16 matrices, the better of the two. Needs no more than JAX, Keras and NumPy; runs on a CPU
as well, for trying it.
"""

import argparse
import importlib.util
import itertools

from benchmarks.report import print_table, write_csv
from benchmarks.workers import Case, Measured, Worker, measure
from fstcn_keras.config import PRESETS

PHASES = ("training", "inference")
MODULES = {"Keras": "benchmarks.jax_steps", "PyTorch": "benchmarks.torch_steps"}
ENVIRONMENT = {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"}


def main(argv: list[str] | None = None):
    """Prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", choices=sorted(PRESETS), nargs="+", default=["paper", "lite"])
    parser.add_argument("--batches", type=positive, nargs="+", default=[32, 64, 128, 256, 512])
    parser.add_argument("--repeats", type=positive, default=20, help="steps that are timed as one")
    parser.add_argument("--rounds", type=positive, default=5, help="turns of each")
    parser.add_argument("--matrix", type=positive, default=8192, help="side of the peak's matrices")
    options = parser.parse_args(argv)
    if importlib.util.find_spec("jax") is None:
        parser.error("JAX is not installed: pip install 'jax[cuda12]', or jax to try it on a CPU")
    frameworks = list(MODULES)
    if importlib.util.find_spec("torch") is None:
        frameworks.remove("PyTorch")
        print("Keras alone: PyTorch is not installed", flush=True)
    rows = []
    for preset, batch in itertools.product(options.presets, options.batches):
        rows += one_batch(preset, batch, frameworks, options)
        write_csv("gpu", rows)  # what is measured stays if the next one is cut short
    print_table(rows)


def one_batch(
    preset: str, batch: int, frameworks: list[str], options: argparse.Namespace
) -> list[dict]:
    """Rows of one network and batch size."""
    measured, devices = [], {}
    for name in frameworks:
        with Worker(MODULES[name], ENVIRONMENT) as worker:
            devices[name] = worker.ask("device")
            cases = cases_of(name, preset, batch, options)
            measured += measure(cases, {name: worker}, rounds=options.rounds)
    peak = max(one.rate for one in measured if one.case.function == "peak")
    return [
        {**row(one, batch, options.repeats, peak), "device": devices[one.case.worker]}
        for one in measured
    ]


def cases_of(framework: str, preset: str, batch: int, options: argparse.Namespace) -> list[Case]:
    """A framework's matrix product and steps."""
    product = Case(
        labels={"what": f"matrix product {options.matrix}", "batch": "", "framework": framework},
        worker=framework,
        function="peak",
        arguments={"precision": "bfloat16", "size": options.matrix, "repeats": options.repeats},
    )
    arguments = {"network": preset, "batch": batch, "repeats": options.repeats}
    if framework == "PyTorch":
        arguments |= {
            "crop_size": PRESETS[preset].crop_size,
            "form": "tuned",
            "precision": "bfloat16",
        }
    steps = [
        Case(
            labels={"what": f"{preset}, {phase}", "batch": batch, "framework": framework},
            worker=framework,
            function="step",
            arguments={**arguments, "phase": phase},
        )
        for phase in PHASES
    ]
    return [product, *steps]


def row(one: Measured, batch: int, repeats: int, peak: float) -> dict:
    """One line of the table."""
    found = dict.fromkeys(("milliseconds", "clips/s", "TFLOP/s", "of peak"), "")
    if not one.reason:
        found["milliseconds"] = f"{1000 * one.seconds / repeats:.3f}"
        if one.case.function == "step":
            found["clips/s"] = f"{batch * repeats / one.seconds:.4g}"
        found["TFLOP/s"] = f"{one.rate / 1e12:.3g}"
        found["of peak"] = f"{one.rate / peak:.3f}"
    return {**one.case.labels, **found, "not measured": one.reason}


def positive(text: str) -> int:
    """A positive integer."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be positive, got {number}")
    return number


if __name__ == "__main__":
    main()

"""What int8 costs in accuracy, and saves in size and time: python -m benchmarks.quantized [RUN]

Exports the network of a run to ONNX and LiteRT, in float32 and in int8 calibrated by its training
videos, and has each file score the run's test videos, all views of each. Then each format's two
files take turns in scoring the 18 views of one clip. The table is quantized-PRESET.csv.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import alternate, print_table, write_csv
from fstcn_keras import ActionClassifier, clips
from fstcn_keras.export.calibration import RunVideos
from fstcn_keras.export.comparison import answers, file_classifier
from fstcn_keras.export.formats import QUANTIZATIONS, SUFFIXES, export
from fstcn_keras.export.runtimes import load_network
from fstcn_keras.runs import RunFolder, chosen_run
from training import cli
from training.errors import UserError
from training.networks import load_classifier
from training.options import read_config
from training.parts import positional

FLOAT32 = "float32"
ROUNDS = 7


@dataclass(frozen=True, kw_only=True)
class QuantizedOptions:
    """What to measure."""

    run: Path | None = positional(
        "folder of a training run (default: the newest finished one under runs/)", default=None
    )


def main(options: QuantizedOptions):
    """Prints and writes the table."""
    run = RunFolder(chosen_run(options.run))
    classifier = load_classifier(run)
    test = RunVideos.of(run).test
    if not test:
        raise UserError(f"{run}: its test videos are not found where they were in training")
    config = read_config(run.config)
    given = {"data": config.collection.dataset, "preset": config.backbone.preset}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for format in SUFFIXES:
            files = {FLOAT32: export(run.path, format, out=Path(folder))}
            for numbers in QUANTIZATIONS:
                files[numbers] = export(run.path, format, out=Path(folder), quantize=numbers)
            rows += [given | row for row in measured(files, classifier, test)]
    print_table(rows)
    write_csv(f"quantized-{config.backbone.preset}", rows)


def measured(
    files: dict[str, Path], classifier: ActionClassifier, test: dict[Path, int]
) -> list[dict]:
    """Returns a row for each file of one format, which are named by their numbers."""
    seconds = scoring_seconds(files, classifier)
    sizes = {numbers: file.stat().st_size for numbers, file in files.items()}
    given = {n: answers(file_classifier(f, classifier), list(test)) for n, f in files.items()}
    top1 = {n: np.mean([label == test[v] for v, label in x.items()]) for n, x in given.items()}
    return [
        {
            "format": file.suffix[1:],
            "numbers": numbers,
            "test videos": len(given[numbers]),
            "top-1": f"{top1[numbers]:.4f}",
            "points from float32": f"{100 * (top1[numbers] - top1[FLOAT32]):+.2f}",
            "MB": f"{sizes[numbers] / 1e6:.2f}",
            "of float32's size": f"{sizes[numbers] / sizes[FLOAT32]:.3f}",
            "views/s": f"{clips.NUM_CROPS / seconds[numbers]:.3g}",
            "times float32": f"{seconds[FLOAT32] / seconds[numbers]:.2f}",
        }
        for numbers, file in files.items()
    ]


def scoring_seconds(files: dict[str, Path], classifier: ActionClassifier) -> dict[str, float]:
    """Returns by numbers the seconds of the 18 views of a clip, which the files take in turns."""
    plan = classifier.plan
    shape = (clips.NUM_CROPS, plan.clip_length, plan.crop_size, plan.crop_size, 3)
    generator = np.random.default_rng(0)
    views = {n: generator.integers(0, 256, shape, "uint8") for n in ("clip", "clip_diff")}
    networks = {numbers: load_network(file) for numbers, file in files.items()}
    calls = {name: lambda network=network: network(views) for name, network in networks.items()}
    return alternate(calls, rounds=ROUNDS)


if __name__ == "__main__":
    cli.run(main, QuantizedOptions)

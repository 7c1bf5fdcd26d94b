"""How long it takes until something happens: python -m benchmarks.startup

Importing Keras and FSTCN after it, alternately; then `python -m training.predict` on one video
until its first and its last line, with an untrained network of preset small. Every round is a
process of its own; all files are in memory, as one round before the others reads them.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import alternate, print_table, write_csv
from benchmarks.samples import coarse_video, random_run

ROUNDS = 7
LIMITS_S = {"fstcn_keras beyond Keras": 0.3, "training.predict, first line": 8.0}


def main():
    """Prints and writes the table."""
    with tempfile.TemporaryDirectory() as name:
        run = random_run(Path(name, "run"), num_classes=3)
        video = coarse_video(Path(name, "video.avi"), num_frames=40, square=8)
        predict = [sys.executable, "-m", "training.predict", str(run), str(video)]
        keras, ours = importing("keras"), importing("keras, fstcn_keras, fstcn_keras.model")
        seconds = alternate(
            {
                "Keras": keras,
                "Keras and fstcn_keras": ours,
                "training.predict, first line": lambda: first_line(predict),
                "training.predict, to its end": lambda: subprocess.check_output(predict),
            },
            rounds=ROUNDS,
            turn=0,
        )
    seconds["fstcn_keras beyond Keras"] = seconds["Keras and fstcn_keras"] - seconds["Keras"]
    rows = [
        {"what": what, "seconds": f"{taken:.2f}", "limit_s": LIMITS_S.get(what, "")}
        for what, taken in seconds.items()
    ]
    print_table(rows)
    write_csv("startup", rows)


def importing(modules: str) -> Callable[[], object]:
    """A function that imports the modules in a fresh process."""
    return lambda: subprocess.check_output(
        [sys.executable, "-c", f"import {modules}"], stderr=subprocess.DEVNULL
    )


def first_line(command: list[str]):
    """Runs a command until its first line of output, and stops it there.

    What its helper processes say of its end is left out.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:
        process.stdout.readline()
        process.kill()


if __name__ == "__main__":
    main()

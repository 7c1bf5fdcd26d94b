"""How long it takes until something happens: python -m benchmarks.startup

Importing Keras; then `python -m training.predict` on one video until its first and its last line,
with an untrained network of preset small. What importing FSTCN takes beyond Keras is timed in the
process that has imported Keras: it is less than two such processes differ by. Every round is a
process of its own; all files are in memory, as one round before the others reads them.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.report import alternate, print_table, write_csv
from benchmarks.samples import coarse_video, random_run

ROUNDS = 7
LIMITS_S = {"fstcn_keras beyond Keras": 0.3, "training.predict, first line": 8.0}
BEYOND_KERAS = """
import time
import keras
begin = time.perf_counter()
import fstcn_keras, fstcn_keras.model
print(time.perf_counter() - begin)
"""


def main():
    """Prints and writes the table."""
    with tempfile.TemporaryDirectory() as name:
        run = random_run(Path(name, "run"), num_classes=3)
        video = coarse_video(Path(name, "video.avi"), num_frames=40, square=8)
        predict = [sys.executable, "-m", "training.predict", str(run), str(video)]
        seconds = alternate(
            {
                "Keras": lambda: printed("import keras"),
                "training.predict, first line": lambda: first_line(predict),
                "training.predict, to its end": lambda: subprocess.check_output(predict),
            },
            rounds=ROUNDS,
            turn=0,
        )
    beyond = [float(printed(BEYOND_KERAS)) for _ in range(ROUNDS + 1)]
    seconds["fstcn_keras beyond Keras"] = statistics.median(beyond[1:])
    rows = [
        {"what": what, "seconds": f"{taken:.2f}", "limit_s": LIMITS_S.get(what, "")}
        for what, taken in seconds.items()
    ]
    print_table(rows)
    write_csv("startup", rows)


def printed(code: str) -> bytes:
    """What Python code prints in a process of its own."""
    return subprocess.check_output([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


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

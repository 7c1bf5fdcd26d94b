"""What preparing costs beyond decoding and encoding: python -m benchmarks.prepare --data-dir DIR

Runs, in turn, a bare loop that decodes HMDB-51's videos with PyAV, resizes the frames as the
command does and encodes them as JPEG in as many processes, and the command
`python -m training.prepare --preset paper`, which also hashes, checks and writes. Every run is a
command of its own; its processor time is that of all its processes. Utilisation is that time
over the time that all cores had. About two minutes for 928 videos on two cores.
"""

import argparse
import io
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from joblib import cpu_count
from PIL import Image

from benchmarks.report import children_s, print_table, write_csv
from fstcn_keras.config import PRESETS
from training.data import collections
from training.data.preparation import JPEG_QUALITY

SHORT_SIDE = PRESETS["paper"].short_side
ROUNDS = 3


def main():
    """Prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--bare", action="store_true", help="run the bare loop alone, untimed")
    options = parser.parse_args()
    if options.bare:
        decode_and_encode_all(options.data_dir)
        return
    for file in video_files(options.data_dir):
        Path(file).read_bytes()  # into the page cache
    runs = {"bare loop": [], "training.prepare": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            data = ["--data-dir", str(options.data_dir)]
            store = ["--dataset", "hmdb51", "--preset", "paper"]
            store += ["--store", str(Path(folder) / "store")]  # frames are taken from beside one
            runs["bare loop"].append(timed(["benchmarks.prepare", "--bare", *data]))
            runs["training.prepare"].append(timed(["training.prepare", *store, *data]))
    rows = table(runs)
    print_table(rows)
    write_csv("prepare", rows)


def table(runs: dict[str, list[tuple[float, float]]]) -> list[dict]:
    """Medians over the runs of each variant, given as (wall, processor) seconds."""
    medians = {name: np.median(times, axis=0) for name, times in runs.items()}
    return [
        {
            "variant": name,
            "runs": len(runs[name]),
            "wall_s": f"{wall_s:.2f}",
            "fastest_s": f"{min(runs[name])[0]:.2f}",
            "processor_s": f"{processor_s:.2f}",
            "utilisation": f"{processor_s / (wall_s * cpu_count()):.3f}",
            "ratio_to_bare": f"{wall_s / medians['bare loop'][0]:.2f}",
        }
        for name, (wall_s, processor_s) in medians.items()
    ]


def timed(command: Sequence[str]) -> tuple[float, float]:
    """Wall and processor seconds of `python -m COMMAND` with all its processes."""
    before, start = children_s(), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", *command],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
    )
    return time.perf_counter() - start, children_s() - before


def video_files(data_dir: Path) -> list[str]:
    """The files that the command decodes."""
    dataset = collections.read_hmdb51(data_dir, split=1)
    return [str(dataset.root / video.path) for video in dataset.videos if video.side != "unused"]


def decode_and_encode_all(data_dir: Path):
    """The bare loop; the encoded frames are thrown away."""
    with multiprocessing.get_context("fork").Pool(cpu_count()) as pool:
        pool.map(decode_and_encode, video_files(data_dir), chunksize=1)


def decode_and_encode(file: str):
    """Decodes one video, resizes its frames and encodes them."""
    with av.open(file, metadata_errors="ignore") as container:
        for frame in container.decode(video=0):
            scale = SHORT_SIDE / min(frame.height, frame.width)
            pixels = frame.reformat(
                height=round(frame.height * scale),
                width=round(frame.width * scale),
                format="rgb24",
                interpolation="AREA",
                threads=1,
            ).to_ndarray()
            Image.fromarray(pixels).save(io.BytesIO(), "JPEG", quality=JPEG_QUALITY)


if __name__ == "__main__":
    main()

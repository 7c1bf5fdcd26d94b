"""Memory of a long list on a cluster: python -m benchmarks.cluster_memory [--rows 100000]

Names the actions in a list of tiny videos, hard links to a few, by a small network, on nodes of
one core each, all on this machine. While the command runs, the resident memory of its process and
of the largest process of the nodes is read every second; the table has it where 1,000, 10,000 and
all rows are done. Needs the extra `cluster`; 100,000 rows take half an hour or more on two cores.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.ray_nodes import cluster_of
from benchmarks.report import print_table, write_csv
from benchmarks.samples import coarse_video, random_run
from training import cli
from training.parts import option

SOURCES = 8  # videos that are encoded; the rest are links to them
NUM_FRAMES = 12
SQUARE = 2  # pixels: 40 x 30
TINY = {  # what is kept for a row is the same for any network
    "paths": ("spatial",),
    "crop_size": 60,
    "short_side": 64,
    "width": 0.0625,
    "path_units": (16, 8),
    "joint_units": 8,
}
NODES = 2
MB = 2**20


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """How long the list is."""

    rows: int = option(100_000, "videos of the list")


def main(options: MemoryOptions):
    """Prints and writes the table."""
    marks = sorted({mark for mark in (1_000, 10_000) if mark < options.rows} | {options.rows})
    with tempfile.TemporaryDirectory() as name, cluster_of(NODES) as nodes:
        folder = Path(name)
        listed = make_list(folder, options.rows)
        random_run(folder / "run", num_classes=2, num_clips=1, **TINY)
        arguments = [str(folder / "run"), str(listed), "--out", str(folder / "out" / "scores.csv")]
        (folder / "out").mkdir()
        command = [sys.executable, "-m", "training.predict", *arguments]
        command += ["--cluster", nodes.address]
        rows = []
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            memory = {}
            while process.poll() is None:
                if worker := largest_worker():  # they end before the table is whole
                    memory = {"driver, MB": resident_mb(process.pid), "worker, MB": worker}
                done = rows_done(folder / "out")
                while marks[1:] and done >= marks[0]:
                    rows.append({"rows": marks.pop(0), **memory})
                    print_table(rows[-1:])
                time.sleep(1)
            rows.append({"rows": options.rows, **memory})
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    print_table(rows)
    write_csv("cluster-memory", rows)


def make_list(folder: Path, count: int) -> Path:
    """Writes a list of so many videos, a thousand in a folder."""
    sources = [
        coarse_video(folder / f"{number}.mp4", num_frames=NUM_FRAMES, square=SQUARE, seed=number)
        for number in range(SOURCES)
    ]
    listed = folder / "list.txt"
    with listed.open("w") as stream:
        for number in range(count):
            video = folder / "videos" / str(number // 1000) / f"{number}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            os.link(sources[number % SOURCES], video)
            stream.write(f"{video}\n")
    return listed


def rows_done(folder: Path) -> int:
    """Returns the rows of the table that are written, whole or not."""
    return max((file.read_bytes().count(b"\n") - 1 for file in folder.iterdir()), default=0)


def largest_worker() -> float:
    """Returns the most that a process which does work for Ray holds, in MB."""
    names = ("ray::do", "ray::IDLE")
    return max(
        (
            resident_mb(process.pid)
            for process in psutil.process_iter(["cmdline"])
            if "".join(process.info["cmdline"] or ()).startswith(names)
        ),
        default=0.0,
    )


def resident_mb(process: int) -> float:
    """Returns what a process holds in memory; 0 if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return round(psutil.Process(process).memory_info().rss / MB, 1)
    return 0.0


if __name__ == "__main__":
    cli.run(main, MemoryOptions)

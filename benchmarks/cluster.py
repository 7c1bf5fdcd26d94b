"""What Ray costs: python -m benchmarks.cluster [--videos 500] [--nodes 2]

Prepares a folder of synthetic videos, of about the size and length of HMDB-51's, and names the
actions in them by shared views, on this machine alone and on as many nodes of one core each as it
is told, all on this machine and with its cores. The two ways take turns, each a command of its own;
starting it, and connecting to the cluster, is in its time. Then a node is killed in the middle of
each command: the time beyond that of the undisturbed one is what the loss costs. Needs the extra
`cluster`.
"""

import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ray_nodes import Nodes, cluster_of
from benchmarks.report import print_table, write_csv
from benchmarks.samples import coarse_video, random_run
from training import cli
from training.parts import option

CLASSES = ("a", "b")
NUM_FRAMES = 90
SQUARE = 16  # pixels: 320 x 240
ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class ClusterBenchmarkOptions:
    """How much work, and on how many nodes."""

    videos: int = option(500, "number of videos")
    nodes: int = option(2, "nodes of one core each; as many as this machine has cores")


def main(options: ClusterBenchmarkOptions):
    """Prints and writes the table."""
    with tempfile.TemporaryDirectory() as name, cluster_of(options.nodes) as nodes:
        folder = Path(name)
        make_videos(folder / "videos", options.videos)
        random_run(folder / "run", num_classes=len(CLASSES))
        rows = []
        for command in (prepare, predict):
            times = {"one machine": [], "cluster": []}
            for number in range(ROUNDS):
                times["one machine"].append(timed(command(folder, f"one{number}")))
                many = [*command(folder, f"many{number}"), "--cluster", nodes.address]
                times["cluster"].append(timed(many))
            lost = [*command(folder, "lost"), "--cluster", nodes.address]
            half = float(np.median(times["cluster"])) / 2
            lose_half_way = functools.partial(lose, nodes, after_s=half)
            times["cluster, a node lost half-way"] = [timed(lost, lose_half_way)]
            rows += table(command.__name__, options, times)
    print_table(rows)
    write_csv("cluster", rows)


def table(command: str, options: ClusterBenchmarkOptions, times: dict[str, list[float]]):
    """A row for each way of a command: medians of its times."""
    base = float(np.median(times["one machine"]))
    return [
        {
            "command": command,
            "where": where,
            "videos": options.videos,
            "nodes": 1 if where == "one machine" else options.nodes,
            "runs": len(seconds),
            "median_s": f"{np.median(seconds):.1f}",
            "fastest_s": f"{min(seconds):.1f}",
            "ratio": f"{np.median(seconds) / base:.2f}",
        }
        for where, seconds in times.items()
    ]


def prepare(folder: Path, name: str) -> list[str]:
    """The arguments that make a store; in a folder of its own, as frames are taken from beside."""
    store = folder / name / "store"
    data = ["--dataset", "folder", "--data-dir", str(folder / "videos")]
    return ["training.prepare", *data, "--store", str(store)]


def predict(folder: Path, name: str) -> list[str]:
    """The arguments that make a table."""
    table = folder / f"{name}.csv"
    run, videos = str(folder / "run"), str(folder / "videos")
    return ["training.predict", run, videos, "--views", "shared", "--out", str(table)]


def timed(command: list[str], disturb: Callable[[], None] = lambda: None) -> float:
    """Seconds of `python -m COMMAND` while something is done to it."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.DEVNULL) as process:
        disturb()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start


def lose(nodes: Nodes, *, after_s: float):
    """Kills a node after so many seconds, and adds another at once."""
    time.sleep(after_s)
    nodes.kill()
    nodes.add()


def make_videos(folder: Path, count: int):
    """Writes videos of random squares in two classes."""
    for number in range(count):
        video = folder / CLASSES[number % 2] / f"{number}.mp4"
        coarse_video(video, num_frames=NUM_FRAMES, square=SQUARE, seed=number)


if __name__ == "__main__":
    cli.run(main, ClusterBenchmarkOptions)

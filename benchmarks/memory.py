"""Memory of the clip-pair pipeline, small store against large: python -m benchmarks.memory

One pass of `training_batches` (preset small, its batch size) over 928 videos, as many as J-HMDB
has, and over five times as many. The stores are hard links to a few videos and their records:
the index has its full length, and every entry its own files. Each pass runs in a process of its
own and reads /proc/self/status after every step (Linux); three of each, in turn. A step takes a
fifth of a second at least, as in training, so that the batches which are read ahead are there
in all of them. About three minutes on two cores.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import own_process, print_table, write_csv
from benchmarks.samples import coarse_video
from fstcn_keras import PRESETS
from training.data import collections
from training.data.pipeline import training_batches
from training.data.preparation import prepare_store
from training.data.samplers import ClipPairs, TrainingSampler
from training.data.store import record_file
from training.recipes import RECIPES

NUM_VIDEOS = (928, 5 * 928)
ROUNDS = 3
STEP_S = 0.2
MB = 2**20
LIMIT_MB = 50
FIELDS = {"VmRSS": "rss", "RssAnon": "anonymous"}  # RssAnon: without mapped files
SOURCES = 8  # videos that are encoded; the rest are links to them
SHORT_SIDE = PRESETS["small"].short_side


def main():
    """Prints and writes the table."""
    with tempfile.TemporaryDirectory() as name:
        roots = {number: Path(name, str(number)) for number in NUM_VIDEOS}
        for number, root in roots.items():
            make_store(root, number)
        rows = [
            {"videos": number, **summary(own_process("benchmarks.memory", str(roots[number])))}
            for _ in range(ROUNDS)
            for number in NUM_VIDEOS
        ]
    print_table(rows)
    for field in FIELDS.values():
        print(verdict(rows, field))
    write_csv("memory", rows)


def summary(steps: list[dict[str, float]]) -> dict[str, float]:
    """Number of steps; means over the second and the last quarter, and the highest of all.

    Args:
        steps: megabytes by field, after every step.
    """
    quarter = len(steps) // 4
    figures = {"steps": len(steps)}
    for field in FIELDS.values():
        values = [step[field] for step in steps]
        figures[f"{field}_q2_mb"] = round(statistics.mean(values[quarter : 2 * quarter]), 1)
        figures[f"{field}_q4_mb"] = round(statistics.mean(values[-quarter:]), 1)
        figures[f"{field}_max_mb"] = round(max(values), 1)
    return figures


def verdict(rows: list[dict], field: str) -> str:
    """How much more the larger store takes, in one line."""
    small, large = (
        [row[f"{field}_max_mb"] for row in rows if row["videos"] == number] for number in NUM_VIDEOS
    )  # of each round
    typical = statistics.median(large) - statistics.median(small)
    most = max(large) - min(small)
    return (
        f"{field}: {NUM_VIDEOS[1]} videos take {typical:+.1f} MB against {NUM_VIDEOS[0]} (median; "
        f"{most:+.1f} MB at most; limit {LIMIT_MB} MB: "
        f"{'kept' if most < LIMIT_MB else 'EXCEEDED'})"
    )


def one_pass(root: Path):
    """Opens the store, runs through one pass and prints the memory after every step."""
    videos = collections.read_folder(root / "videos").videos
    paths = [video.path for video in videos]
    store = prepare_store(root / "store", root / "videos", paths, short_side=SHORT_SIDE)
    sampler = TrainingSampler(store, videos, ClipPairs(PRESETS["small"]), seed=[0])
    batch_size = RECIPES["modern", "small"].batch_size
    batches = training_batches(sampler, batch_size=batch_size)
    steps = []
    for _ in batches.take(-(-len(videos) // batch_size)):
        time.sleep(STEP_S)
        steps.append(memory())
    print(json.dumps(steps))


def memory() -> dict[str, float]:
    """Resident memory of this process, megabytes by field."""
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return {name: int(values[key].split()[0]) * 1024 / MB for key, name in FIELDS.items()}


def make_store(root: Path, number: int):
    """A collection of links in `root/videos`, and its store, of links too, in `root/store`."""
    videos, store = root / "videos", root / "store"
    paths = [f"c{count % 21}/{count}.avi" for count in range(number)]
    for seed, path in enumerate(paths[:SOURCES]):
        coarse_video(videos / path, num_frames=40, square=8, seed=seed)
    prepare_store(store, videos, paths[:SOURCES], short_side=SHORT_SIDE)
    for count, path in enumerate(paths[SOURCES:]):
        source = paths[count % SOURCES]
        links = {
            videos / path: videos / source,
            record_file(store, path): record_file(store, source),
        }
        for target, existing in links.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(existing, target)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one_pass(Path(sys.argv[1]))
    else:
        main()

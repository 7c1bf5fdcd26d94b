"""Whole jobs beside what one would use instead: python -m benchmarks.jobs

The same videos of 3 seconds, 320x240 at 25 frames a second, are classified by `training.predict`
with networks of random weights, and by the networks of `benchmarks.video_peers`. Every job is a
process of its own, from its start to its end; they take turns:

- cold: one video to its answer;
- warm: the same in a process that has answered before (median of --repeats);
- a folder of --videos videos to a table of answers, the share of all cores' time that it used, and
  its largest resident memory.

Operations are of one video, products with weights and of attention: of our networks what all its
views would take if each were computed by itself. Needs torch, torchvision and transformers,
`pip install -e '.[bench]'`. With the defaults more than an hour on two cores.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from joblib import cpu_count

from benchmarks.flops import inference_flops
from benchmarks.report import children_s, own_process, print_table, write_csv
from benchmarks.samples import coarse_video, random_run
from fstcn_keras import ActionClassifier

NUM_CLASSES = 21
FRAMES = 75
TABLE = "answers.csv"
LOOK_S = 0.1  # between two looks at the memory
OURS = (("small", "exact"), ("small", "shared"), ("lite", "exact"), ("lite", "shared"))
PEERS = ("VideoMAE-base", "TimeSformer-base", "R(2+1)D-18", "S3D", "MViTv2-S", "TSN-ResNet-50")


@dataclass
class Job:
    """One way to classify videos.

    Attributes:
        name: of the network, and of the views.
        classify: the command, to which files are added.
        measure: the command that prints JSON with `warm`, `operations` and `views`.
        cold: seconds of the command for one video.
        folder: seconds of the command for all videos.
        processor: processor seconds of the latter, with all its processes.
        memory: its largest resident memory, MB.
    """

    name: str
    classify: Sequence[str]
    measure: Sequence[str]
    cold: list[float] = field(default_factory=list)
    folder: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


def main():
    """Prints and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--videos", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", choices=_names(), default=_names())
    parser.add_argument("--ours", nargs=3, metavar=("RUN", "VIEWS", "FILE"), help="measure warm")
    options = parser.parse_args()
    if options.ours:
        run, views, file = options.ours
        print(json.dumps(warm(Path(run), views, Path(file), options.repeats)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [
            coarse_video(folder / "videos" / f"{n}.mp4", num_frames=FRAMES, square=16, seed=n)
            for n in range(options.videos)
        ]
        jobs = [job for job in all_jobs(folder, options.repeats) if job.name in options.jobs]
        for turn in range(options.rounds):
            for job in jobs:
                (folder / TABLE).unlink(missing_ok=True)
                job.cold.append(timed([*job.classify, str(files[0])])[0])
                if turn == 0:  # long enough to be measured once
                    (folder / TABLE).unlink(missing_ok=True)
                    found = timed([*job.classify, *map(str, files)])
                    for values, value in zip(
                        (job.folder, job.processor, job.memory), found, strict=True
                    ):
                        values.append(value)
        rows = [row(job, own_process(*job.measure, str(files[0])), len(files)) for job in jobs]
    print_table(rows)
    write_csv("jobs", rows)


def _names() -> list[str]:
    return [*(f"FSTCN {preset}, {views}" for preset, views in OURS), *PEERS]


def all_jobs(folder: Path, repeats: int) -> list[Job]:
    """Returns ours, whose networks are made in the folder, and the others."""
    runs = {
        preset: str(random_run(folder / preset, num_classes=NUM_CLASSES, preset=preset))
        for preset, _ in OURS
    }
    count = ["--repeats", str(repeats)]
    ours = [
        Job(
            f"FSTCN {preset}, {views}",
            ["training.predict", runs[preset], "--views", views, "--out", str(folder / TABLE)],
            ["benchmarks.jobs", *count, "--ours", runs[preset], views],
        )
        for preset, views in OURS
    ]
    peer = "benchmarks.video_peers"
    return [*ours, *(Job(name, [peer, name], [peer, *count, name]) for name in PEERS)]


def timed(command: Sequence[str]) -> tuple[float, float, float]:
    """Returns wall and processor seconds and the largest resident memory, MB, of a command.

    Args:
        command: what follows `python -m`.
    """
    before, begin, memory = children_s(), time.perf_counter(), 0
    process = psutil.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[1],
    )
    while True:
        try:
            code = process.wait(LOOK_S)
            break
        except psutil.TimeoutExpired:
            with contextlib.suppress(psutil.NoSuchProcess):
                tree = [process, *process.children(recursive=True)]
                memory = max(memory, sum(each.memory_info().rss for each in tree))
    if code:
        raise RuntimeError(f"python -m {' '.join(command)} ended with {code}")
    return time.perf_counter() - begin, children_s() - before, memory / 2**20


def row(job: Job, measured: dict, videos: int) -> dict:
    """Returns the job's row of the table."""
    folder_s = statistics.median(job.folder)
    return {
        "network": job.name,
        "views": measured["views"],
        "GFLOP a video": f"{measured['operations'] / 1e9:.0f}",
        "one video, cold, s": f"{statistics.median(job.cold):.2f}",
        "one video, warm, s": f"{statistics.median(measured['warm']):.3f}",
        f"{videos} videos, s": f"{folder_s:.1f}",
        "videos a second": f"{videos / folder_s:.2f}",
        "cores busy, %": f"{100 * statistics.median(job.processor) / folder_s / cpu_count():.0f}",
        "memory, MB": f"{statistics.median(job.memory):.0f}",
    }


def warm(run: Path, views: str, file: Path, repeats: int) -> dict:
    """Returns seconds of each answer after the first, and operations of the views."""
    classifier = ActionClassifier.load(run, mode=views)
    classifier.predict_video(file)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        prediction = classifier.predict_video(file)
        seconds.append(time.perf_counter() - begin)
    clips, crops = len(prediction.clip_scores), prediction.protocol["num_crops"]
    operations = clips * crops * inference_flops(classifier.model)
    return {"warm": seconds, "operations": operations, "views": f"{clips} clips x {crops} crops"}


if __name__ == "__main__":
    main()

"""What many hours of video take on a cluster: python -m benchmarks.plan --data-dir DIR --run RUN

Measures, on this machine and the videos of a folder, what an hour of video takes: bytes of its
files and of the frame store, core-seconds to prepare it and to score it by a run (shared views),
and what it costs Ray to give out a task. Then simulates `prepare` and `predict` of 1,000
and of 1,000,000 hours on clusters whose nodes fail at given rates: the times of tasks are sums of
measured ones, drawn at random. Of a large cluster the work of four nodes is simulated, which the
process that gives out tasks serves in its turn. Needs the extra `cluster`; minutes on two cores.
"""

import bisect
import functools
import heapq
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from benchmarks.prepare import timed
from benchmarks.ray_nodes import cluster_of
from benchmarks.report import print_table, write_csv
from fstcn_keras import ActionClassifier
from fstcn_keras.video.suffixes import videos_below
from training import cli
from training.on_cluster import MAX_ITEMS, ClusterOptions, connected, spread
from training.parts import option

HOUR_S = 3600.0
SCORED = 40  # videos whose scoring is timed
TASKS = 1000  # whose giving out is timed
CORES = 16  # of a node
REPAIR_S = 600.0  # from the end of a node until another one stands in for it
SIZES = ((1_000, 4), (1_000_000, 250))  # hours of video, and nodes
SLICE = 4  # nodes that are simulated
DRAWN = 10_000  # tasks with times of their own
SEED = 0
DAYS_BETWEEN_FAILURES = (math.inf, 30.0, 1.0)  # of each node


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What is measured."""

    data_dir: Path = option(Path(), "folder of videos, at any depth; all that can be read")
    run: Path = option(Path(), "of the network that scores them")


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What was measured.

    Attributes:
        seconds: that each video lasts.
        source_bytes: of all files.
        store_bytes: of their frame store.
        prepare_s: core-seconds to prepare each video.
        score_s: to score some of them, decoding included.
        task_s: of the process that gives out tasks, for each.
    """

    seconds: np.ndarray
    source_bytes: int
    store_bytes: int
    prepare_s: np.ndarray
    score_s: np.ndarray
    task_s: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a simulated job went.

    Attributes:
        wall_s: from its start to the end of its last task.
        lost_s: core-seconds of tasks that were tried again elsewhere.
        giving_s: seconds in which the process that gives out tasks was at work.
    """

    wall_s: float
    lost_s: float
    giving_s: float


def main(options: PlanOptions):
    """Prints and writes the tables."""
    costs = measured(options)
    rows = [per_hour(costs)]
    print_table(rows)
    write_csv("plan-costs", rows)
    rows = [
        row
        for hours, nodes in SIZES
        for command, times in (("prepare", costs.prepare_s), ("predict", costs.score_s))
        for row in planned(costs, command, times, hours=hours, nodes=nodes)
    ]
    print_table(rows)
    write_csv("plan", rows)


def measured(options: PlanOptions) -> Costs:
    """Measures what the videos take."""
    files = videos_below(options.data_dir)
    seconds, frames = np.array([length(file) for file in files]).T
    with tempfile.TemporaryDirectory() as name:
        data = ["--dataset", "folder", "--data-dir", str(options.data_dir)]
        store = Path(name) / "store"  # alone in its folder, as frames are taken from beside
        _, prepare_s = timed(["training.prepare", *data, "--store", str(store)])
        store_bytes = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file())
    classifier = ActionClassifier.load(options.run, mode="shared")
    drawn = np.random.default_rng(0).choice(files, SCORED + 1, replace=False)
    score_s = []
    for file in drawn:
        begin = time.process_time()
        classifier.predict_video(file)
        score_s.append(time.process_time() - begin)
    return Costs(
        seconds=seconds,
        source_bytes=sum(file.stat().st_size for file in files),
        store_bytes=store_bytes,
        prepare_s=prepare_s * frames / frames.sum(),
        score_s=np.array(score_s[1:]),  # the first one compiles
        task_s=seconds_a_task(),
    )


def length(file: Path) -> tuple[float, int]:
    """Returns the seconds and frames of a video, as its container has them."""
    with av.open(file) as container:
        (stream, *_) = container.streams.video
        frames = stream.frames or sum(1 for _ in container.decode(stream))
        return float(frames / stream.average_rate), frames


def seconds_a_task() -> float:
    """Returns what a task that does nothing takes the process that gives it out."""
    items, nothing = range(TASKS * MAX_ITEMS), functools.partial(functools.partial, iter)
    with cluster_of(1) as nodes, connected(ClusterOptions(cluster=nodes.address)):
        list(spread(nothing, items[:MAX_ITEMS], shared=()))  # the process starts
        begin = time.process_time()
        list(spread(nothing, items, shared=()))
        return (time.process_time() - begin) / TASKS


def per_hour(costs: Costs) -> dict:
    """Returns what an hour of such video takes."""
    hours = costs.seconds.sum() / HOUR_S
    score_s = costs.score_s.mean() * len(costs.seconds) / hours
    return {
        "videos": len(costs.seconds),
        "seconds a video": f"{costs.seconds.mean():.2f}",
        "files, MB an hour": f"{costs.source_bytes / hours / 1e6:.0f}",
        "store, MB an hour": f"{costs.store_bytes / hours / 1e6:.0f}",
        "prepare, core-hours an hour": f"{costs.prepare_s.sum() / hours / HOUR_S:.4f}",
        "predict, core-hours an hour": f"{score_s / HOUR_S:.3f}",
        "a task given out, ms": f"{1e3 * costs.task_s:.2f}",
    }


def planned(costs: Costs, command: str, times: np.ndarray, *, hours: int, nodes: int) -> list[dict]:
    """Returns a row for each rate of failures."""
    share = hours * HOUR_S / costs.seconds.sum()  # of what was measured
    num_videos = round(share * len(costs.seconds))
    work_s = num_videos * times.mean()
    moved = costs.source_bytes + costs.store_bytes * (command == "prepare")
    rows = []
    for days in DAYS_BETWEEN_FAILURES:
        outcome = simulated(
            times,
            num_tasks=math.ceil(num_videos / MAX_ITEMS * SLICE / nodes),
            nodes=SLICE,
            days=days,
            task_s=costs.task_s * nodes / SLICE,
        )
        rows.append(
            {
                "command": command,
                "hours of video": hours,
                "videos": num_videos,
                "cores": nodes * CORES,
                "a node fails every": "never" if days == math.inf else f"{days:g} d",
                "core-hours": f"{work_s / HOUR_S:.0f}",
                "without any cost, hours": f"{work_s / HOUR_S / nodes / CORES:.2f}",
                "hours": f"{outcome.wall_s / HOUR_S:.2f}",
                "done twice": f"{outcome.lost_s * nodes / SLICE / work_s:.2%}",
                "giving out, busy": f"{outcome.giving_s / outcome.wall_s:.0%}",
                "network, Gbit/s": f"{8 * share * moved / outcome.wall_s / 1e9:.2f}",
            }
        )
    return rows


def simulated(
    times: np.ndarray, *, num_tasks: int, nodes: int, days: float, task_s: float
) -> Outcome:
    """Simulates tasks of `MAX_ITEMS` videos, given out one after another to whichever core is free.

    A node that fails takes the tasks of its cores with it; they are given out again, and its cores
    come back `REPAIR_S` later.

    Args:
        times: core-seconds of videos, from which those of each task are drawn.
        num_tasks: how many.
        nodes: how many, of `CORES` cores each.
        days: between two failures of a node, on average (exponential distribution).
        task_s: what each task takes the process that gives it out.
    """
    random = np.random.default_rng(SEED)
    tasks = [float(times[random.integers(len(times), size=MAX_ITEMS)].sum()) for _ in range(DRAWN)]
    horizon_s = 10 * num_tasks * (max(tasks) / (nodes * CORES) + task_s)
    failures = [_failures(random, days, horizon_s) for _ in range(nodes)]
    free = [(0.0, core) for core in range(nodes * CORES)]
    lost: list[tuple[float, float]] = []  # when, and how long they take
    left, given, lost_s, wall_s, giver_free = num_tasks, 0, 0.0, 0.0, 0.0
    while left or lost:
        now, core = heapq.heappop(free)
        if not left and now < lost[0][0]:  # it waits for what another one is about to lose
            now = lost[0][0]
        of_node = failures[core // CORES]
        number = bisect.bisect_right(of_node, now)
        if number and now < of_node[number - 1] + REPAIR_S:  # its node has failed meanwhile
            heapq.heappush(free, (of_node[number - 1] + REPAIR_S, core))
            continue
        if lost and lost[0][0] <= now:
            duration = heapq.heappop(lost)[1]
        else:
            left -= 1
            duration = tasks[left % DRAWN]
        begin = giver_free = max(giver_free, now) + task_s
        given += 1
        failed = of_node[number] if number < len(of_node) else math.inf
        if failed < begin + duration:
            lost_s += max(0.0, failed - begin)
            heapq.heappush(lost, (failed, duration))
            heapq.heappush(free, (failed + REPAIR_S, core))
        else:
            wall_s = max(wall_s, begin + duration)
            heapq.heappush(free, (begin + duration, core))
    return Outcome(wall_s=wall_s, lost_s=lost_s, giving_s=given * task_s)


def _failures(random: np.random.Generator, days: float, horizon_s: float) -> list[float]:
    if days == math.inf:
        return []
    spacing_s = days * 24 * HOUR_S
    count = math.ceil(2 * horizon_s / spacing_s) + 10
    return np.cumsum(random.exponential(spacing_s, count) + REPAIR_S).tolist()


if __name__ == "__main__":
    cli.run(main, PlanOptions)

"""How time and memory grow with the size of the task: python -m benchmarks.scaling

Each quantity takes three sizes or more, all else alike, each in a process of its own, whose
highest resident memory is that of the whole process. A training step (preset small, one that
returns its loss as a number) against frames of a clip, pixels of a crop, classes and replicas
on logical devices of the same processor; scoring a video against its clips of 18 crops; opening
a store and looking for near duplicates against its videos. An exponent is a slope on logarithmic
axes, 1 is proportional: in the table from the size before, in the verdicts from the first size to
the last. About four minutes on two cores.
"""

import base64
import dataclasses
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from array_record.python.array_record_module import ArrayRecordWriter
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.keras_steps import built_network, training_call
from benchmarks.report import RESULTS, circumstances, own_process, print_table, write_csv
from benchmarks.views import scoring
from fstcn_keras import PRESETS
from training.data.lookalikes import SIDE, TIMES
from training.data.preparation import prepare_store
from training.data.store import StoredVideo, record_file
from training.figures import PALETTE, add_caption, save_figure

WARMUP, ROUNDS = 2, 5
BATCH = 8
CLASSES = 50
LENGTH = 90  # of a stored video, frames
SUPER_LINEAR = 1.1  # an exponent above it is named


@dataclasses.dataclass(frozen=True)
class Quantity:
    """What grows, and what is done with it.

    Attributes:
        unit: what a size counts.
        sizes: increasing.
        prepare: gives, for a size, the function that is timed; it returns when its work is done.
    """

    unit: str
    sizes: tuple[int, ...]
    prepare: Callable[[int], Callable[[], object]]


def training_step(
    *, clip_length: int = 5, crop_size: int = 108, num_classes: int = CLASSES, replicas: int = 1
) -> Callable[[], float]:
    """A training step of preset small on `BATCH` clip pairs a replica; it returns the loss."""
    devices = [tf.config.LogicalDeviceConfiguration()] * replicas
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(names)
    model, optimizer = built_network(
        "adam",
        strategy,
        preset="small",
        num_classes=num_classes,
        clip_length=clip_length,
        crop_size=crop_size,
        short_side=crop_size,
    )
    return training_call(model, optimizer, strategy, batch=BATCH * replicas)


def opening(num_videos: int) -> Callable[[], object]:
    """Opening a store of so many videos, none of whose files has changed, near duplicates too."""
    folder = tempfile.TemporaryDirectory()
    paths = _write_store(Path(folder.name), num_videos)

    def open_store(folder=folder):
        root = Path(folder.name)
        store = prepare_store(root / "store", root, paths, short_side=PRESETS["small"].short_side)
        return store.look_alikes

    return open_store


def _write_store(root: Path, num_videos: int) -> list[str]:
    """Empty videos and their facts, each with a random signature; gives the paths."""
    generator = np.random.default_rng(0)
    paths = [f"class{number % 100}/{number}.avi" for number in range(num_videos)]
    for path in paths:
        video = root / path
        video.parent.mkdir(exist_ok=True)
        video.touch()
        facts = StoredVideo(
            path=path,
            source_bytes=0,
            source_mtime_ns=video.stat().st_mtime_ns,
            num_frames=LENGTH,
            height=PRESETS["small"].short_side,
            width=PRESETS["small"].short_side,
            signature=base64.b64encode(generator.bytes(TIMES * SIDE**2)).decode(),
        )
        record = record_file(root / "store", path)
        record.parent.mkdir(parents=True, exist_ok=True)
        writer = ArrayRecordWriter(str(record), "group_size:1,uncompressed")
        writer.write(facts.to_json())
        writer.close()
    return paths


QUANTITIES = {
    "clip length": Quantity("frames", (3, 5, 10, 20), lambda n: training_step(clip_length=n)),
    "crop": Quantity(
        "pixels", (76**2, 108**2, 156**2, 220**2), lambda n: training_step(crop_size=math.isqrt(n))
    ),
    "classes": Quantity("classes", (10, 100, 1000, 10000), lambda n: training_step(num_classes=n)),
    "replicas": Quantity("devices", (1, 2, 4), lambda n: training_step(replicas=n)),
    "views": Quantity("clips of 18 crops", (1, 5, 10, 20), lambda n: scoring("small", num_clips=n)),
    "store": Quantity("videos", (1000, 10000, 100000), opening),
}


def main():
    """Prints the table, writes it and draws it."""
    rows = []
    for name, quantity in QUANTITIES.items():
        before = None
        for size in quantity.sizes:
            row = {"quantity": name, "size": size, "unit": quantity.unit}
            row |= own_process("benchmarks.scaling", name, str(size))
            for kind in ("s", "mb"):
                row[f"exponent_{kind}"] = f"{slope(before, row, kind):.2f}" if before else ""
            rows.append(row)
            before = row
    print_table(rows)
    for name in QUANTITIES:
        print(verdict(name, [row for row in rows if row["quantity"] == name]))
    write_csv("scaling", rows)
    save_figure(draw(rows), RESULTS / "scaling.png")


def slope(one: dict, other: dict, kind: str) -> float:
    """Exponent of the growth of a cost, `"s"` or `"mb"`, from one row's size to another's."""
    return math.log(other[kind] / one[kind]) / math.log(other["size"] / one["size"])


def measure(name: str, size: int):
    """Prints the median seconds and the highest resident megabytes of this process."""
    call = QUANTITIES[name].prepare(size)
    seconds = []
    for _ in range(WARMUP + ROUNDS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"s": round(statistics.median(seconds[WARMUP:]), 5), "mb": round(peak)}))


def verdict(name: str, rows: list[dict]) -> str:
    """Whether the largest size costs more than its share of the smallest, in one line."""
    exponents = {"time": slope(rows[0], rows[-1], "s"), "memory": slope(rows[0], rows[-1], "mb")}
    text = ", ".join(f"{kind} {value:.2f}" for kind, value in exponents.items())
    worse = max(exponents.values()) > SUPER_LINEAR
    return f"{name}: exponents {text}: {'SUPER-LINEAR' if worse else 'not super-linear'}"


def draw(rows: list[dict]) -> Figure:
    """Time and memory, as multiples of those of the first size, a panel for each quantity."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    for axes, (name, quantity) in zip(figure.subplots(2, 3).flat, QUANTITIES.items(), strict=True):
        of_name = [row for row in rows if row["quantity"] == name]
        sizes = [row["size"] for row in of_name]
        axes.set_prop_cycle(color=PALETTE)
        for unit, (kind, scale), line in zip(
            ("s", "GB"), {"s": 1, "mb": 1024}.items(), ("o-", "s--"), strict=True
        ):
            costs = [row[kind] / scale for row in of_name]
            text = f"{costs[0]:.2g} to {costs[-1]:.2g} {unit}"
            axes.loglog(sizes, [cost / costs[0] for cost in costs], line, label=text)
        proportional = [size / sizes[0] for size in sizes]
        axes.loglog(sizes, proportional, ":", color="grey", label="proportional")
        axes.set(title=name, xlabel=quantity.unit, ylabel="times the first")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.legend(loc="upper left")
    add_caption(figure, circumstances())
    return figure


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        main()

"""Where the time of fit and evaluate goes: python -m benchmarks.costs [--preset PRESET]

Training steps on the demo's clip pairs as `training.fit` does them, then exact views of a video
of 90 frames as `training.evaluate` scores them. Of the steps also the time that they wait for
the next batch. Then both once more under TensorFlow's profiler, whose operations are summed up
by layer, forward and backward, and the ten that take most are named. Operations run on several
threads at once: shares are of the time of all operations, not of the wall time. `fit` trains in
the number format that is fast here, evaluation is in float32.
"""

import collections
import dataclasses
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.report import print_table, write_csv
from benchmarks.views import scoring
from fstcn_keras import PRESETS
from training import cli
from training.data.pipeline import training_batches
from training.data.splits import open_data, split_training
from training.distribution import device_strategy
from training.loop import train_step
from training.options import FitOptions
from training.parts import build, option
from training.stages import TrainingVideos, clip_stage

WARMUP, STEPS, PROFILED, LARGEST = 3, 20, 3, 10
SCOPES = (  # no layers
    "gradient_tape",
    "convolution",
    "mul",
    "add",
    "sub",
    "truediv",
    "transpose",
    "stateless_dropout",
    "stateless_random_uniform",
)
INPUT = ("PyFuncStateless", "DecodeAndCropJpeg")  # operations of `training.data.pipeline`
_PROGRAM = re.compile(r"^a_inference_+(?P<name>\w+?)_\d+__")  # XLA's name of a function of ours
_EVENT = re.compile(r"^(?P<path>[\w/.]+):_?(?P<operation>[A-Z]\w+)$")  # op:Type, as TensorFlow does


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostsOptions:
    """What to measure."""

    preset: Literal[tuple(PRESETS)] = option("small", "size of the network")


def main(options: CostsOptions):
    """Prints the waiting time and the largest costs, and writes them."""
    with tempfile.TemporaryDirectory() as folder:
        step = training_step(build(FitOptions, preset=options.preset, out=Path(folder)))
        for _ in range(WARMUP):
            step()
        waited, total = np.sum([step() for _ in range(STEPS)], axis=0)
        print(f"{options.preset}: {total / STEPS:.3f} s a step")
        costs = {"waiting for a batch, wall time": waited / STEPS}
        rows = table("a step of fit", costs, total / STEPS)
        rows += largest_costs(step, "a step of fit")
    score = scoring(options.preset)
    score()
    rows += largest_costs(score, "a video of evaluate")
    print_table(rows)
    write_csv(f"costs-{options.preset}", [{"preset": options.preset, **row} for row in rows])


def training_step(options: FitOptions) -> Callable[[], tuple[float, float]]:
    """A function that trains one step on the next batch; it gives seconds waited, and of all."""
    dataset, store = open_data(
        options.collection, options.split, options.store, short_side=options.config().short_side
    )
    train, _ = split_training(dataset, store, val_fraction=0.0, seed=options.run.seed)
    videos = TrainingVideos(store=store, train=train, held_out=[], num_classes=len(dataset.classes))
    strategy = device_strategy()
    with strategy.scope():
        stage = clip_stage("global", options, videos, options.run_folder(), before=None)
    batches = iter(training_batches(stage.sampler, batch_size=options.optimization.batch_size))
    step = train_step(stage, strategy)

    def next_step() -> tuple[float, float]:
        begin = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - begin
        step(*batch, tf.constant(0.0)).numpy()
        return waited, time.perf_counter() - begin

    return next_step


def largest_costs(call: Callable[[], object], name: str) -> list[dict]:
    """What takes most: seconds of a call, summed over threads, and shares of all operations."""
    seconds = operation_seconds(lambda: [call() for _ in range(PROFILED)])
    costs = {what: taken / PROFILED for what, taken in seconds.most_common(LARGEST)}
    return table(name, costs, sum(seconds.values()) / PROFILED)


def table(name: str, costs: dict[str, float], total: float) -> list[dict]:
    """Rows of the costs, in seconds, of something that takes `total` seconds."""
    return [
        {"of": name, "what": what, "seconds": f"{cost:.5f}", "share": f"{cost / total:.4f}"}
        for what, cost in costs.items()
    ]


def operation_seconds(call: Callable[[], object]) -> collections.Counter:
    """Seconds of TensorFlow's operations during a call, by layer and direction."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            call()
        (file,) = Path(folder).glob("**/*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    seconds = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                found = _EVENT.match(plane.event_metadata[event.metadata_id].name)
                what = describe(**found.groupdict()) if found else compiled_function(plane, event)
                if what:
                    seconds[what] += event.duration_ps / 1e12
    return seconds


def compiled_function(plane: xplane_pb2.XPlane, event: xplane_pb2.XEvent) -> str | None:
    """The function of `dispatch.compiled` that an event of XLA is part of."""
    for stat in event.stats:
        if plane.stat_metadata[stat.metadata_id].name == "hlo_module":
            module = stat.str_value or plane.stat_metadata[stat.ref_value].name
            found = _PROGRAM.match(module)
            return f"compiled {found['name']}" if found else None
    return None


def describe(path: str, operation: str) -> str:
    """What an operation is part of: the layer and its direction, or the optimiser.

    Args:
        path: the operation's name in the graph, e.g. `gradient_tape/fstcn/scl/conv1/BiasAddGrad`.
        operation: its type; `Mkl` and `Native` say which library computes it.
    """
    kind = re.sub("Mkl|Native|WithBias|Fused", "", operation)
    if kind in INPUT:
        return "input pipeline"
    if re.match(r"fine_tuning|loss_scale", path):
        return "update of the weights"
    backward = path.startswith("gradient_tape/")
    names = [re.sub(r"_\d+$", "", name) for name in path.split("/")]
    layers = [name for name in names[:-1] if name[0].islower() and name not in SCOPES]
    if len(layers) < 2:  # not inside the network
        return f"{kind}, {'backward' if backward else 'forward'}, of no layer"
    layer = layers[-1]
    if backward and kind.startswith("Conv2DBackprop"):
        return f"{layer}, gradient of its {kind.removeprefix('Conv2DBackprop').lower()}"
    return f"{layer}, {'backward' if backward else 'forward'}"


if __name__ == "__main__":
    cli.run(main, CostsOptions)

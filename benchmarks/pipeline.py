"""What feeds the network, and what limits it: python -m benchmarks.pipeline [--data-dir DIR ...]

For both ways of keeping frames and each preset: clips a second of every stage on one core, of
the whole pipeline on all cores, of decoding the video files anew for each clip with PyAV on all
cores, and of a training step of the network. Everything draws the same training clips. The
stores are made first, in the user's cache folder.
"""

import dataclasses
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import av
import numpy as np

from benchmarks import keras_steps
from benchmarks.report import alternate, write_csv
from fstcn_keras import PRESETS
from fstcn_keras.runs import SPLITS
from training import cli
from training.cli import option
from training.data import pipeline
from training.data.pipeline import training_batches
from training.data.samplers import ClipPairs, TrainingSampler
from training.data.splits import open_data
from training.data.store import ENCODINGS
from training.options.collection import SPLIT_HELP, CollectionOptions
from training.parts import part

BATCH = 32
ROUNDS = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """Which videos to read."""

    collection: CollectionOptions = part(CollectionOptions)
    split: Literal[SPLITS] = option(1, SPLIT_HELP)
    presets: tuple[Literal[tuple(PRESETS)], ...] = option(("paper", "small"), "which networks")
    seconds: float = option(4.0, "length of each measurement")


def main(options: PipelineOptions):
    """Prints the rates and what limits, and writes the table."""
    rows = []
    for preset in options.presets:
        config = PRESETS[preset]
        step = step_rate(preset)
        stores = {}
        for encoding in ENCODINGS:
            chosen = dataclasses.replace(options.collection, frames=encoding)
            dataset, stores[encoding] = open_data(
                chosen, options.split, None, short_side=config.short_side
            )
        videos = [v for v in dataset.side("train") if stores["raw"].videos[v.path].num_frames]
        samplers = {
            encoding: TrainingSampler(store, videos, ClipPairs(config), seed=[0])
            for encoding, store in stores.items()
        }
        whole = alternate_rates(
            {encoding: pipeline_batches(sampler) for encoding, sampler in samplers.items()}
            | {"PyAV": decoded_clips(dataset.root, samplers["raw"])},
            options.seconds,
        )
        for encoding in ENCODINGS:
            rates = stage_rates(samplers[encoding], options.seconds)
            row = {"preset": preset, "frames": encoding, **rates}
            row |= {"pipeline": whole[encoding], "PyAV per clip": whole["PyAV"], "step": step}
            rows.append(row)
            report(row)
    columns = dict.fromkeys(name for row in rows for name in row)
    write_csv(
        "pipeline",
        [{name: _rounded(row.get(name, "")) for name in columns} for row in rows],
    )


def report(row: dict):
    """One row for people, and what to change."""
    stages = {name: row[name] for name in ("read", "decode", "crop", "difference", "batch")}
    print(f"\npreset {row['preset']}, frames kept as {row['frames']}, clips/s:")
    for name, rate in stages.items():
        if np.isfinite(rate):
            print(f"  {name:42}{rate:9.0f}  on one core")
    print(f"  {'pipeline':42}{row['pipeline']:9.0f}  on all {os.cpu_count()} cores")
    ratio = row["pipeline"] / row["PyAV per clip"]
    print(
        f"  {'decoding the file for each clip, PyAV':42}{row['PyAV per clip']:9.0f}  on all cores; "
        f"the pipeline is {ratio:.1f} times as fast"
    )
    print(f"  {'training step of the network':42}{row['step']:9.1f}  on all cores")
    slowest = min(stages, key=stages.get)
    if row["step"] < row["pipeline"]:
        share = row["step"] / row["pipeline"]
        print(
            f"  the network limits: it takes {share:.0%} of what the pipeline can give. "
            "A faster device would help, faster reading would not"
        )
    else:
        change = "--frames raw, or more cores" if row["frames"] == "jpeg" else "more cores"
        print(f"  the pipeline limits, {slowest} most: try {change}")


def pipeline_batches(sampler: TrainingSampler) -> Callable[[], Iterator[int]]:
    """The batches as `fit` draws them, as an iterator of numbers of clips."""

    def batches() -> Iterator[int]:
        # a fixed number of steps: the pipeline's threads must be done before Python ends
        for _ in training_batches(sampler, batch_size=BATCH).take(10_000):
            yield BATCH

    return batches


def decoded_clips(root: Path, sampler: TrainingSampler) -> Callable[[], Iterator[int]]:
    """The same clips without a store: each decodes its video up to the last frame it needs."""

    def decode(position: int) -> int:
        sample = sampler[position]
        stored = sampler.store.videos[sample.video.path]
        wanted = set(sample.frame_indices.tolist())
        frames = {}
        with av.open(root / sample.video.path, metadata_errors="ignore") as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number in wanted:
                    frames[number] = frame.reformat(
                        stored.width, stored.height, "rgb24", threads=1
                    ).to_ndarray()
                if len(frames) == len(wanted):
                    break
        window = np.s_[
            sample.top : sample.top + sample.size, sample.left : sample.left + sample.size
        ]
        images = np.stack([frames[number][window] for number in sample.frame_indices.tolist()])
        sampler.layout.arrange(images)
        return 1

    def decoded() -> Iterator[int]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for start in itertools.count(0, BATCH):
                yield sum(pool.map(decode, range(start, start + BATCH)))

    return decoded


def alternate_rates(
    variants: dict[str, Callable[[], Iterator[int]]], seconds: float
) -> dict[str, float]:
    """Clips a second of each, median of rounds taken in turn; the first second warms up."""
    rates = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, make in variants.items():
            rates[name].append(_steady_rate(make(), seconds))
    return {name: statistics.median(values) for name, values in rates.items()}


def _steady_rate(counts: Iterator[int], seconds: float) -> float:
    begin = time.perf_counter()
    start = done = 0
    for count in counts:
        now = time.perf_counter()
        if not start and now - begin > 1:
            start = now
        elif start:
            done += count
            if now - start > seconds:
                return done / (now - start)
    raise RuntimeError("the iterator ended before the measurement")


def stage_rates(sampler: TrainingSampler, seconds: float) -> dict[str, float]:
    """Clips a second of each stage alone, on one core, one clip after another."""
    store, size = sampler.store, sampler.layout.config.crop_size
    seconds = seconds / 4

    def read(position: int):
        sample = sampler[position]
        indices = sample.frame_indices.tolist()
        if store.encoding == "jpeg":
            return store.read_jpegs(sample.video.path, indices)
        return list(store.raw_frames(sample.video.path, indices))

    def decode(position: int):
        sample = sampler[position]
        window = pipeline.decoded_window(sample, store.videos[sample.video.path].width)
        return [pipeline.decode_window(jpeg, window).numpy() for jpeg in records]

    def cut(position: int):
        return pipeline.stack_crops(crops, sampler[position].mirrored, sampler)

    records = read(0)
    rates = {"read": rate_of(read, seconds), "decode": float("inf")}
    if store.encoding == "jpeg":
        rates["decode"] = rate_of(decode, seconds)
    frame = np.zeros((size + 36, size + 36, 3), np.uint8)
    crops = [frame[:size, :size]] * sampler.layout.num_images
    images = np.zeros((sampler.layout.num_images, size, size, 3), np.uint8)
    rates["crop"] = rate_of(cut, seconds)
    rates["difference"] = rate_of(lambda _: sampler.layout.arrange(images), seconds)
    rates["batch"] = BATCH * rate_of(lambda _: np.stack([images] * BATCH), seconds)
    return rates


def rate_of(call: Callable[[int], object], seconds: float) -> float:
    """Calls a second, after a warm-up."""
    for position in range(20):
        call(position)
    begin = time.perf_counter()
    for position in itertools.count():
        call(position)
        if (elapsed := time.perf_counter() - begin) > seconds:
            return (position + 1) / elapsed


def step_rate(preset: str) -> float:
    """Clips a second of the training step of `benchmarks.step` on all cores, float32."""
    work = keras_steps.step(network=preset, precision="float32", phase="training", batch=BATCH)
    return BATCH / alternate({"step": work.call}, rounds=ROUNDS)["step"]


def _rounded(value):
    if isinstance(value, float):
        return f"{value:.4g}" if np.isfinite(value) else ""
    return value


if __name__ == "__main__":
    cli.run(main, PipelineOptions)

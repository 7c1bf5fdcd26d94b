"""What feeds the network, and what limits it: python -m benchmarks.pipeline [--data-dir DIR ...]

For both ways of keeping frames and each preset: clips a second of every stage on one core, of
the whole pipeline on all cores, of decoding the video files anew for each clip with PyAV on all
cores, and of a training step of the network. Everything draws the same training clips. The
stores are made first, in the user's cache folder.
"""

import dataclasses
import functools
import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

from benchmarks import keras_steps
from benchmarks.report import alternate, print_table, write_csv
from fstcn_keras import PRESETS
from training import cli
from training.data import pipeline
from training.data.pipeline import training_batches
from training.data.samplers import ClipPairs, TrainingSampler
from training.data.splits import decodable, open_data
from training.data.store import ENCODINGS
from training.options.collection import SPLIT_HELP, CollectionOptions
from training.parts import option, part

BATCH = 32
ROUNDS = 3
SECONDS = 4.0  # of a measurement of whole batches


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineOptions:
    """Which videos to read."""

    collection: CollectionOptions = part(CollectionOptions)
    split: int = option(1, SPLIT_HELP)


def main(options: PipelineOptions):
    """Prints the rates and what limits, and writes the table."""
    rows = []
    for preset in ("paper", "small"):
        config = PRESETS[preset]
        step = step_rate(preset)
        stores = {}
        for encoding in ENCODINGS:
            chosen = dataclasses.replace(options.collection, frames=encoding)
            dataset, stores[encoding] = open_data(
                chosen, options.split, None, short_side=config.short_side
            )
        videos = decodable(dataset.side("train"), stores["raw"])
        samplers = {
            encoding: TrainingSampler(store, videos, ClipPairs(config), seed=[0])
            for encoding, store in stores.items()
        }
        # a fixed number of steps: the pipeline's threads must be done before Python ends
        batches = {
            encoding: functools.partial(
                iter, training_batches(sampler, batch_size=BATCH).take(10_000)
            )
            for encoding, sampler in samplers.items()
        }
        batches["PyAV"] = functools.partial(decoded_batches, dataset.root, samplers["raw"])
        whole = alternate_rates(batches)
        for encoding in ENCODINGS:
            row = {"preset": preset, "frames": encoding, **stage_rates(samplers[encoding])}
            row |= {"pipeline": whole[encoding], "PyAV per clip": whole["PyAV"], "step": step}
            rows.append(row)
    table = [{name: _rounded(value) for name, value in row.items()} for row in rows]
    print("clips a second; read to batch are stages on one core, the others take all cores")
    print_table(table)
    for row in rows:
        print(f"{row['preset']}, {row['frames']}: {verdict(row)}")
    write_csv("pipeline", table)


def verdict(row: dict) -> str:
    """What limits, and what to change."""
    if row["step"] < row["pipeline"]:
        share = row["step"] / row["pipeline"]
        return f"the network limits, it takes {share:.0%} of what the pipeline can give"
    slowest = min(("read", "decode", "crop", "difference", "batch"), key=row.get)
    change = "--frames raw, or more cores" if row["frames"] == "jpeg" else "more cores"
    return f"the pipeline limits, {slowest} most: try {change}"


def decoded_batches(root: Path, sampler: TrainingSampler) -> Iterator[list]:
    """Batches of the same clips without a store: each decodes its video up to its last frame."""

    def decode(position: int) -> tuple[np.ndarray, ...]:
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
        return sampler.layout.arrange(images)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in itertools.count(0, BATCH):
            yield list(pool.map(decode, range(start, start + BATCH)))


def alternate_rates(variants: dict[str, Callable[[], Iterator]]) -> dict[str, float]:
    """Clips a second of each, from batches; median of rounds taken in turn."""
    rates = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, make in variants.items():
            batches = make()
            rates[name].append(BATCH * rate_of(lambda _, batches=batches: next(batches), SECONDS))
    return {name: statistics.median(values) for name, values in rates.items()}


def stage_rates(sampler: TrainingSampler) -> dict[str, float]:
    """Clips a second of each stage alone, on one core, one clip after another."""
    store, size = sampler.store, sampler.layout.config.crop_size
    seconds = SECONDS / 4

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
    """Calls a second, after a second of warming up."""
    begin, start, calls = time.perf_counter(), None, 0
    for position in itertools.count():
        call(position)
        now = time.perf_counter()
        if start is not None:
            calls += 1
            if now - start > seconds:
                return calls / (now - start)
        elif now - begin > 1:
            start = now


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

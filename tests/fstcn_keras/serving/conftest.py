"""A small network, served once for all tests of this folder."""

from pathlib import Path

import numpy as np
import pytest

from fstcn_keras import ActionClassifier, ViewPlan, fstcn
from tests.networks import REJECTION, TINY
from tests.videos import noise, write_video

CLASSES = ["run", "déjà vu", "<b>sit</b>", "sit"]
PLAN = ViewPlan(num_clips=2, short_side=68, crop_size=68, clip_length=3, stride=5, distance=9)


@pytest.fixture(scope="session")
def classifier() -> ActionClassifier:
    network = fstcn(num_classes=len(CLASSES), **TINY)
    return ActionClassifier(network, classes=CLASSES, plan=PLAN, rejection=REJECTION)


@pytest.fixture(scope="session")
def run(classifier, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny run"
    classifier.save(folder)
    for number, name in enumerate(("run", "sit"), 1):
        file = folder / "examples" / f"{number}-{name}.mp4"
        write_video(file, noise(30, seed=number), codec="libx264", bit_rate=200_000)
    return folder


@pytest.fixture(scope="session")
def log(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("logs") / "stderr.txt"


@pytest.fixture(scope="session")
def server(run, log):
    from tests.servers import ServerProcess

    limits = ("--max-request-bytes", "4000000", "--max-frames", "90", "--max-pixels", "20000")
    with ServerProcess(run, "--access-log", "--max-videos", "2", *limits, log=log) as process:
        yield process


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    return noise(35)


@pytest.fixture(scope="session")
def video(frames, tmp_path_factory) -> bytes:
    """The frames as a file, without a loss."""
    return write_video(tmp_path_factory.mktemp("videos") / "noise.avi", frames).read_bytes()

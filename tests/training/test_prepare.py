"""`python -m training.prepare`: killed, run twice, run again."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.videos import write_video
from training.data.preparation import prepare_store

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    generator = np.random.default_rng(0)
    for number in range(24):
        frames = generator.integers(0, 256, (20, 96, 128, 3), dtype=np.uint8)
        write_video(root / f"class{number % 2}" / f"{number}.avi", frames, codec="mpeg4")
    (root / "class0" / "text.avi").write_text("no video")
    return root


def start(collection: Path, store: Path) -> subprocess.Popen:
    options = ["--dataset", "folder", "--data-dir", str(collection), "--out", str(store)]
    return subprocess.Popen(
        [sys.executable, "-m", "training.prepare", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def digests(store: Path) -> dict[str, str]:
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def finish(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def test_killed_at_any_moment_it_ends_with_the_same_store(collection, tmp_path):
    output = finish(start(collection, tmp_path / "whole"))
    assert "24 videos, 480 frames; 0 only in part, 1 could not be decoded" in output
    assert "'class0/text.avi': cannot be opened as a video" in output
    chance = random.Random(0)
    kills = 0
    for _ in range(4):
        process = start(collection, tmp_path / "killed")
        while process.poll() is None and not list((tmp_path / "killed").glob("videos/*/*")):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.1))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 1
    finish(start(collection, tmp_path / "killed"))
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")


def test_two_processes_on_one_store(collection, tmp_path):
    first, second = (start(collection, tmp_path / "store") for _ in range(2))
    outputs = finish(first) + finish(second)
    assert outputs.count("24 videos, 480 frames") == 2
    assert outputs.count("decoding 25 of 25 videos") == 1
    assert outputs.count("waiting for another process") == 1


def test_a_thousand_videos_are_recognised_in_two_seconds(tmp_path):
    source = write_video(tmp_path / "c" / "0.avi", np.zeros((2, 48, 64, 3), np.uint8))
    paths = [f"c/{number}.avi" for number in range(1000)]
    for path in paths[1:]:
        os.link(source, tmp_path / path)
    prepare_store(tmp_path / "store", tmp_path, paths, short_side=24)
    before = time.perf_counter()
    store = prepare_store(tmp_path / "store", tmp_path, paths, short_side=24)
    assert time.perf_counter() - before < 2
    assert len(store.videos) == 1000

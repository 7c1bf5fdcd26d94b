"""`python -m training.prepare`: killed, run twice, run again."""

import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import HANG_S, ROOT
from tests.videos import noise, write_video
from training.data import preparation
from training.data.preparation import prepare_store
from training.data.store import StoredVideo, record_file
from training.locks import locked


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    generator = np.random.default_rng(0)
    for number in range(24):
        frames = generator.integers(0, 256, (20, 96, 128, 3), dtype=np.uint8)
        write_video(root / f"class{number % 2}" / f"{number}.avi", frames, codec="mpeg4")
    (root / "class0" / "text.avi").write_text("no video")
    return root


@pytest.fixture(scope="module")
def whole(collection, tmp_path_factory):
    """The store of an undisturbed run."""
    store = tmp_path_factory.mktemp("whole")
    finish(start(collection, store))
    return store


def start(collection: Path, store: Path, **process_options) -> subprocess.Popen:
    options = ["--dataset", "folder", "--data-dir", str(collection), "--store", str(store)]
    command = [sys.executable, "-m", "training.prepare", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes, **process_options)


def digests(store: Path) -> dict[str, str]:
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def finish(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, errors
    return output


def finished(store: Path) -> int:
    return len(list(store.glob("videos/*/*.array_record")))


def fail(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=HANG_S)
    assert process.returncode == 2
    # On a machine that is busy the work takes long enough for lines of progress.
    lines = [line for line in errors.splitlines() if not line.startswith("decoding videos: ")]
    assert len(lines) == 1, errors
    return lines[0]


@pytest.mark.parametrize("num_kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_ends_with_the_same_store(collection, whole, tmp_path, num_kills):
    chance = random.Random(num_kills)
    killed = tmp_path / "killed"
    kills = halfway = 0
    while kills < num_kills or halfway < num_kills // 4:  # where a kill falls is chance
        process = start(collection, killed)
        moment = chance.randint(finished(killed), 26)  # as many videos later, 26 being the end
        while process.poll() is None and finished(killed) < moment:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
            halfway += 0 < finished(killed) < 25
            process.communicate()
        else:
            finish(process)
            assert digests(killed) == digests(whole)
            shutil.rmtree(killed)
    finish(start(collection, killed))
    assert digests(killed) == digests(whole)


def die_on_one(job) -> StoredVideo:
    """Takes down its process over one video, and leaves something half done."""
    if job.path == "class1/1.avi":
        leftover = record_file(job.folder, job.path).with_suffix(".1.partial")
        leftover.parent.mkdir(parents=True, exist_ok=True)
        leftover.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return prepare_video(job)


prepare_video = preparation._prepare_video


def test_a_crash_of_the_decoder_costs_its_video_alone(collection, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_prepare_video", die_on_one)
    paths = [path.relative_to(collection).as_posix() for path in collection.glob("*/*")]
    store = prepare_store(tmp_path / "store", collection, paths, short_side=120)
    rejected = {video.path: video.reason for video in store.videos.values() if video.reason}
    assert set(rejected) == {"class0/text.avi", "class1/1.avi"}
    assert rejected["class1/1.avi"].startswith("the decoder's process was killed")
    expected = digests(whole)
    found = digests(tmp_path / "store")
    assert found.keys() == expected.keys()
    names = {record_file(Path(), "class1/1.avi").as_posix(), "rejected.csv", "hashes.json"}
    assert {name for name in found if found[name] != expected[name]} == names
    monkeypatch.setattr(preparation, "_prepare_video", None)  # nothing is decoded again
    again = prepare_store(tmp_path / "store", collection, paths, short_side=120)
    assert again.videos == store.videos


def test_a_video_that_takes_too_much_memory_is_rejected(tmp_path, monkeypatch):
    def too_much(*_):
        raise MemoryError

    monkeypatch.setattr(preparation, "_write_records", too_much)
    write_video(tmp_path / "videos" / "a.avi", noise(2))
    job = preparation._Job(tmp_path / "store", tmp_path / "videos", 32, "jpeg", None, "a.avi")
    assert prepare_video(job).reason == "to decode it takes more than 4096 MiB of memory"


def test_a_file_that_cannot_grow_ends_in_one_line_and_goes_on_later(tmp_path):
    for number, num_frames in enumerate((2, 2, 2, 2, 40)):
        write_video(tmp_path / "videos" / "a" / f"{number}.avi", noise(num_frames), codec="mpeg4")
    whole, store = tmp_path / "other" / "whole", tmp_path / "store"  # not beside each other
    finish(start(tmp_path / "videos", whole))

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))

    error = fail(start(tmp_path / "videos", store, preexec_fn=limit))
    assert error.startswith(f"error: the frame store {store} cannot be written: ")
    assert "File too large" in error
    kept = {file: file.stat().st_mtime_ns for file in store.glob("videos/*/*")}
    assert len(kept) >= 3
    assert not list(store.rglob("*.partial"))
    output = finish(start(tmp_path / "videos", store))
    assert f"decoding {5 - len(kept)} of 5 videos" in output
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert digests(store) == digests(whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, and a function that mounts it anew with other options."""

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        return subprocess.run(command, capture_output=True).returncode == 0

    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not mount("size=2m"):
        pytest.skip("a small file system can be mounted by root alone")
    yield disk, mount
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_and_one_that_is_read_only(collection, whole, small_disk):
    disk, mount = small_disk
    store = disk / "store"
    error = fail(start(collection, store))
    assert error.startswith(f"error: the frame store {store} cannot be written: ")
    assert "No space left on device" in error
    assert not list(store.rglob("*.partial"))
    kept = finished(store)
    assert 0 < kept < 25
    assert mount("remount,size=64m")
    assert f"decoding {25 - kept} of 25 videos" in finish(start(collection, store))
    assert digests(store) == digests(whole)
    assert mount("remount,ro")
    error = fail(start(collection, store))
    assert error.startswith(f"error: the frame store {store} cannot be written: ")
    assert "Read-only file system" in error


def test_two_processes_on_one_store(collection, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    with locked(store, "prepares"):
        processes = [start(collection, store) for _ in range(2)]
        waiting = [process.stdout.readline() for process in processes]
    assert waiting == [f"waiting for another process that prepares {store}\n"] * 2
    outputs = "".join(map(finish, processes))
    found = "24 videos, 480 frames; 0 only in part, 1 could not be decoded"
    assert outputs.count(found) == 2
    assert outputs.count("'class0/text.avi': cannot be opened as a video") == 2
    assert outputs.count("decoding 25 of 25 videos") == 1

"""What the benchmark of memory reads, and the list that it makes."""

import os
from pathlib import Path

import pytest

from benchmarks import cluster_memory
from fstcn_keras.video import VideoReader


def test_the_list_names_links_to_a_few_videos(tmp_path):
    listed = cluster_memory.make_list(tmp_path, 1001).read_text().splitlines()
    assert len({*listed}) == 1001
    assert {os.stat(video).st_ino for video in listed} == {
        os.stat(tmp_path / f"{number}.mp4").st_ino for number in range(cluster_memory.SOURCES)
    }
    assert len([*VideoReader(listed[1000])]) == cluster_memory.NUM_FRAMES


def test_rows_are_counted_without_the_names_of_columns(tmp_path):
    assert cluster_memory.rows_done(tmp_path) == 0
    (tmp_path / "partial-key-scores.csv").write_text("video,class\na,b\nc,d\n")
    assert cluster_memory.rows_done(tmp_path) == 2


def test_memory_is_that_of_statm():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    expected = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    assert cluster_memory.resident_mb(os.getpid()) == pytest.approx(expected, rel=0.05)
    assert cluster_memory.resident_mb(2**30) == 0  # of no process

"""Blocks that are freed and taken again are not cleared by the system again."""

import platform
import subprocess
import sys

import pytest

SIZE = 64 * 2**20
FAULTS = f"""
import resource
import numpy as np
from fstcn_keras.allocation import keep_freed_memory

def faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones({SIZE}, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

before = faults()
keep_freed_memory()
faults()
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_blocks_stay_with_the_process():
    counts = subprocess.check_output([sys.executable, "-c", FAULTS], text=True)
    before, after = map(int, counts.split())
    assert before >= 4  # a page has 4 KiB, or with huge pages 2 MiB, of which each block has 32
    assert after < before / 10


def test_other_libraries_are_left_as_they_are(monkeypatch):
    from fstcn_keras import allocation

    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    allocation.keep_freed_memory()

"""Blocks that are freed and taken again are not cleared by the system again; pages are huge."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

SIZE = 64 * 2**20
FAULTS = f"""
import resource
import numpy as np
from fstcn_keras.allocation import set_up_allocation

def faults():
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones({SIZE}, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begin

before = faults()
set_up_allocation()
faults()
print(before, faults())
"""

ADVICE = f"""
import numpy as np
from fstcn_keras.allocation import set_up_allocation

set_up_allocation()
block = np.ones({SIZE}, np.uint8)
address = block.ctypes.data + block.size // 2
for line in open("/proc/self/smaps"):
    name, *values = line.split()
    if "-" in name:
        first, end = (int(one, 16) for one in name.split("-"))
    elif name == "VmFlags:" and first <= address < end:
        print(*values)
"""
SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_blocks_stay_with_the_process():
    counts = subprocess.check_output([sys.executable, "-c", FAULTS], text=True)
    before, after = map(int, counts.split())
    assert before >= 4  # a page has 4 KiB, or with huge pages 2 MiB, of which each block has 32
    assert after < before / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
@pytest.mark.skipif(not SWITCH.exists(), reason="the system has no huge pages for who asks")
def test_large_blocks_ask_for_huge_pages():
    flags = subprocess.check_output([sys.executable, "-c", ADVICE], text=True)
    assert "hg" in flags.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_less_memory_than_it_asks_for_is_no_failure():
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))"
    setting = "from fstcn_keras.allocation import set_up_allocation; set_up_allocation()"
    subprocess.run([sys.executable, "-c", f"{limit}; {setting}"], check=True)


def test_other_libraries_are_left_as_they_are(monkeypatch):
    from fstcn_keras import allocation

    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    allocation.set_up_allocation()

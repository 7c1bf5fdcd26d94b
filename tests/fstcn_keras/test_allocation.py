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
import ctypes
from fstcn_keras.allocation import set_up_allocation

set_up_allocation()
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
address = library.malloc({SIZE}) + {SIZE} // 2
ctypes.memset(address, 1, 1)
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


LIMITED = """
import resource
from pathlib import Path
from fstcn_keras.allocation import set_up_allocation

def addresses():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40))
before = addresses()
set_up_allocation()
print(addresses() - before)
"""


@pytest.mark.skipif(platform.system() != "Linux", reason="the system has no /proc")
def test_where_addresses_are_limited_none_are_taken():
    assert int(subprocess.check_output([sys.executable, "-c", LIMITED])) < 2**20


@pytest.mark.parametrize(("accounting", "free"), [("0\n", True), ("2\n", False)])
def test_where_addresses_count_as_memory_none_are_taken(monkeypatch, accounting, free):
    from fstcn_keras import allocation

    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _: accounting)
    assert allocation._addresses_are_free() == free


def test_other_libraries_are_left_as_they_are(monkeypatch):
    from fstcn_keras import allocation

    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    allocation.set_up_allocation()

"""What the processor is said to do, from the words of Linux."""

from pathlib import Path

import pytest

from fstcn_keras import processor

MILAN = "processor : 0\nflags\t\t: fpu sse2 fma avx2\nbugs : x\nprocessor : 1\nflags : none\n"
GENOA = MILAN.replace("avx2", "avx2 avx512f avx512_vnni avx512_bf16")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    """Nothing is remembered of the processor that there is, nor said of it to oneDNN."""
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    processor.instructions.cache_clear()
    yield
    processor.instructions.cache_clear()


def assert_is(monkeypatch, cpuinfo: str, widest: str, bfloat16: bool):
    """Fails unless these are the instructions of a computer of which Linux says that."""
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _: cpuinfo)
    assert processor.vector_instructions() == widest
    assert processor.multiplies_bfloat16() == bfloat16


@pytest.mark.parametrize(
    ("cpuinfo", "widest", "bfloat16"),
    [(MILAN, "avx2", False), (GENOA, "avx512_bf16", True), ("Features : neon", "", False)],
)
def test_the_first_line_of_flags_counts(monkeypatch, cpuinfo, widest, bfloat16):
    assert_is(monkeypatch, cpuinfo, widest, bfloat16)


WIDEST = {
    **{"SSE41": "", "AVX2": "avx2", "avx512_core": "avx512f"},
    **dict.fromkeys(("AVX512_CORE_AMX", "ALL", "AVX10_1_512"), "avx512_bf16"),
}


@pytest.mark.parametrize(("limit", "widest"), WIDEST.items())
def test_what_onednn_may_not_use_does_not_count(monkeypatch, limit, widest):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert_is(monkeypatch, GENOA, widest, widest == "avx512_bf16")


def test_systems_without_that_file(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert processor.instructions() == frozenset()

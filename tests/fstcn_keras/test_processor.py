"""What the processor is said to do, from the words of Linux."""

from pathlib import Path

import pytest

from fstcn_keras import processor

MILAN = "processor : 0\nflags\t\t: fpu sse2 fma avx2\nbugs : x\nprocessor : 1\nflags : none\n"
GENOA = MILAN.replace("avx2", "avx2 avx512f avx512_vnni avx512_bf16")


@pytest.mark.parametrize(
    ("cpuinfo", "widest", "bfloat16"),
    [(MILAN, "avx2", False), (GENOA, "avx512_bf16", True), ("Features : neon", "", False)],
)
def test_the_first_line_of_flags_counts(monkeypatch, cpuinfo, widest, bfloat16):
    processor.instructions.cache_clear()
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda _: cpuinfo)
    assert processor.vector_instructions() == widest
    assert processor.multiplies_bfloat16() == bfloat16
    processor.instructions.cache_clear()


WIDEST = {
    **{"SSE41": "", "AVX2": "avx2", "avx512_core": "avx512f"},
    **dict.fromkeys(("AVX512_CORE_AMX", "ALL", "AVX10_1_512"), "avx512_bf16"),
}


@pytest.mark.parametrize(("limit", "widest"), WIDEST.items())
def test_what_onednn_may_not_use_does_not_count(monkeypatch, limit, widest):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    test_the_first_line_of_flags_counts(monkeypatch, GENOA, widest, widest == "avx512_bf16")


def test_systems_without_that_file(monkeypatch):
    processor.instructions.cache_clear()
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert processor.instructions() == frozenset()
    processor.instructions.cache_clear()

"""What this machine's processor can do."""

import functools
import os
from pathlib import Path

VECTORS = {  # the widest first, as Linux calls them, and oneDNN what has them and no wider ones
    "amx_bf16": ("AVX512_CORE_AMX", "AVX10_1_512_AMX"),
    "avx512_bf16": ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512"),
    "avx512_vnni": ("AVX512_CORE_VNNI",),
    "avx512f": ("AVX512_CORE",),
    "avx2": ("AVX2", "AVX2_VNNI", "AVX2_VNNI_2"),
}
NARROWER = ("AVX", "SSE41")  # what oneDNN calls those that have none of them
BFLOAT16 = {"amx_bf16", "avx512_bf16"}


@functools.cache
def instructions() -> frozenset[str]:
    """Names of the instruction sets as Linux lists them; empty on other systems.

    `ONEDNN_MAX_CPU_ISA`, by which oneDNN can be kept from the wider `VECTORS`, is heeded.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = (line.split(":", 1)[1] for line in lines if line.startswith("flags"))
    return frozenset(next(flags, "").split()) - _beyond(os.environ.get("ONEDNN_MAX_CPU_ISA", ""))


def _beyond(limit: str) -> set[str]:
    """The `VECTORS` wider than what oneDNN calls by that name; none for another name."""
    names = [*VECTORS.values(), NARROWER]
    found = next((number for number, some in enumerate(names) if limit.upper() in some), 0)
    return {*list(VECTORS)[:found]}


def vector_instructions() -> str:
    """The widest of `VECTORS` that the processor has, or an empty string."""
    return next((name for name in VECTORS if name in instructions()), "")


def multiplies_bfloat16() -> bool:
    """Whether the processor has products of bfloat16; without them they are slow."""
    return not BFLOAT16.isdisjoint(instructions())

"""Tells what this machine's processor can do."""

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
    """Returns the names of the instruction sets as Linux lists them; on other systems none.

    `ONEDNN_MAX_CPU_ISA`, by which oneDNN can be kept from the wider `VECTORS`, is heeded.

    Example:
        >>> isinstance(instructions(), frozenset)
        True
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = (line.split(":", 1)[1] for line in lines if line.startswith("flags"))
    return frozenset(next(flags, "").split()) - _beyond(os.environ.get("ONEDNN_MAX_CPU_ISA", ""))


def _beyond(limit: str) -> set[str]:
    """Returns the `VECTORS` wider than what oneDNN calls by that name; none for another name."""
    names = [*VECTORS.values(), NARROWER]
    found = next((number for number, some in enumerate(names) if limit.upper() in some), 0)
    return {*list(VECTORS)[:found]}


def vector_instructions() -> str:
    """Returns the widest of `VECTORS` that the processor has, or an empty string.

    Example:
        >>> vector_instructions() in ("", *VECTORS)
        True
    """
    return next((name for name in VECTORS if name in instructions()), "")


def multiplies_bfloat16() -> bool:
    """Tells whether the processor has products of bfloat16; without them they are slow.

    Example:
        >>> multiplies_bfloat16() == bool(BFLOAT16 & instructions())
        True
    """
    return not BFLOAT16.isdisjoint(instructions())

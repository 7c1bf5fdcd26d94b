"""What this machine's processor can do."""

import functools
from pathlib import Path

VECTORS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx512f", "avx2")  # the widest first
BFLOAT16 = {"amx_bf16", "avx512_bf16"}


@functools.cache
def instructions() -> frozenset[str]:
    """Names of the instruction sets as Linux lists them; empty on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = (line.split(":", 1)[1] for line in lines if line.startswith("flags"))
    return frozenset(next(flags, "").split())


def vector_instructions() -> str:
    """The widest of `VECTORS` that the processor has, or an empty string."""
    return next((name for name in VECTORS if name in instructions()), "")


def multiplies_bfloat16() -> bool:
    """Whether the processor has products of bfloat16; without them they are slow."""
    return not BFLOAT16.isdisjoint(instructions())

"""What this machine's processor can do."""

import functools
import os
from pathlib import Path

VECTORS = {  # the widest first, as Linux and as oneDNN call them
    "amx_bf16": "AVX512_CORE_AMX",
    "avx512_bf16": "AVX512_CORE_BF16",
    "avx512_vnni": "AVX512_CORE_VNNI",
    "avx512f": "AVX512_CORE",
    "avx2": "AVX2",
}
BFLOAT16 = {"amx_bf16", "avx512_bf16"}


@functools.cache
def instructions() -> frozenset[str]:
    """Names of the instruction sets as Linux lists them; empty on other systems.

    `ONEDNN_MAX_CPU_ISA`, by which oneDNN can be kept from the wider `VECTORS`, is heeded.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    flags = (line.split(":", 1)[1] for line in lines if line.startswith("flags"))
    limits = list(VECTORS.values())
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    beyond = list(VECTORS)[: limits.index(limit)] if limit in limits else []
    return frozenset(next(flags, "").split()) - {*beyond}


def vector_instructions() -> str:
    """The widest of `VECTORS` that the processor has, or an empty string."""
    return next((name for name in VECTORS if name in instructions()), "")


def multiplies_bfloat16() -> bool:
    """Whether the processor has products of bfloat16; without them they are slow."""
    return not BFLOAT16.isdisjoint(instructions())

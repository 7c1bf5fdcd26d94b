"""Reads variables of MATLAB's files of versions 5 to 7, damaged or hostile ones without harm.

`scipy.io.loadmat` reads them too, but a file with a few wrong bytes can end the whole process.
"""

import math
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

MAX_BYTES = 2**31  # of a variable once it is decompressed; MATLAB writes no larger ones here
MAX_DEPTH = 16  # of cells and structs in each other

_STORED = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
_STORED |= {12: "<i8", 13: "<u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}
_ENCODINGS = {1: "utf-8", 2: "utf-8", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHARACTERS = 1, 2, 4
_COMPLEX = 8  # of the flags


def read_variables(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Returns variables by name: arrays, texts, lists (cells) and dictionaries (structs).

    A struct of other than one element is a list of dictionaries. What is complex, sparse, an
    object or a function is `None`.

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     savemat(f"{folder}/a.mat", {"layer": {"type": "conv", "stride": [[2.0, 2.0]]}})
        ...     read_variables(Path(f"{folder}/a.mat"), ["layer"])
        {'layer': {'type': 'conv', 'stride': array([[2., 2.]])}}

    Args:
        path: the file.
        names: of the variables that are wanted; others are not looked at.

    Raises:
        ValueError: if it is no such file, or damaged.
    """
    data = memoryview(path.read_bytes())
    if len(data) < 128 or bytes(data[126:128]) != b"IM":
        raise ValueError("it is no MATLAB file of a version from 5 to 7")
    if data[125] != 1:
        raise ValueError("it is of MATLAB 7.3 (HDF5): save it in MATLAB with '-v7'")
    variables: dict[str, Any] = {}
    position = 128
    while position < len(data):
        kind, content, position = _element(data, position)
        if kind == _COMPRESSED:
            kind, content, _ = _element(_decompressed(content), 0)
        if kind != _MATRIX:
            raise ValueError("a variable is damaged")
        name, value = _matrix(content, names)
        if name in names:
            variables[name] = value
    return variables


def _decompressed(data: memoryview) -> memoryview:
    """Returns the one element in the data, of which its own head says how long it is."""
    decompressor = zlib.decompressobj()
    try:
        head = decompressor.decompress(data, 8)
        size = int.from_bytes(head[4:8], "little")
        if size > MAX_BYTES:
            raise ValueError(f"a variable has {size} bytes, more than {MAX_BYTES}")
        rest = decompressor.decompress(decompressor.unconsumed_tail, size) if size else b""
    except zlib.error as error:
        raise ValueError(f"a variable cannot be decompressed ({error})") from error
    return memoryview(head + rest)


def _element(data: memoryview, position: int) -> tuple[int, memoryview, int]:
    """Returns kind and content of the element at a position, and the position behind it."""
    kind = int.from_bytes(data[position : position + 4], "little")
    if kind >> 16:  # a small one: its length, kind and content in eight bytes
        kind, size, start, end = kind & 0xFFFF, kind >> 16, position + 4, position + 8
        whole = size <= 4
    else:
        size, start = int.from_bytes(data[position + 4 : position + 8], "little"), position + 8
        end = start + size + (0 if kind == _COMPRESSED else -size % 8)
        whole = True
    if not whole or start + size > len(data) or start > len(data):
        raise ValueError("it is cut short or damaged")
    return kind, data[start : start + size], end


def _matrix(
    data: memoryview, names: Collection[str] | None = None, depth: int = 0
) -> tuple[str, Any]:
    """Returns the name and the value of an array, `None` if its name is not among those wanted."""
    if not data:
        return "", np.zeros((0, 0))
    if depth > MAX_DEPTH:
        raise ValueError("its cells and structs are too deep in each other")
    _, flags, position = _element(data, 0)
    kind, dimensions, position = _element(data, position)
    _, label, position = _element(data, position)
    name = bytes(label).decode("ascii", "replace")
    if len(flags) != 8 or kind != 5 or len(dimensions) % 4 or not 8 <= len(dimensions) <= 128:
        raise ValueError("the head of an array is damaged")
    shape = tuple(np.frombuffer(dimensions, "<i4").tolist())
    content = data[position:]
    if names is not None and name not in names:
        return name, None
    if min(shape) < 0:
        raise ValueError(f"an array cannot have the shape {shape}")
    if flags[0] in (_CELL, _STRUCT):
        return name, _container(content, flags[0], math.prod(shape), depth)
    if flags[1] & _COMPLEX or flags[0] not in {*_CLASSES, _CHARACTERS}:
        return name, None
    stored, values, _ = _element(content, 0)
    if flags[0] == _CHARACTERS:
        return name, bytes(values).decode(_ENCODINGS.get(stored, "utf-8"), "replace")
    array = np.frombuffer(values, _checked_type(stored, values, shape))
    return name, array.astype(_CLASSES[flags[0]], copy=False).reshape(shape, order="F")


def _checked_type(stored: int, values: memoryview, shape: tuple[int, ...]) -> str:
    dtype = _STORED.get(stored)
    if dtype is None or math.prod(shape) * np.dtype(dtype).itemsize != len(values):
        raise ValueError(f"an array of shape {shape} has {len(values)} bytes of type {stored}")
    return dtype


def _container(data: memoryview, kind: int, size: int, depth: int) -> Any:
    """Returns a cell as a list, a struct as a dictionary or a list of them."""
    fields = [""]
    position = 0
    if kind == _STRUCT:
        _, width, position = _element(data, position)
        _, labels, position = _element(data, position)
        length = int.from_bytes(width, "little")
        if not 0 < length <= 256 or len(labels) % length:
            raise ValueError("the names of a struct's fields are damaged")
        fields = [
            bytes(labels[start : start + length]).split(b"\0")[0].decode("ascii", "replace")
            for start in range(0, len(labels), length)
        ]
    if size * len(fields) > len(data) // 8:
        raise ValueError("a cell or struct has more entries than bytes")
    entries = []
    for _ in range(size):
        entry = {}
        for field in fields:
            element_kind, content, position = _element(data, position)
            if element_kind != _MATRIX:
                raise ValueError("an entry of a cell or struct is damaged")
            entry[field] = _matrix(content, depth=depth + 1)[1]
        entries.append(entry)
    if kind == _CELL:
        return [entry[""] for entry in entries]
    return entries[0] if size == 1 else entries

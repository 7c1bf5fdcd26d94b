"""Reads the tensors of a PyTorch checkpoint, without PyTorch and without calling what it names.

Such a file is a sequence of pickles and then the numbers (the format of `torch.save` before version
1.6). A pickle may call any function that it names, ask for any amount of memory, and crash Python
by tuples in tuples as the key of a dictionary: this reader knows the names, the instructions and
the keys that tensors by name take, and refuses every other.
"""

import io
import math
import os
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES: dict[str, np.dtype] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_CONSTANTS = {"NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1"}
_TEXT = {"BINUNICODE", "SHORT_BINSTRING"}
_CONTAINERS = {"EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_FILLING = {"MARK", "SETITEM", "SETITEMS", "APPEND", "APPENDS"}
_CALLS = {"GLOBAL", "REDUCE", "BINPERSID", "BUILD"}
_MEMO = {"BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"}
_KEYS = (pickletools.pyunicode, pickletools.pybytes_or_str, pickletools.pyint)
_INSTRUCTIONS = _CONSTANTS | _TEXT | _CONTAINERS | _FILLING | _CALLS | _MEMO | {"PROTO", "STOP"}


def read_torch_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the state of a network that `torch.save` wrote in its format before version 1.6.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        ...     try:
        ...         read_torch_checkpoint(file.name)
        ...     except ValueError as error:
        ...         print(error)
        not a PyTorch checkpoint of the format before version 1.6 (pickle exhausted before \
seeing STOP)

    Args:
        path: the file.

    Returns:
        Tensors by name, float32 or int64.

    Raises:
        ValueError: if the file is of another format, names anything but tensors, or is cut short.
        OSError: if it cannot be opened.
    """
    with open(path, "rb") as file:
        if file.read(4) == b"PK\x03\x04":
            raise ValueError(
                "a PyTorch checkpoint in the zip format: write it again by "
                "torch.save(state, path, _use_new_zipfile_serialization=False)"
            )
        file.seek(0)
        damage = pickle.UnpicklingError, ArithmeticError, LookupError, RecursionError
        try:
            return _read(file)
        except (*damage, TypeError, ValueError) as e:
            raise ValueError(
                f"not a PyTorch checkpoint of the format before version 1.6 ({e})"
            ) from e


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    magic, protocol, _ = (_Unpickler(file).load() for _ in range(3))
    if (magic, protocol) != (_MAGIC_NUMBER, _PROTOCOL):
        raise ValueError("its first numbers are others")
    unpickler = _Unpickler(file)
    tensors = unpickler.load()
    if not isinstance(tensors, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, _Tensor) for name, tensor in tensors.items()
    ):
        raise ValueError("it holds other things than tensors by name")
    numbers = {}
    size = os.fstat(file.fileno()).st_size
    for key in _Unpickler(file).load():
        dtype, count = unpickler.storages[_text(key)]
        if int.from_bytes(file.read(8), "little") != count:
            raise ValueError(f"storage {key} has not the {count} numbers that its tensor says")
        if not 0 <= count * dtype.itemsize <= size - file.tell():
            raise ValueError(f"storage {key} of {count} numbers is cut short")
        numbers[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return {name: tensor.values(numbers) for name, tensor in tensors.items()}


class _Unpickler(pickle.Unpickler):
    """Loads the pickle that begins here in the file, once its instructions have been checked."""

    def __init__(self, file: BinaryIO) -> None:
        start = file.tell()
        stack = _Stack()
        for instruction, argument, position in pickletools.genops(file):
            if instruction.name not in _INSTRUCTIONS:
                raise ValueError(f"instruction {instruction.name} at {position} is not allowed")
            if instruction.name == "LONG_BINPUT" and (argument or 0) > file.tell():
                raise ValueError(f"it asks for a table of {argument} entries")
            stack.follow(instruction, argument)
        end = file.tell()
        file.seek(start)
        super().__init__(io.BytesIO(file.read(end - start)), encoding="utf-8")
        self.storages: dict[str, tuple[np.dtype, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for the few names that are known."""
        if module == "torch" and name in _STORAGES:
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if (module, name) == ("collections", "OrderedDict"):
            return _ordered
        raise ValueError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> str:
        """Notes a storage of numbers; returns its key."""
        kind, name, key, _, count, view = pid
        if kind != "storage" or view is not None or not isinstance(count, int):
            raise ValueError(f"storage {key} is of another kind")
        storage = _STORAGES[_text(name)], count
        if self.storages.setdefault(_text(key), storage) != storage:
            raise ValueError(f"storage {key} is of two sizes")
        return key


class _Stack:
    """Follows what kinds of things the instructions of a pickle leave on its stack."""

    def __init__(self) -> None:
        self._kinds: list[pickletools.StackObject] = []
        self._marks: list[int] = []
        self._memo: dict[Any, pickletools.StackObject] = {}

    def follow(self, instruction: pickletools.OpcodeInfo, argument: Any) -> None:
        """Does what one instruction does; raises ValueError where a key is neither text nor int."""
        kinds, before, after = self._kinds, instruction.stack_before, instruction.stack_after
        keys: list[pickletools.StackObject] = []
        number = len(before)
        if instruction.name == "MARK":
            self._marks.append(len(kinds))
        elif instruction.name == "SETITEM":
            keys = kinds[-2:-1]
        elif instruction.name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = kinds[-1]
        elif instruction.name in ("BINGET", "LONG_BINGET"):
            after = [self._memo[argument]]
        elif pickletools.markobject in before:
            start = self._marks.pop()
            keys = kinds[start + 1 :: 2] if instruction.name == "SETITEMS" else []
            del kinds[start:]
            number = before.index(pickletools.markobject)
        if not all(key in _KEYS for key in keys):
            raise ValueError("a key of a dictionary is neither text nor an integer")
        del kinds[len(kinds) - number :]
        kinds += after


def _ordered(pairs: Iterable[tuple[Any, Any]] = ()) -> OrderedDict:
    """Does for `OrderedDict`, whose keys may be anything."""
    return OrderedDict((_text(key), value) for key, value in pairs)


def _text(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"it has a name that is no text but {type(key).__name__}")
    return key


@dataclass(frozen=True)
class _Tensor:
    """Describes a tensor: where in a storage its numbers lie."""

    key: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: Any

    def values(self, numbers: Mapping[str, np.ndarray]) -> np.ndarray:
        stored = numbers[self.key]
        steps = list(zip(self.shape, self.strides, strict=True))
        last = self.offset + sum((length - 1) * stride for length, stride in steps)
        if min((self.offset, *self.shape, *self.strides)) < 0 or last >= len(stored):
            raise ValueError(f"a tensor of shape {self.shape} lies outside its storage")
        if math.prod(self.shape) > len(stored):
            raise ValueError(f"a tensor of shape {self.shape} repeats its numbers")
        strides = [stride * stored.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(
            stored[self.offset :], self.shape, strides, writeable=False
        )

"""Reads tensors of HDF5 files that may come from anyone.

HDF5 can fetch the content of a file from other files: by external links, to which soft links may
lead, external storage of a tensor, and virtual tensors. A few bytes can stand for a tensor that
fills the memory. Both are refused, by what the file says of a tensor, before any of it is read.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np

Key = tuple[str, int]  # a layer as the file spells it, and the tensor's place in it


def read_tensors(
    path: str | Path, wanted: Callable[[str, int], tuple[int, ...] | None]
) -> dict[Key, np.ndarray]:
    """Reads the tensors of a file in the format of Keras Applications.

    A tensor whose shape is not the wanted one is not read: zeros that take no memory say its shape.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with h5py.File(f"{folder}/fc.h5", "w") as file:
        ...         file.attrs["layer_names"] = ["fc"]
        ...         file.create_group("fc").attrs["weight_names"] = ["kernel"]
        ...         file["fc"]["kernel"] = np.ones((3, 2), "float32")
        ...     read_tensors(f"{folder}/fc.h5", lambda layer, position: (3, 2))["fc", 0].sum()
        np.float32(6.0)

    Args:
        path: of the file.
        wanted: the shape of a layer's tensor at a place, or `None`.

    Returns:
        Floating-point tensors by layer and place; those that are not wanted as well.

    Raises:
        ValueError: if it is no such file, reaches beyond itself, or numbers are not finite.
    """
    with opened(path) as file:
        root = _item(file, "model_weights", path) if _holds(file, "model_weights") else file
        tensors = {}
        for layer in _names(root, "layer_names"):
            group = _item(root, layer, path)
            if not isinstance(group, h5py.Group):
                raise ValueError(f"{path}: {layer} is a tensor, not the group of a layer")
            for position, name in enumerate(_names(group, "weight_names")):
                tensor = _item(group, name, path)
                _check(tensor, f"{path}: {layer}/{name}")
                fits = wanted(layer, position) == tensor.shape
                blank = np.broadcast_to(tensor.dtype.type(0), tensor.shape)
                value = tensor[()] if fits else blank
                if fits and not np.isfinite(value).all():
                    raise ValueError(f"{path}: {layer}/{name} holds numbers that are not finite")
                tensors[layer, position] = value
        return tensors


def read_texts(path: str | Path, name: str) -> list[str]:
    """Reads a list of texts in JSON; of a file without one it is empty.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with h5py.File(f"{folder}/fc.h5", "w") as file:
        ...         file["videos"] = '["jump/a.mp4"]'
        ...     read_texts(f"{folder}/fc.h5", "videos")
        ['jump/a.mp4']

    Args:
        path: of the file.
        name: under which it stands.

    Raises:
        ValueError: if the file is none of HDF5, or what stands there is something else.
    """
    with opened(path) as file:
        if not _holds(file, name):
            return []
        item = _item(file, name, path)
        kind = h5py.check_string_dtype(item.dtype) if isinstance(item, h5py.Dataset) else None
        is_text = kind is not None and kind.length is None  # which lies in the file itself
        try:
            texts = json.loads(item[()]) if is_text and item.shape == () else None
        except (ValueError, RecursionError):
            texts = None
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{path}: {name} must hold a list of texts in JSON")
        return texts


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Opens an HDF5 file for reading.

    Example:
        >>> with opened("weights.h5"):
        ...     pass
        Traceback (most recent call last):
        ...
        ValueError: weights.h5 is not a file

    Raises:
        ValueError: if it is none, or a part of it is missing or damaged.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} is not a file")
    try:
        with h5py.File(path) as file:
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is no HDF5 file of Keras weights ({error})") from error


def _names(group: h5py.Group, attribute: str) -> list[str]:
    names = np.atleast_1d(group.attrs[attribute]).tolist()
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _item(group: h5py.Group, name: str, path: str | Path) -> h5py.Group | h5py.Dataset:
    """Follows a name, in which slashes separate groups, without leaving the file."""
    for step in filter(None, name.split("/")):
        if not isinstance(group, h5py.Group):
            raise ValueError(f"{path}: {group.name} is a tensor, not a group")
        if group.id.links.get_info(step.encode()).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{path}: {name} is a link, maybe to another file: it is not followed")
        group = group[step]
    return group


def _holds(file: h5py.File, name: str) -> bool:
    """Tells whether a file has an item or a link of a name, which is not followed."""
    return file.id.links.exists(name.encode())


def _check(tensor: h5py.Group | h5py.Dataset, name: str) -> None:
    if not isinstance(tensor, h5py.Dataset):
        raise ValueError(f"{name} is a group where a tensor belongs")
    if tensor.external or tensor.is_virtual:
        raise ValueError(f"{name} lies in another file, which is not opened")
    if tensor.dtype.kind != "f":
        raise ValueError(f"{name} must hold floating-point numbers. Received: {tensor.dtype}")

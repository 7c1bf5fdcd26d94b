"""Reads CNN-M-2048 from a file of MatConvNet, such as imagenet-vgg-m-2048.mat.

Such a file holds a SimpleNN: a cell array `layers` of structs, and the average image. Files of
earlier versions have the tensors as `filters` and `biases` and the image in `normalization`, later
ones as `weights` and in `meta.normalization`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fstcn_keras.backbones.cnn_m_2048 import (
    CONVOLUTION,
    NORMALIZATION,
    POOLING,
    StoredLayer,
    checked_mean,
    spatial_path_weights,
)
from fstcn_keras.backbones.mat_file import read_variables
from fstcn_keras.backbones.stored_weights import StoredWeights

_VARIABLES = ("net", "layers", "normalization", "meta")
_KINDS = {"conv": CONVOLUTION, "normalize": NORMALIZATION, "lrn": NORMALIZATION, "pool": POOLING}
_NORMALIZATION = ("n", "k", "alpha/n", "beta")  # in the order of `param`


def read_weights(path: Path) -> StoredWeights:
    """Reads the file; images are (row, column, red-green-blue) there, and kernels alike.

    Args:
        path: the file.

    Raises:
        ValueError: if it is no such file, or holds another network.
    """
    network = read_variables(path, _VARIABLES)
    if isinstance(network.get("net"), dict):
        network = network["net"]
    if not isinstance(network.get("layers"), list):
        raise ValueError("it must hold a cell array `layers`, as a SimpleNN of MatConvNet does")
    mean = _mean(network)
    weights = spatial_path_weights([*_stored_layers(network["layers"])], mean=mean)
    if mean is None:
        note = "no average image in the file: ImageNet's mean is taken for it"
        return StoredWeights(weights.layers, (*weights.notes, note))
    return weights


def _stored_layers(layers: list) -> Iterator[StoredLayer]:
    """Yields the layers with weights or settings, those of other kinds only with weights."""
    for number, layer in enumerate(layers, start=1):
        if not isinstance(layer, dict):
            raise ValueError(f"layer {number} must be a struct. Received: {type(layer).__name__}")
        name, kind = _text(layer, "name") or str(number), _text(layer, "type")
        tensors = _tensors(layer)
        if kind in _KINDS or tensors:
            kind = _KINDS.get(kind, kind)
            settings = _settings(kind, layer)
            yield StoredLayer(name=name, kind=kind, settings=settings, tensors=tensors)


def _settings(kind: str, layer: dict) -> dict[str, Any]:
    if kind == NORMALIZATION:
        values = _numbers(layer, "param")
        return dict(zip(_NORMALIZATION, values, strict=True)) if len(values) == 4 else {}
    padding = _numbers(layer, "pad") or [0.0]  # top, bottom, left, right
    settings: dict[str, Any] = {"stride": _single(_numbers(layer, "stride") or [1.0])}
    if kind == POOLING:
        settings |= {
            "method": _text(layer, "method") or "max",
            "size": _single(_numbers(layer, "pool")),
            "padding": _single(padding[::2]),  # what is below and right, ceil mode adds
        }
    elif kind == CONVOLUTION:
        settings["padding"] = _single(padding)
    return settings


def _tensors(layer: dict) -> tuple[np.ndarray, ...]:
    weights = layer.get("weights")
    if not isinstance(weights, list):
        weights = [layer.get("filters"), layer.get("biases")]
    return tuple(values for values in weights if isinstance(values, np.ndarray) and values.size)


def _mean(network: dict) -> tuple[float, float, float] | None:
    """Returns the mean of red, green and blue; nothing if the file has no average image."""
    meta = network.get("meta")
    for place in (
        meta.get("normalization") if isinstance(meta, dict) else None,
        network.get("normalization"),
    ):
        image = place.get("averageImage") if isinstance(place, dict) else None
        if isinstance(image, np.ndarray) and image.size:
            return checked_mean(image.reshape(-1) if image.size == 3 else image)
    return None


def _text(struct: dict, name: str) -> str:
    """Returns a word; no more of it than a message of one line can show."""
    value = struct.get(name)
    return ascii(value)[1:-1][:40] if isinstance(value, str) else ""


def _numbers(struct: dict, name: str) -> list[float]:
    value = struct.get(name)
    if not isinstance(value, np.ndarray) or value.size > 4:
        return []
    return [float(number) for number in value.reshape(-1)]


def _single(values: list[float]) -> float | tuple[float, ...] | None:
    """Returns the value that all sides have, or all values; nothing of nothing."""
    return values[0] if len({*values}) == 1 else (tuple(values) or None)

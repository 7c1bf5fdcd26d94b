"""Reads CNN-M-2048 from a file of Caffe, such as VGG_CNN_M_2048.caffemodel.

Such a file is a protocol buffer `NetParameter`. It is read here without Caffe, and its large arrays
without a copy: only the few fields that are named below are looked at. The average image is not in
it but in `VGG_mean.binaryproto` (a `BlobProto`), which is read if it lies beside the file.
"""

import math
import struct
from collections.abc import Iterator, Sequence
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
from fstcn_keras.backbones.stored_weights import StoredWeights

MEAN_FILE = "VGG_mean.binaryproto"

Values = dict[int, list[Any]]  # of a message, by the number of the field

# Numbers of fields, from caffe.proto. `layers` (V1) name their types by numbers, `layer` by words.
_NET_V1, _NET_LAYER = 2, 100
_V1 = {"old": 1, "name": 4, "type": 5, "blobs": 6, CONVOLUTION: 10, NORMALIZATION: 18, POOLING: 19}
_V2 = {"name": 1, "type": 2, "blobs": 7, CONVOLUTION: 106, NORMALIZATION: 118, POOLING: 121}
_INNER_PRODUCT = "inner product"
_KINDS = {
    "4": CONVOLUTION,
    "14": _INNER_PRODUCT,
    "15": NORMALIZATION,
    "17": POOLING,
    "Convolution": CONVOLUTION,
    "InnerProduct": _INNER_PRODUCT,
    "LRN": NORMALIZATION,
    "Pooling": POOLING,
}
# of `ConvolutionParameter` and `PoolingParameter`: for both sides, for the height, for the width
_CONVOLUTION = {"padding": ((3, 9, 10), 0), "stride": ((6, 13, 14), 1)}
_POOLING = {"padding": ((4, 9, 10), 0), "stride": ((3, 7, 8), 1), "size": ((2, 5, 6), None)}
_METHODS = {0: "max", 1: "average", 2: "stochastic"}


def read_weights(path: Path) -> StoredWeights:
    """Reads the file, and the average image beside it.

    Args:
        path: the file.

    Raises:
        ValueError: if it is no such file, or holds another network.
    """
    layers = [*_stored_layers(_message(memoryview(path.read_bytes())))]
    if not layers:
        raise ValueError("it holds no layers with weights, as a `NetParameter` of Caffe does")
    average = path.with_name(MEAN_FILE)
    mean = _read_mean(average) if average.is_file() else None
    weights = spatial_path_weights(layers, mean=mean)
    if mean is None:
        note = f"no {MEAN_FILE} beside the file: ImageNet's mean is taken for it"
        return StoredWeights(weights.layers, (*weights.notes, note))
    return weights


def _read_mean(path: Path) -> tuple[float, float, float]:
    """Returns the mean of red, green and blue; the file holds blue, green and red images."""
    try:
        image = _array(_message(memoryview(path.read_bytes())))
        return checked_mean(np.moveaxis(image, -3, -1)[..., ::-1])
    except ValueError as error:
        raise ValueError(f"{path.name} beside it cannot be read: {error}") from error


def _stored_layers(net: Values) -> Iterator[StoredLayer]:
    """Yields the layers with weights or settings, those of other kinds only with weights."""
    channels, is_first = 3, True
    messages = [(_V1, data) for data in net.get(_NET_V1, ())]
    messages += [(_V2, data) for data in net.get(_NET_LAYER, ())]
    for numbers, data in messages:
        layer = _message(data)
        if "old" in numbers and numbers["old"] in layer:
            raise ValueError(
                "it is of a Caffe before 2014: convert it by Caffe's upgrade_net_proto_binary"
            )
        name, stored_type = _text(layer, numbers["name"]), _text(layer, numbers["type"])
        kind = _KINDS.get(stored_type, f"layer of type {stored_type}")
        tensors = [_array(_message(blob)) for blob in layer.get(numbers["blobs"], ())]
        if not tensors and stored_type not in _KINDS:
            continue
        settings = _settings(kind, layer, numbers)
        if tensors and kind in (CONVOLUTION, _INNER_PRODUCT):
            kernel = _kernel(name, kind, tensors[0], channels)
            tensors[0] = kernel[:, :, ::-1] if is_first else kernel  # over red, green and blue
            channels, is_first = kernel.shape[-1], False
        kind = CONVOLUTION if kind == _INNER_PRODUCT else kind
        yield StoredLayer(name=name, kind=kind, settings=settings, tensors=tuple(tensors))


def _kernel(name: str, kind: str, tensor: np.ndarray, channels: int) -> np.ndarray:
    """Returns the kernel (h, w, f, f') of one (f', f, h, w), or (f', f*h*w) if fully connected."""
    if kind == _INNER_PRODUCT:
        outputs, inputs = tensor.shape[-2:] if tensor.ndim > 1 else (0, 0)
        side = math.isqrt(inputs // channels) if channels else 0
        if tensor.size != outputs * inputs or outputs == 0 or channels * side**2 != inputs:
            raise ValueError(
                f"layer {name!r} must have a matrix over square maps of {channels} channels. "
                f"Received: {tensor.shape}; is the file whole, and of VGG_CNN_M_2048?"
            )
        tensor = tensor.reshape(outputs, channels, side, side)
    if tensor.ndim != 4 or not tensor.size:
        raise ValueError(
            f"layer {name!r} must have a kernel of four axes. Received: {tensor.shape}"
        )
    return tensor.transpose(2, 3, 1, 0)


def _settings(kind: str, layer: Values, numbers: dict[str, int]) -> dict[str, Any]:
    """Returns what the file says; Caffe's defaults for what it leaves open of a message."""
    if kind not in numbers or numbers[kind] not in layer:
        return {}
    message = _message(layer[numbers[kind]][-1])
    if kind == NORMALIZATION:
        depth = _integer(message, 1, 5)
        settings: dict[str, Any] = {
            "n": depth,
            "alpha/n": _float(message, 2, 1.0) / max(depth, 1),
            "beta": _float(message, 3, 0.75),
        }
        if 5 in message:  # earlier versions of Caffe have no such field
            settings["k"] = _float(message, 5, 1.0)
        if _integer(message, 4, 0):
            settings["n"] = "within channels"
        return settings
    fields = _CONVOLUTION if kind == CONVOLUTION else _POOLING
    settings = {name: _sides(message, where, default) for name, (where, default) in fields.items()}
    if kind == POOLING:
        method = _integer(message, 1, 0)
        settings["method"] = _METHODS.get(method, method)
    return settings


def _array(blob: Values) -> np.ndarray:
    """Returns the array of a `BlobProto`, once as many numbers are there as its shape says."""
    if 7 in blob:
        shape = _integers(_message(blob[7][-1]).get(1, ()))
    else:
        shape = [_integer(blob, field, 0) for field in (1, 2, 3, 4)]
    double = 5 not in blob
    chunks = blob.get(8 if double else 5, [])
    if not all(isinstance(chunk, memoryview) for chunk in chunks):
        raise ValueError("an array must hold floating-point numbers; is the file damaged?")
    data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    size = 8 if double else 4
    if math.prod(shape) * size != len(data):
        raise ValueError(
            f"an array of shape {tuple(shape)} has {len(data) / size:g} numbers; is the file whole?"
        )
    return np.frombuffer(data, "<f8" if double else "<f4").reshape(shape)


def _message(data: Any) -> Values:
    """Splits a message into its fields, by number: integers, and bytes without a copy.

    Numbers of fixed size stay bytes, like strings, messages and packed arrays.
    """
    if not isinstance(data, memoryview):
        raise ValueError("a message must have a length; is it a file of Caffe?")
    values: Values = {}
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        field, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(data, position)
            values.setdefault(field, []).append(value)
            continue
        if wire_type == 2:
            length, position = _varint(data, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError("it is no protocol buffer; is it a file of Caffe?")
        if not field or length > len(data) - position:
            raise ValueError("it is no protocol buffer, or cut short; is it a whole file of Caffe?")
        values.setdefault(field, []).append(data[position : position + length])
        position += length
    return values


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Returns the integer at a position, and the position behind it."""
    value = 0
    for shift, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, position + shift + 1
    raise ValueError("it is no protocol buffer, or cut short; is it a whole file of Caffe?")


def _integers(values: Sequence[Any]) -> list[int]:
    """Returns the numbers of a repeated field, packed or not."""
    numbers: list[int] = []
    for value in values:
        if isinstance(value, int):
            numbers.append(value)
            continue
        position = 0
        while position < len(value):
            number, position = _varint(value, position)
            numbers.append(number)
    return numbers


def _sides(message: Values, fields: Sequence[int], default: int | None) -> Any:
    """Returns the value that all sides have, or all values."""
    numbers = [number for field in fields for number in _integers(message.get(field, ()))]
    return numbers[0] if len({*numbers}) == 1 else (tuple(numbers) or default)


def _integer(message: Values, field: int, default: int) -> int:
    value = message.get(field, [default])[-1]
    if not isinstance(value, int):
        raise ValueError(f"field {field} must be an integer; is the file damaged?")
    return value


def _float(message: Values, field: int, default: float) -> float:
    if field not in message:
        return default
    data = message[field][-1]
    if not isinstance(data, memoryview) or len(data) != 4:
        raise ValueError(f"field {field} must be a float; is the file damaged?")
    return struct.unpack("<f", data)[0]


def _text(message: Values, field: int) -> str:
    """Returns a word, or a number as one; no more of it than a message of one line can show."""
    value = message.get(field, [b""])[-1]
    return str(value) if isinstance(value, int) else repr(bytes(value[:40]))[2:-1]

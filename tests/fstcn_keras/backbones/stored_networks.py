"""Random networks of the structure of VGG_CNN_M_2048, in the formats of others, and in NumPy.

Each format's network is computed in the format's own conventions: MatConvNet takes (row, column,
RGB) images and has kernels (h, w, f, f'), its fully-connected layers are convolutions; Caffe takes
BGR and has kernels (f', f, h, w), its fully-connected layers are matrices over (f, h, w).
"""

from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from scipy.io import savemat

NAMES = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
NARROW = (12, 32, 64, 64, 64, 32, 16, 10)  # of preset paper at an eighth of the width
FULL = (96, 256, 512, 512, 512, 4096, 2048, 1000)
MEAN = (123.5, 117.25, 102.75)  # red, green, blue: other than what our network subtracts
STRIDE = {"conv1": 2, "conv2": 2}
PADDING = {"conv2": 1, "conv3": 1, "conv4": 1, "conv5": 1}
ALPHA = 5e-4  # over n = 5 channels
LRN = [5.0, 2.0, ALPHA / 5, 0.75]  # as MatConvNet writes it
TYPES_V1 = {"Convolution": 4, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18}

Weights = dict[str, tuple[np.ndarray, np.ndarray]]


def random_weights(widths: tuple[int, ...] = NARROW) -> Weights:
    """Kernels (h, w, f, f') and biases that keep activations of a size at which LRN matters."""
    generator = np.random.default_rng(3)
    weights, inputs = {}, 3
    sizes = dict(zip(NAMES, (7, 5, 3, 3, 3, 6, 1, 1), strict=True))
    for (name, size), outputs in zip(sizes.items(), widths, strict=True):
        shape = (size, size, inputs, outputs)
        kernel = generator.standard_normal(shape, dtype=np.float32)
        kernel *= np.float32((2 / (size * size * inputs)) ** 0.5)
        weights[name] = kernel, generator.normal(0, 0.1, outputs).astype(np.float32)
        inputs = outputs
    return weights


def convolve(x: np.ndarray, kernel: np.ndarray, biases: np.ndarray, stride: int, padding: int):
    x = np.pad(x, [(padding, padding), (padding, padding), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(0, 1))
    windows = windows[::stride, ::stride]  # (h, w, f, kernel h, kernel w)
    return np.maximum(np.tensordot(windows, kernel.transpose(2, 0, 1, 3), 3) + biases, 0)


def normalize(x: np.ndarray) -> np.ndarray:
    features = x.shape[-1]
    result = np.empty_like(x)
    for f in range(features):
        near = x[..., max(f - 2, 0) : f + 3]
        result[..., f] = x[..., f] / (2 + ALPHA / 5 * (near**2).sum(-1)) ** 0.75
    return result


def pool(x: np.ndarray) -> np.ndarray:
    """Maxima over 3x3 pixels with stride 2; the last window may be cut off by the edge."""
    rows, columns = (-(-(length - 3) // 2) + 1 for length in x.shape[:2])
    result = np.empty((rows, columns, x.shape[2]), x.dtype)
    for row in range(rows):
        for column in range(columns):
            window = x[2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            result[row, column] = window.max(axis=(0, 1))
    return result


def maps(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Pixels minus their mean to the maps under fc6, (6, 6, f)."""
    for name in NAMES[:5]:
        kernel, biases = (values.astype(np.float64) for values in weights[name])
        x = convolve(x, kernel, biases, STRIDE.get(name, 1), PADDING.get(name, 0))
        if name in ("conv1", "conv2"):
            x = pool(normalize(x))
    return pool(x)


def matconvnet_features(weights: Weights, rgb: np.ndarray, mean=MEAN) -> list[np.ndarray]:
    """Activations of fc6 and fc7 of MatConvNet's network."""
    x = maps(rgb - np.asarray(mean), weights)
    fc6 = np.maximum(np.tensordot(x, weights["fc6"][0], 3) + weights["fc6"][1], 0)
    fc7 = np.maximum(fc6 @ weights["fc7"][0][0, 0] + weights["fc7"][1], 0)
    return [fc6, fc7]


def caffe_arrays(weights: Weights) -> dict[str, list[np.ndarray]]:
    """Takes the same numbers as those of a network of Caffe, in the shapes that it has."""
    arrays = {}
    for name, (kernel, biases) in weights.items():
        blob = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))  # (f', f, h, w)
        if name.startswith("fc"):
            blob = blob.reshape(len(blob), -1)
        arrays[name] = [blob, biases]
    return arrays


def caffe_features(weights: Weights, rgb: np.ndarray, mean=MEAN) -> list[np.ndarray]:
    """Activations of fc6 and fc7 of Caffe's network, whose first kernel is over BGR."""
    arrays = caffe_arrays(weights)
    x = maps((rgb - np.asarray(mean))[..., ::-1], weights)
    x = x.transpose(2, 0, 1).reshape(-1)
    for name in ("fc6", "fc7"):
        matrix, biases = arrays[name]
        x = np.maximum(matrix @ x + biases, 0)
        if name == "fc6":
            fc6 = x
    return [fc6, x]


def matlab_layers(weights: Weights, *, old: bool = False) -> list[dict]:
    """The layers of a SimpleNN, in the form of early versions of MatConvNet or of later ones."""

    def tensors(name: str) -> dict:
        kernel, biases = weights[name]
        if old:
            return {"filters": kernel, "biases": biases.reshape(1, -1)}
        cell = np.empty((1, 2), object)
        cell[0, 0], cell[0, 1] = kernel, biases.reshape(-1, 1)
        return {"weights": cell}

    layers = []
    for name in NAMES:
        stride, padding = float(STRIDE.get(name, 1)), float(PADDING.get(name, 0))
        steps = {"stride": stride} if old else {"stride": [[stride, stride]]}
        steps["pad"] = padding if old else [[padding] * 4]
        layers.append({"type": "conv", "name": name, **tensors(name), **steps})
        if name == "fc8":
            break
        layers.append({"type": "relu", "name": f"relu{name[-1]}"})
        if name in ("conv1", "conv2"):
            kind = "normalize" if old else "lrn"
            layers.append({"type": kind, "name": f"norm{name[-1]}", "param": [LRN]})
        if name in ("conv1", "conv2", "conv5"):
            windows = {"pool": [[3.0, 3.0]], "stride": [[2.0, 2.0]], "method": "max"}
            # of 224 pixels: only the second pooling hangs over the edge there
            edges = [[0.0, float(name == "conv2")] * 2]
            layers.append({"type": "pool", "name": f"pool{name[-1]}", **windows, "pad": edges})
    return [*layers, {"type": "softmax", "name": "prob"}]


def average_image(mean=MEAN) -> np.ndarray:
    """An image of (224, 224, 3) with this mean, and not the same everywhere."""
    waves = 9 * np.sin(2 * np.pi * np.arange(224) / 224)
    return (np.asarray(mean) + waves[:, None, None]).astype(np.float32) + np.zeros((1, 224, 1))


def write_mat(path: Path, layers: list[dict], *, old: bool = False, image=None) -> Path:
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    normalization = {"imageSize": [[224.0, 224.0, 3.0]]}
    if image is not None:
        normalization["averageImage"] = image
    where = {"normalization": normalization}
    savemat(path, {"layers": cells, **(where if old else {"meta": where})})
    return path


def _messages() -> dict[str, type]:
    """The messages of caffe.proto, with the fields that the tests write."""
    kinds = descriptor_pb2.FieldDescriptorProto
    integer, text, number, message = (
        kinds.TYPE_INT64,
        kinds.TYPE_STRING,
        kinds.TYPE_FLOAT,
        kinds.TYPE_MESSAGE,
    )
    convolution = [
        ("num_output", 1, integer),
        ("pad", 3, integer),
        ("kernel_size", 4, integer),
        ("group", 5, integer),
        ("stride", 6, integer),
    ]
    pooling = [("pool", 1, integer), ("kernel_size", 2, integer), ("stride", 3, integer)]
    lrn = [("local_size", 1, integer), ("alpha", 2, number), ("beta", 3, number)]
    lrn += [("norm_region", 4, integer), ("k", 5, number)]
    sizes = [(name, n, integer) for n, name in enumerate(("num", "channels", "height", "width"), 1)]
    old = [("layer", 1, "V0"), ("name", 4, text), ("type", 5, integer), ("blobs", 6, "*Blob")]
    new = [("name", 1, text), ("type", 2, text), ("blobs", 7, "*Blob"), ("bottom", 3, text)]
    parameters = {"convolution_param": "Conv", "lrn_param": "LRN", "pooling_param": "Pool"}
    for numbers, fields in (((10, 18, 19), old), ((106, 118, 121), new)):
        fields += [(n, i, k) for i, (n, k) in zip(numbers, parameters.items(), strict=True)]
    definitions = {
        "Shape": [("dim", 1, "*packed int")],
        "Blob": [*sizes, ("data", 5, "*packed float"), ("shape", 7, "Shape")],
        "Conv": convolution,
        "Pool": pooling,
        "LRN": lrn,
        "V0": [("name", 1, text)],
        "V1": old,
        "V2": new,
        "Net": [("name", 1, text), ("layers", 2, "*V1"), ("layer", 100, "*V2")],
    }
    file = descriptor_pb2.FileDescriptorProto(name="caffe_test.proto", package="caffe_test")
    file.syntax = "proto2"
    for name, fields in definitions.items():
        defined = file.message_type.add(name=name)
        for field_name, field_number, kind in fields:
            field = defined.field.add(name=field_name, number=field_number)
            repeated = isinstance(kind, str) and kind.startswith("*")
            field.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if isinstance(kind, str) and "packed" in kind:
                field.type = integer if kind.endswith("int") else number
                field.options.packed = True
            elif isinstance(kind, str):
                field.type, field.type_name = message, f".caffe_test.{kind.lstrip('*')}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe_test.{name}"))
        for name in definitions
    }


MESSAGES = _messages()


def fill_blob(blob, values: np.ndarray, *, legacy: bool):
    blob.data.extend(values.reshape(-1))
    if legacy:
        sizes = (1,) * (4 - values.ndim) + values.shape
        blob.num, blob.channels, blob.height, blob.width = sizes
    else:
        blob.shape.dim.extend(values.shape)


def caffe_net(weights: Weights, *, old: bool = False):
    """A `NetParameter`: with `layers` and four sizes if old, else with `layer` and shapes."""
    net = MESSAGES["Net"](name="VGG_CNN_M_2048")

    def add(name: str, kind: str):
        layer = (net.layers if old else net.layer).add(name=name)
        layer.type = TYPES_V1[kind] if old else kind
        return layer

    for name, arrays in caffe_arrays(weights).items():
        layer = add(name, "InnerProduct" if name.startswith("fc") else "Convolution")
        for values in arrays:
            fill_blob(layer.blobs.add(), values, legacy=old)
        if name.startswith("conv"):
            layer.convolution_param.num_output = len(arrays[1])
            layer.convolution_param.kernel_size = arrays[0].shape[2]
            if name in STRIDE:
                layer.convolution_param.stride = STRIDE[name]
            if name in PADDING:
                layer.convolution_param.pad = PADDING[name]
        add(f"relu{name[-1]}", "ReLU")
        if name in ("conv1", "conv2"):
            layer = add(f"norm{name[-1]}", "LRN")
            layer.lrn_param.local_size, layer.lrn_param.alpha = 5, ALPHA
            layer.lrn_param.beta, layer.lrn_param.k = 0.75, 2.0
        if name in ("conv1", "conv2", "conv5"):
            layer = add(f"pool{name[-1]}", "Pooling")
            layer.pooling_param.pool = 0
            layer.pooling_param.kernel_size, layer.pooling_param.stride = 3, 2
    return net


def write_caffemodel(path: Path, net, *, image=None) -> Path:
    """Writes the network, and the average image (h, w, RGB) as Caffe has it beside it."""
    path.write_bytes(net.SerializeToString())
    if image is not None:
        blob = MESSAGES["Blob"]()
        fill_blob(blob, image[None, :, :, ::-1].transpose(0, 3, 1, 2), legacy=True)
        path.with_name("VGG_mean.binaryproto").write_bytes(blob.SerializeToString())
    return path

"""Turns CNN-M-2048, as other frameworks store it, into weights of `vgg_m` and the spatial path.

The network is VGG_CNN_M_2048 of Chatfield et al. 2014, "Return of the Devil in the Details", which
stage 1 of the paper starts from. `matconvnet` and `caffe` read its public files.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fstcn_keras.backbones.backbone import CAFFE_MEAN
from fstcn_keras.backbones.stored_weights import StoredWeights
from fstcn_keras.backbones.vgg_m import BACKBONES
from fstcn_keras.layers import LocalResponseNormalization

CONVOLUTION, NORMALIZATION, POOLING = "convolution", "normalization", "pooling"
CLASSIFIER = "fc8"  # of the 1,000 classes of ImageNet
LAYERS = {  # ours by the names that they have there
    "conv1": "conv1",
    "conv2": "conv2",
    "conv3": "conv3",
    "conv4": "conv4",
    "conv5": "parallel_scl",
    "fc6": "spatial_fc",
    "fc7": "spatial_features",
}


@dataclass(frozen=True, kw_only=True)
class StoredLayer:
    """Holds what a file says of one layer.

    Example:
        >>> StoredLayer(name="pool1", kind=POOLING, settings={"size": 3, "stride": 2}).tensors
        ()

    Attributes:
        name: in the file.
        kind: `CONVOLUTION`, `NORMALIZATION`, `POOLING`, or what the file calls another kind with
            weights. A fully-connected layer is a convolution as large as its maps.
        settings: those that the file names; see `_EXPECTED`.
        tensors: of a convolution the kernel `(h, w, f, f')`, that of the first one over red, green
            and blue, and the biases, in any shape.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]
    tensors: tuple[np.ndarray, ...] = ()


def _expected() -> list[tuple[str, str, dict[str, Any]]]:
    """Returns name, kind and settings of the layers with any, in their order."""
    ours = LocalResponseNormalization()
    normalization = {
        "n": ours.depth,
        "k": ours.bias,
        "alpha/n": ours.alpha / ours.depth,
        "beta": ours.beta,
    }
    pooling = {"method": "max", "size": 3, "stride": 2, "padding": 0}  # at the top and left
    layers: list[tuple[str, str, dict[str, Any]]] = []

    def convolution(name: str, size: int, stride: int, padding: int) -> None:
        settings = {"size": size, "stride": stride, "padding": padding}
        layers.append((name, CONVOLUTION, settings))

    convolution("conv1", 7, 2, 0)
    layers += [("norm1", NORMALIZATION, normalization), ("pool1", POOLING, pooling)]
    convolution("conv2", 5, 2, 1)
    layers += [("norm2", NORMALIZATION, normalization), ("pool2", POOLING, pooling)]
    for name in ("conv3", "conv4", "conv5"):
        convolution(name, 3, 1, 1)
    layers.append(("pool5", POOLING, pooling))
    convolution("fc6", 6, 1, 0)
    convolution("fc7", 1, 1, 0)
    return layers


def spatial_path_weights(
    layers: Sequence[StoredLayer], *, mean: Sequence[float] | None
) -> StoredWeights:
    """Returns the weights of `vgg_m`, the parallel SCL and the two FCs of the spatial path.

    The stored network takes pixels minus their mean, ours `(x - mean) / std` with another mean: the
    divisor goes into the kernel of the first convolution and the difference of the means into its
    biases. It has no padding, so frames give exactly the same maps. Differences, `|a - b| / std`,
    pass through the same kernel and biases: the stored layer gives the same for the image
    `|a - b| + our mean`.

    Its fully-connected layers see 6x6 maps as ours do: 224 pixels become 109-54-26-13-6, 204 become
    99-49-24-12-6.

    Args:
        layers: those that `StoredLayer` knows, in their order; `fc8` may be absent.
        mean: of its red, green and blue pixels, 0 to 255; `None` if it is not known, which makes
            it the usual one of ImageNet.

    Raises:
        ValueError: if it is another network, or a tensor is not finite.
    """
    notes = _check_structure(layers)
    convolutions = [layer for layer in layers if layer.kind == CONVOLUTION]
    sizes = {name: settings["size"] for name, kind, settings in _expected() if kind == CONVOLUTION}
    weights: dict[str, list[np.ndarray]] = {}
    features = 3
    for (name, size), layer in zip({**sizes, CLASSIFIER: 1}.items(), convolutions, strict=False):
        kernel, biases = _checked_tensors(layer, size=size, features=features)
        features = len(biases)
        if name == "conv1":
            kernel, biases = _fold_pixels(kernel, biases, CAFFE_MEAN if mean is None else mean)
        if name.startswith("fc"):
            kernel = kernel.reshape(-1, features)  # (h*w*f, f'), as Keras flattens (h, w, f)
        weights[LAYERS.get(name, name)] = [kernel, biases]
    return StoredWeights(weights, notes)


def checked_mean(values: np.ndarray) -> tuple[float, float, float]:
    """Returns the mean of an average image per channel.

    Example:
        >>> checked_mean(np.full((224, 224, 3), 100.0))
        (100.0, 100.0, 100.0)

    Args:
        values: `(..., 3)`, 0 to 255.

    Raises:
        ValueError: if it is none.
    """
    if not values.size or values.shape[-1:] != (3,) or values.dtype.kind not in "fiu":
        raise ValueError(
            "the average image must hold numbers of three channels. "
            f"Received: {values.dtype} {values.shape}"
        )
    red, green, blue = (float(m) for m in values.reshape(-1, 3).mean(axis=0, dtype="float64"))
    if not all(0 <= m <= 255 for m in (red, green, blue)):
        raise ValueError(
            f"the average image must lie between 0 and 255. Received: {red}, {green}, {blue}"
        )
    return red, green, blue


def _check_structure(layers: Sequence[StoredLayer]) -> tuple[str, ...]:
    """Makes sure that the layers are those of CNN-M-2048; names what the file leaves open."""
    open_settings: dict[str, None] = {}
    expected = _expected()
    for number, (name, kind, settings) in enumerate(expected):
        if number == len(layers):
            raise ValueError(f"its layers end before {name}: it is not VGG_CNN_M_2048")
        layer = layers[number]
        if layer.kind != kind:
            raise ValueError(
                f"layer {layer.name!r} is a {layer.kind}, VGG_CNN_M_2048 has a {kind} ({name}) "
                "there: give the file of that network"
            )
        for setting, value in settings.items():
            received = layer.settings.get(setting)
            if received is None:
                if kind == NORMALIZATION:
                    open_settings[setting] = None
            elif not _is_same(received, value):
                raise ValueError(
                    f"layer {layer.name!r} has {setting} {_shown(received)}, VGG_CNN_M_2048 "
                    f"{_shown(value)}: give the file of that network"
                )
    further = [layer.name for layer in layers[len(expected) :]]
    if len(further) > 1:
        raise ValueError(
            f"layers {further} follow fc7, in VGG_CNN_M_2048 {CLASSIFIER} alone: give the file of "
            "that network"
        )
    if open_settings:
        names = ", ".join(open_settings)
        return (f"local response normalisation: {names} not in the file, taken as the paper's",)
    return ()


def _is_same(received: Any, expected: Any) -> bool:
    if isinstance(received, int | float) and isinstance(expected, int | float):
        return math.isclose(received, expected, rel_tol=1e-4)  # float32 in some files
    return received == expected


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _checked_tensors(
    layer: StoredLayer, *, size: int, features: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and biases in float32, once they fit the layer and the one before."""
    shapes = [tensor.shape for tensor in layer.tensors]
    outputs = shapes[0][-1] if shapes and len(shapes[0]) == 4 else 0
    if len(shapes) != 2 or shapes[0][:3] != (size, size, features) or outputs == 0:
        raise ValueError(
            f"layer {layer.name!r} must have a kernel ({size}, {size}, {features}, N) and N biases."
            f" Received: {shapes}; is the file whole, and of VGG_CNN_M_2048?"
        )
    if layer.tensors[1].size != outputs:
        raise ValueError(
            f"layer {layer.name!r} must have {outputs} biases, one for each feature map. "
            f"Received: {shapes[1]}"
        )
    for tensor in layer.tensors:
        if tensor.dtype.kind != "f":
            raise ValueError(
                f"layer {layer.name!r} must hold floating-point numbers. Received: {tensor.dtype}"
            )
        if not np.isfinite(tensor).all():
            raise ValueError(
                f"layer {layer.name!r} has weights that are not finite: get the file anew"
            )
    kernel, biases = layer.tensors
    return kernel.astype("float32", copy=False), biases.astype("float32", copy=False).reshape(-1)


def _fold_pixels(
    kernel: np.ndarray, biases: np.ndarray, mean: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what does for standardised pixels what the layer does for pixels minus the mean."""
    ours = BACKBONES["vgg_m"]
    shift = np.subtract(ours.mean, mean)  # x - mean = std * ((x - our mean) / std) + shift
    scaled = kernel * np.reshape(ours.std, (3, 1))
    shifted = biases + np.einsum("hwcf,c->f", kernel, shift)
    return scaled.astype("float32"), shifted.astype("float32")

"""Loads weights from another network or a file, by name, and reports on every tensor."""

import dataclasses
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from fstcn_keras import hdf5_weights
from fstcn_keras.backbones import BACKBONE_NAMES, get_backbone
from fstcn_keras.parts import LOGITS, all_layers

VIDEOS = "source_videos"  # in a file: a list in JSON, as paths need not be UTF-8
_READERS = {  # modules with `read_weights`, by suffix; other files are HDF5
    ".caffemodel": "fstcn_keras.backbones.caffe",
    ".mat": "fstcn_keras.backbones.matconvnet",
    ".pth": "fstcn_keras.backbones.efficientnet_lite",
}


@dataclass(frozen=True)
class WeightsReport:
    """Says what became of every tensor.

    Example:
        >>> print(WeightsReport(("fc",), ("fc/kernel (3, 2)",), (), ()))
        1 tensors loaded, 0 left as initialised, 0 of the file unused

    Attributes:
        layers: names of the network's layers of which every tensor was found and set.
        loaded: tensors of the network that were found and set.
        missing: tensors of the network that the file lacks, or holds in another shape.
        unused: tensors of the file that the network has no place for.
        notes: what the file leaves open, and what was taken for it.
    """

    layers: tuple[str, ...]
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = (
            f"{len(self.loaded)} tensors loaded, {len(self.missing)} left as initialised, "
            f"{len(self.unused)} of the file unused"
        )
        return "; ".join([counts, *self.notes])

    def full(self) -> str:
        """Returns one line for every tensor."""
        return "\n".join(
            [f"loaded               {name}" for name in self.loaded]
            + [f"left as initialised  {name}" for name in self.missing]
            + [f"unused               {name}" for name in self.unused]
            + [f"note                 {note}" for note in self.notes]
        )


def load_weights(model: keras.Model, path: str | Path) -> WeightsReport:
    """Sets what a file has of the network's weights, by the names of the layers.

    Reads the HDF5 format of Keras Applications: groups named after layers, each with an
    attribute `weight_names`, in the order of the layer's own weights. Spellings of names that
    earlier versions of Keras have are understood: `Conv/BatchNorm` for `conv_bn`. The backbone
    alone will do, and so will the whole auxiliary classifier as `save_weights` writes it.

    Files that end in `.mat` or `.caffemodel` are of VGG_CNN_M_2048, as MatConvNet and Caffe store
    it, for `vgg_m` and the spatial path (`fstcn_keras.backbones.cnn_m_2048`); those that end in
    `.pth` are of EfficientNet-Lite, as PyTorch stored it before version 1.6.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(model, f"{folder}/fc.h5")
        ...     print(load_weights(model, f"{folder}/fc.h5"))
        2 tensors loaded, 0 left as initialised, 0 of the file unused

    Args:
        model: see `fstcn_keras.FSTCN` and `fstcn_keras.AuxiliaryClassifier`.
        path: the file.

    Raises:
        ValueError: if the file is none of these formats, or nothing in it fits.
    """
    tensors, notes = _read_file(path, model)
    report = dataclasses.replace(_set(model, tensors), notes=notes)
    if not report.loaded:
        raise ValueError(
            f"no tensor of {path} fits the network, e.g. {report.missing[0]}; "
            f"in the file alone: {report.unused[:3]}"
        )
    return report


def load_imagenet_weights(model: keras.Model, backbone: str) -> WeightsReport:
    """Sets the backbone to published ImageNet weights.

    Those of Keras Applications lie in Keras' cache folder, and are downloaded if they do not;
    those of EfficientNet-Lite are an installed package, see `backbones.efficientnet_lite`.

    Args:
        model: see `fstcn_keras.FSTCN` and `fstcn_keras.AuxiliaryClassifier`.
        backbone: name of its backbone.

    Raises:
        ValueError: if there are none for this backbone, or they cannot be had.
    """
    networks = {name: get_backbone(name).imagenet for name in BACKBONE_NAMES}
    published = {name: network for name, network in networks.items() if network is not None}
    if backbone not in published:
        raise ValueError(
            f"there are no ImageNet weights of {backbone} to be had, only of {[*published]}"
        )
    try:
        source = published[backbone]()
    except Exception as error:  # what `keras.utils.get_file` raises has no type of its own
        raise ValueError(f"the ImageNet weights of {backbone} cannot be had: {error}") from error
    return load_weights(model, source) if isinstance(source, Path) else copy_weights(source, model)


def copy_weights(source: keras.Model, target: keras.Model) -> WeightsReport:
    """Sets what one network has of another's weights, by the names of the layers.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> copy_weights(model, keras.models.clone_model(model)).loaded
        ('fc/kernel (3, 2)', 'fc/bias (2,)')

    Args:
        source: the network whose weights are read.
        target: the network whose weights are set.
    """
    return _set(target, _tensors(source))


def save_weights(model: keras.Model, path: str | Path, *, videos: Sequence[str] = ()) -> None:
    """Writes the weights by the names of the layers, for `load_weights`.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(model, f"{folder}/fc.h5", videos=["jump/a.mp4"])
        ...     print(source_videos(f"{folder}/fc.h5"))
        ['jump/a.mp4']

    Args:
        model: see `load_weights`.
        path: the file.
        videos: paths of those whose frames they have learned from, for `source_videos`.
    """
    with h5py.File(path, "w") as file:
        layers = named_layers(model)
        if videos:
            file[VIDEOS] = json.dumps(list(videos))
        file.attrs["layer_names"] = [name.encode() for name in layers]
        for name, layer in layers.items():
            group = file.create_group(name)
            names = [f"{number}_{variable.name}" for number, variable in enumerate(layer.weights)]
            group.attrs["weight_names"] = [weight.encode() for weight in names]
            for weight, variable in zip(names, layer.weights, strict=True):
                group[weight] = keras.ops.convert_to_numpy(variable)


def source_videos(path: str | Path) -> list[str]:
    """Returns the videos that `save_weights` was told of; in files of others there are none.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_weights(model, f"{folder}/fc.h5")
        ...     print(source_videos(f"{folder}/fc.h5"))
        []

    Raises:
        ValueError: if the file is not there, is none of HDF5, or their list is damaged.
    """
    return [] if Path(path).suffix in _READERS else hdf5_weights.read_texts(path, VIDEOS)


def named_layers(model: keras.Model) -> dict[str, keras.Layer]:
    """Returns layers with weights by name, those inside wrappers and inner models in their place.

    The classifier is not among them: it belongs to its own classes and features.

    Example:
        >>> inner = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="fc")])
        >>> list(named_layers(keras.Sequential([inner, keras.layers.ReLU()])))
        ['fc']
    """
    return {
        layer.name: layer
        for layer in all_layers(model)
        if layer.weights and layer.name != LOGITS and not _is_container(layer)
    }


def _is_container(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.Model | keras.layers.Wrapper)


def _tensors(model: keras.Model) -> dict[tuple[str, int], np.ndarray]:
    return {
        (_spelling(name), position): keras.ops.convert_to_numpy(variable)
        for name, layer in named_layers(model).items()
        for position, variable in enumerate(layer.weights)
    }


def _set(model: keras.Model, tensors: dict[tuple[str, int], np.ndarray]) -> WeightsReport:
    tensors = dict(tensors)
    layers: list[str] = []
    loaded: list[str] = []
    missing: list[str] = []
    for layer_name, layer in named_layers(model).items():
        before = len(missing)
        for position, variable in enumerate(layer.weights):
            name, shape = f"{layer_name}/{variable.name}", tuple(variable.shape)
            value = tensors.pop((_spelling(layer_name), position), None)
            if value is None:
                missing.append(f"{name} {shape}: not in the file")
            elif value.shape != shape:
                missing.append(f"{name} {shape}: the file has {value.shape}")
            else:
                variable.assign(value)
                loaded.append(f"{name} {shape}")
        if len(missing) == before:
            layers.append(layer_name)
    unused = [f"{layer}, tensor {position}" for layer, position in tensors]
    return WeightsReport(tuple(layers), tuple(loaded), tuple(missing), tuple(unused))


def _read_file(
    path: str | Path, model: keras.Model
) -> tuple[dict[tuple[str, int], np.ndarray], tuple[str, ...]]:
    """Returns tensors by layer and position, and notes, by the reader of the file's suffix."""
    path = Path(path)
    if path.suffix not in _READERS:
        return _read_hdf5(path, model), ()
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    reader = importlib.import_module(_READERS[path.suffix])
    try:
        stored = reader.read_weights(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    tensors = {
        (_spelling(name), position): tensor
        for name, layer in stored.layers.items()
        for position, tensor in enumerate(layer)
    }
    return tensors, stored.notes


def _read_hdf5(path: Path, model: keras.Model) -> dict[tuple[str, int], np.ndarray]:
    shapes = {
        (_spelling(name), position): tuple(variable.shape)
        for name, layer in named_layers(model).items()
        for position, variable in enumerate(layer.weights)
    }
    tensors = hdf5_weights.read_tensors(
        path, lambda layer, position: shapes.get((_spelling(layer), position))
    )
    return {(_spelling(layer), position): tensor for (layer, position), tensor in tensors.items()}


def _spelling(layer_name: str) -> str:
    return layer_name.replace("/", "_").replace("BatchNorm", "bn").lower()

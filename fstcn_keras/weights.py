"""Pre-trained weights of the lower SCLs from an HDF5 file, with a report of every tensor."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import keras


@dataclass(frozen=True)
class WeightsReport:
    """What became of every tensor.

    Attributes:
        loaded: tensors of the network that were found and set.
        missing: tensors of the network that the file lacks, or holds in another shape.
        unused: tensors of the file that the network has no place for.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{len(self.loaded)} tensors loaded, {len(self.missing)} left as initialised, "
            f"{len(self.unused)} of the file unused"
        )

    def full(self) -> str:
        """One line for every tensor."""
        return "\n".join(
            [f"loaded               {name}" for name in self.loaded]
            + [f"left as initialised  {name}" for name in self.missing]
            + [f"unused               {name}" for name in self.unused]
        )


def load_scl_weights(scl: keras.Model, path: str | Path) -> WeightsReport:
    """Sets the weights of the lower SCLs, layer by layer, by the layers' names.

    Reads the HDF5 format of Keras Applications: groups named after layers, each with an
    attribute `weight_names`, in the order of the layer's own weights. A `/` in a layer's name
    stands for the `_` of ours.

    Args:
        scl: the model named "scl" (see `fstcn_keras.scl.build_scl`).
        path: the file.

    Returns:
        The report; tensors whose shape differs are left as they were.

    Raises:
        ValueError: if the file is no HDF5 file of that format, or nothing in it fits.
    """
    tensors = _read_tensors(path)
    loaded, missing = [], []
    for layer in scl.layers:
        for position, variable in enumerate(layer.weights):
            name, key = f"{layer.name}/{variable.name}", (layer.name, position)
            value = tensors.get(key)
            if value is None:
                missing.append(f"{name} {tuple(variable.shape)}: not in the file")
            elif value.shape != tuple(variable.shape):
                missing.append(f"{name} {tuple(variable.shape)}: the file has {value.shape}")
                tensors.pop(key)
            else:
                variable.assign(tensors.pop(key))
                loaded.append(f"{name} {value.shape}")
    unused = [f"{layer}, tensor {position}" for layer, position in tensors]
    if not loaded:
        raise ValueError(
            f"no tensor of {path} fits the network, e.g. {missing[0]}; "
            f"layers in the file alone: {unused[:3]}"
        )
    return WeightsReport(tuple(loaded), tuple(missing), tuple(unused))


def _read_tensors(path: str | Path) -> dict:
    if not Path(path).is_file():
        raise ValueError(f"{path} is not a file")
    try:
        with h5py.File(path) as file:
            root = file.get("model_weights", file)
            tensors = {}
            for layer in root.attrs["layer_names"]:
                layer = layer.decode() if isinstance(layer, bytes) else layer
                group = root[layer]
                for position, name in enumerate(group.attrs["weight_names"]):
                    tensors[layer.replace("/", "_"), position] = group[name][()]
            return tensors
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is no HDF5 file of Keras weights ({error})") from error

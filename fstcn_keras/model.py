"""FSTCN and its auxiliary classifier, by Keras' functional API."""

from collections.abc import Sequence

import keras
from keras import layers, ops

from fstcn_keras.backbones.registry import SCLS, build_scl, convolution_relu
from fstcn_keras.config import PATHS, FSTCNConfig, preset_config
from fstcn_keras.initializers import MeanOverPlaces, NearIdentity
from fstcn_keras.layers import (
    CeilMaxPooling2D,
    FoldedTimeDistributed,
    FrameChoice,
    LargeDense,
    TemporalConvolution,
    TPOperator,
    WinogradConvolution2D,
)

CLASSIFIER = "probabilities"  # name of the last layer
FEATURES = ("spatial_features", "temporal_features", "spatio_temporal_features")


def fstcn(
    *,
    num_classes: int,
    preset: str = "paper",
    paths: Sequence[str] = PATHS,
    temporal_kernels: Sequence[int] = (3, 5),
    **overrides,
) -> keras.Model:
    """Builds the factorised spatio-temporal convolutional network.

    One frame of the clip and all frames of the difference go through the same lower SCLs. The
    frame's features feed the parallel SCL (spatial path), the differences' features the T-P
    operator and the TCL (temporal path); a fully-connected layer joins both.

    Args:
        num_classes: number of actions, `N`.
        preset: `"paper"`, `"small"` or `"squeeze"`, see `fstcn_keras.config`.
        paths: `"spatial"`, `"temporal"` or both: the rows of Table 2.
        temporal_kernels: kernel sizes of the parallel TCL convolutions: the rows of Table 1.
        **overrides: fields of `FSTCNConfig`.

    Returns:
        A model from `{"clip": (batch, l_t, h, w, 3) uint8, "clip_diff": the same}` to class
        probabilities `(batch, num_classes)` float32. `clip_diff` holds |V(t) - V(t + d_t)|.
        The layers `spatial_features`, `temporal_features` and `spatio_temporal_features` give
        the features of the second FC of each path and of the joint FC (Figure 4).

    Raises:
        ValueError: if an argument is unknown or out of range.

    Reference:
        Sun et al. 2015, sections 2.1, 2.2 and 2.5.
    """
    _check_choices(num_classes, paths, temporal_kernels)
    config = preset_config(preset, **overrides)
    shape = (config.clip_length, config.crop_size, config.crop_size, 3)
    inputs = {name: keras.Input(shape, dtype="uint8", name=name) for name in ("clip", "clip_diff")}
    scl = SCLS[config.scl]
    frames = []
    if "spatial" in paths:
        frame = FrameChoice(name="frame_choice")(inputs["clip"])  # (batch, 1, h, w, 3)
        frames.append(scl.frame_normalization()(frame))
    if "temporal" in paths:
        frames.append(scl.difference_normalization()(inputs["clip_diff"]))
    x = layers.Concatenate(axis=1)(frames) if len(frames) > 1 else frames[0]
    maps = FoldedTimeDistributed(_lower_scls(config), name="time_distributed_scl")(x)

    of_path = ops.split(maps, [1], axis=1) if len(frames) > 1 else [maps]
    features = []
    if "spatial" in paths:
        features.append(_spatial_path(ops.squeeze(of_path[0], axis=1), config))
    if "temporal" in paths:
        features.append(_temporal_path(of_path[-1], config, temporal_kernels))
    x = layers.Concatenate()(features) if len(features) > 1 else features[0]
    x = _fully_connected(x, config.joint_units, "spatio_temporal_features", config)
    return keras.Model(inputs, _classifier(x, num_classes, config), name="fstcn")


def auxiliary_classifier(*, num_classes: int, preset: str = "paper", **overrides) -> keras.Model:
    """Builds the image classifier that pre-trains the lower and the parallel SCL.

    Args:
        num_classes: number of classes of images.
        preset: as for `fstcn`.
        **overrides: fields of `FSTCNConfig`.

    Returns:
        A model from `{"frame": (batch, h, w, 3) uint8}` to probabilities
        `(batch, num_classes)`; its layers bear the names they have in `fstcn`.

    Raises:
        ValueError: if an argument is unknown or out of range.

    Reference:
        Sun et al. 2015, section 2.3 and the dashed red box of Figure 1.
    """
    _check_choices(num_classes, PATHS, (3,))
    config = preset_config(preset, **overrides)
    frame = keras.Input((config.crop_size, config.crop_size, 3), dtype="uint8", name="frame")
    x = SCLS[config.scl].frame_normalization()(frame)
    x = _spatial_path(_lower_scls(config)(x), config)
    return keras.Model(
        {"frame": frame}, _classifier(x, num_classes, config), name="auxiliary_classifier"
    )


def layer_outputs(model: keras.Model, names: Sequence[str]) -> dict[str, keras.KerasTensor]:
    """Outputs of those of the named layers that the network has, by name."""
    present = {layer.name for layer in model.layers}
    return {name: model.get_layer(name).output for name in names if name in present}


def _check_choices(num_classes: int, paths: Sequence[str], temporal_kernels: Sequence[int]):
    if num_classes < 1:
        raise ValueError(f"`num_classes` must be positive. Received: num_classes={num_classes}")
    if isinstance(paths, str) or sorted(paths) not in (["spatial"], ["temporal"], sorted(PATHS)):
        raise ValueError(f"`paths` must name one or both of {PATHS}. Received: paths={paths!r}")
    if isinstance(temporal_kernels, int) or not temporal_kernels or min(temporal_kernels) < 1:
        raise ValueError(
            "`temporal_kernels` must hold positive kernel sizes. "
            f"Received: temporal_kernels={temporal_kernels}"
        )


def _weight_decay(config: FSTCNConfig):
    """Keras' L2 has no 1/2: the gradient of `wd / 2 * w^2` is the paper's `wd * w`."""
    return keras.regularizers.L2(config.weight_decay / 2) if config.weight_decay else None


def _lower_scls(config: FSTCNConfig) -> keras.Model:
    return build_scl(
        config.scl,
        size=config.crop_size,
        width=config.width,
        regularizer=_weight_decay(config),
    )


def _spatial_path(x, config: FSTCNConfig):
    """Parallel SCL and its two FCs: (batch, h, w, f) -> (batch, path_units[1])."""
    filters = round(512 * config.width)
    x = _upper_scl(filters, "parallel_scl", config)(x)
    x = CeilMaxPooling2D(3, 2, name="parallel_pool")(x)
    places = x.shape[1] * x.shape[2]
    x = layers.Flatten(name="spatial_flatten")(x)
    x = _fully_connected(x, config.path_units[0], "spatial_fc", config, places=places)
    return _fully_connected(x, config.path_units[1], "spatial_features", config)


def _temporal_path(x, config: FSTCNConfig, temporal_kernels: Sequence[int]):
    """SCL, T-P operator, TCL and two FCs: (batch, l_t, h, w, f) -> (batch, path_units[1])."""
    filters = round(128 * config.width)
    regularizer = _weight_decay(config)
    scl = _upper_scl(filters, "temporal_scl", config)
    x = FoldedTimeDistributed(scl, name="time_distributed_temporal_scl")(x)
    pool = CeilMaxPooling2D(3, 3, name="temporal_pool")
    x = FoldedTimeDistributed(pool, name="time_distributed_temporal_pool")(x)
    x = TPOperator(
        filters,
        kernel_initializer=None if config.initialization == "he" else NearIdentity(),
        kernel_regularizer=regularizer,
        name="tp_operator",
    )(x)
    x = TemporalConvolution(
        round(32 * config.width),
        kernel_sizes=temporal_kernels,
        dropout=config.dropout,
        kernel_initializer=_over_places(x.shape[-1], config),
        kernel_regularizer=regularizer,
        name="tcl",
    )(x)  # (batch, l_t, f', maps)
    moments = x.shape[1]
    x = layers.Flatten(name="temporal_flatten")(x)
    x = _fully_connected(x, config.path_units[0], "temporal_fc", config, places=moments)
    return _fully_connected(x, config.path_units[1], "temporal_features", config)


def _upper_scl(filters: int, name: str, config: FSTCNConfig) -> layers.Conv2D:
    """Conv(filters, 3, 1) with a ReLU, a path's own."""
    return convolution_relu(
        filters,
        3,
        name,
        _weight_decay(config),
        layer=WinogradConvolution2D,
        initializer="he_normal" if config.initialization == "he" else NearIdentity(),
    )


def _over_places(places: int, config: FSTCNConfig) -> str | keras.Initializer:
    """How a layer starts whose inputs are the features of so many places or moments."""
    return "he_normal" if config.initialization == "he" else MeanOverPlaces(places)


def _fully_connected(x, units: int, name: str, config: FSTCNConfig, *, places: int = 1):
    """Dense, ReLU and dropout; `places` says of how many the flattened features are."""
    x = LargeDense(
        units,
        activation="relu",
        kernel_initializer=_over_places(places, config),
        kernel_regularizer=_weight_decay(config),
        name=name,
    )(x)
    return layers.Dropout(config.dropout, name=f"{name}_dropout")(x)


def _classifier(x, num_classes: int, config: FSTCNConfig):
    return layers.Dense(
        num_classes,
        activation="softmax",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        kernel_regularizer=_weight_decay(config),
        dtype="float32",
        name=CLASSIFIER,
    )(x)

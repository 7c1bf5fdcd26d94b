"""Builds the parts of the networks: encoders of single images, and heads over their maps.

An encoder sees one frame or one difference at a time. What needs all images of a clip, the T-P
operator, the TCL and the fully-connected layers, is the head.
"""

from collections.abc import Iterator

import keras
from keras import layers

from fstcn_keras.backbones import get_backbone
from fstcn_keras.backbones.backbone import convolution_relu
from fstcn_keras.config import FSTCNConfig
from fstcn_keras.initializers import MeanOverBlocks, NearIdentity
from fstcn_keras.layers import CeilMaxPooling2D, TemporalConvolution, TPOperator
from fstcn_keras.tensors import Tensor

LOGITS = "logits"  # the classifier layer, and its output of a head
_POOLS = {"frame": "parallel_pool", "differences": "time_distributed_temporal_pool"}
FEATURES = ("spatial_features", "temporal_features", "spatio_temporal_features")

MapShape = tuple[int, int, int]  # (h, w, f)


def backbone(config: FSTCNConfig) -> keras.Model:
    """Builds the backbone, `(batch, h, w, 3)` normalised pixels to `(batch, h', w', f)`.

    Example:
        >>> backbone(FSTCNConfig(width=0.25)).output.shape
        (None, None, None, 128)
    """
    return get_backbone(config.backbone).model(
        size=config.crop_size, width=config.width, regularizer=_decay(config)
    )


def frame_encoder(config: FSTCNConfig, backbone: keras.Model) -> keras.Sequential:
    """Builds the encoder of the spatial path: pixels, backbone, parallel SCL.

    Example:
        >>> config = FSTCNConfig(width=0.25)
        >>> frame_encoder(config, backbone(config)).compute_output_shape((1, 204, 204, 3))
        (1, 12, 12, 128)

    Args:
        config: of the network.
        backbone: the layers that both paths share.

    Returns:
        A model of one frame or more, uint8 `(batch, h, w, 3)` RGB of any size, to the maps of the
        parallel SCL `(batch, h', w', f)`.
    """
    normalization = get_backbone(config.backbone).frame_normalization()
    scl = _path_scl(round(config.scl_filters[0] * config.width), "parallel_scl", config)
    return _encoder([normalization, backbone, scl], "frame_encoder")


def difference_encoder(config: FSTCNConfig, backbone: keras.Model) -> keras.Sequential:
    """Builds the encoder of the temporal path: pixels, backbone, the path's own SCL.

    Example:
        >>> config = FSTCNConfig(width=0.25)
        >>> difference_encoder(config, backbone(config)).compute_output_shape((1, 204, 204, 3))
        (1, 12, 12, 32)

    Args:
        config: of the network.
        backbone: the layers that both paths share.

    Returns:
        A model of absolute differences of frames, uint8 `(batch, h, w, 3)` RGB of any size, to the
        maps of the SCL `(batch, h', w', f')`.
    """
    normalization = get_backbone(config.backbone).difference_normalization()
    scl = _path_scl(round(config.scl_filters[1] * config.width), "temporal_scl", config)
    return _encoder([normalization, backbone, scl], "difference_encoder")


def head(
    config: FSTCNConfig,
    *,
    classifier: keras.Layer,
    frame: MapShape | None = None,
    difference: MapShape | None = None,
) -> keras.Model:
    """Builds the layers over the encoders' maps: both paths and the classifier.

    Example:
        >>> config = FSTCNConfig(path_units=(8, 4), joint_units=4)
        >>> sorted(head(config, classifier=classifier(config, 3), frame=(12, 12, 16)).output)
        ['logits', 'spatial_features', 'spatio_temporal_features']

    Args:
        config: of the network.
        classifier: the last layer, from features to logits of N classes.
        frame: shape of a frame's map; `None` without the spatial path.
        difference: shape of a difference's map; `None` without the temporal path.

    Returns:
        A model from `{"frame": (batch, h, w, f), "differences": (batch, l_t, h, w, f')}`, one of
        them for one path, to the features of `FEATURES` that it has, `(batch, units)` each, and
        `"logits"`, float32 `(batch, N)`.
    """
    inputs, features, joined = {}, {}, []
    if frame is not None:
        inputs["frame"] = _map_input(frame, "frame")
        features["spatial_features"], x = _spatial_path(inputs["frame"], config)
        joined.append(x)
    if difference is not None:
        inputs["differences"] = _map_input((config.clip_length, *difference), "differences")
        features["temporal_features"], x = _temporal_path(inputs["differences"], config)
        joined.append(x)
    x = layers.Concatenate()(joined) if len(joined) > 1 else joined[0]
    joint, x = _fully_connected(x, config.joint_units, "spatio_temporal_features", config)
    outputs = {**features, "spatio_temporal_features": joint, LOGITS: classifier(x)}
    return keras.Model(inputs, outputs, name="head")


def pooling(head: keras.Model) -> keras.Model:
    """Returns what `head` begins with: the pooling of the maps, by the same layers.

    Example:
        >>> config = FSTCNConfig(path_units=(8, 4), joint_units=4)
        >>> pools = pooling(head(config, classifier=classifier(config, 3), frame=(12, 12, 16)))
        >>> {name: maps.shape for name, maps in pools.output.items()}
        {'frame': (None, 6, 6, 16)}

    Args:
        head: as `head` builds it.

    Returns:
        A model from the inputs of `head` to maxima over windows of them, under the same names.
    """
    return keras.Model(head.input, _pooled(head), name="pooling")


def after_pooling(head: keras.Model) -> keras.Model:
    """Returns what follows the pooling in `head`, by the same layers.

    Example:
        >>> config = FSTCNConfig(path_units=(8, 4), joint_units=4)
        >>> whole = head(config, classifier=classifier(config, 3), frame=(12, 12, 16))
        >>> after_pooling(whole).input["frame"].shape
        (None, 6, 6, 16)

    Args:
        head: as `head` builds it.

    Returns:
        A model from the outputs of `pooling` to those of `head`.
    """
    pooled = _pooled(head)
    inputs = {name: _map_input(maps.shape[1:], name) for name, maps in pooled.items()}
    rest = keras.Model(list(pooled.values()), head.output, name="after_pooling")
    return keras.Model(inputs, rest(list(inputs.values())))


def _pooled(head: keras.Model) -> dict[str, Tensor]:
    return {name: head.get_layer(_POOLS[name]).output for name in head.input}


def auxiliary_head(config: FSTCNConfig, *, classifier: keras.Layer, frame: MapShape) -> keras.Model:
    """Builds the auxiliary classifier's head: the two FCs of the spatial path and a classifier.

    Example:
        >>> config = FSTCNConfig(path_units=(8, 4))
        >>> last = classifier(config, 3)
        >>> sorted(auxiliary_head(config, classifier=last, frame=(12, 12, 16)).output)
        ['logits', 'spatial_features']

    Args:
        config: of the network.
        classifier: the last layer, from features to logits of N classes.
        frame: shape of a frame's map.

    Returns:
        A model from `{"frame": (batch, h, w, f)}` to `"spatial_features"`, `(batch, units)`, and
        `"logits"`, float32 `(batch, N)`.
    """
    maps = _map_input(frame, "frame")
    features, x = _spatial_path(maps, config)
    outputs = {"spatial_features": features, LOGITS: classifier(x)}
    return keras.Model({"frame": maps}, outputs, name="head")


def classifier(config: FSTCNConfig, num_classes: int) -> layers.Dense:
    """Returns the last fully-connected layer, whose logits are float32 in every precision.

    Example:
        >>> classifier(FSTCNConfig(), 101).units
        101

    Args:
        config: of the network.
        num_classes: N.
    """
    return layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        kernel_regularizer=_decay(config),
        dtype="float32",
        name=LOGITS,
    )


def all_layers(model: keras.Layer) -> Iterator[keras.Layer]:
    """Yields a model and its layers, those of inner models and wrappers in their place.

    Example:
        >>> inner = keras.Sequential([keras.Input((3,)), layers.ReLU(name="relu")], name="inner")
        >>> [layer.name for layer in all_layers(keras.Sequential([inner], name="outer"))]
        ['outer', 'inner', 'relu']
    """
    yield model
    if isinstance(model, layers.TimeDistributed):
        yield from all_layers(model.layer)
    for layer in getattr(model, "layers", ()):
        yield from all_layers(layer)


def all_layers_by_name(model: keras.Layer) -> Iterator[tuple[str, keras.Layer]]:
    """Yields the layers of `all_layers` with their names, and those that they are made of.

    These are the convolutions of a `TemporalConvolution`, which bear its name and their number.

    Example:
        >>> tcl = TemporalConvolution(2, kernel_sizes=(3, 5), name="tcl")
        >>> [name for name, layer in all_layers_by_name(tcl)]
        ['tcl', 'tcl/0', 'tcl/1']
    """
    for layer in all_layers(model):
        yield layer.name, layer
        if isinstance(layer, TemporalConvolution):
            for number, convolution in enumerate(layer.convolutions):
                yield f"{layer.name}/{number}", convolution


def _encoder(chain: list[keras.Layer], name: str) -> keras.Sequential:
    pixels = keras.Input((None, None, 3), dtype="uint8", name="pixels")
    return keras.Sequential([pixels, *chain], name=name)


def _map_input(shape: tuple[int, ...], name: str) -> Tensor:
    return keras.Input(shape, dtype=keras.config.dtype_policy().compute_dtype, name=name)


def _decay(config: FSTCNConfig) -> keras.regularizers.L2 | None:
    """Returns the weight decay: the gradient of `wd / 2 * w^2` is `wd * w`; Keras has no 1/2."""
    return keras.regularizers.L2(config.weight_decay / 2) if config.weight_decay else None


def _spatial_path(x: Tensor, config: FSTCNConfig) -> tuple[Tensor, Tensor]:
    """Adds pooling and two FCs: (batch, h, w, f) -> features, and what goes on, (batch, units)."""
    x = CeilMaxPooling2D(3, 2, name=_POOLS["frame"])(x)
    positions = x.shape[1] * x.shape[2]
    x = layers.Flatten(name="spatial_flatten")(x)  # (batch, h*w*f)
    _, x = _fully_connected(x, config.path_units[0], "spatial_fc", config, blocks=positions)
    return _fully_connected(x, config.path_units[1], "spatial_features", config)


def _temporal_path(x: Tensor, config: FSTCNConfig) -> tuple[Tensor, Tensor]:
    """Adds pooling, T-P operator, TCL and two FCs: (batch, l_t, h, w, f) -> as `_spatial_path`."""
    pool = CeilMaxPooling2D(3, 3, name="temporal_pool")
    x = layers.TimeDistributed(pool, name=_POOLS["differences"])(x)
    x = TPOperator(
        round(config.tp_filters * config.width),
        kernel_initializer=None if config.initialization == "he" else NearIdentity(),
        kernel_regularizer=_decay(config),
        name="tp_operator",
    )(x)  # (batch, l_t, f', h*w)
    x = TemporalConvolution(
        round(config.tcl_filters * config.width),
        kernel_sizes=config.temporal_kernels,
        dropout=config.dropout,
        kernel_initializer=_over_blocks(x.shape[-1], config),
        kernel_regularizer=_decay(config),
        name="tcl",
    )(x)  # (batch, l_t, f', maps)
    num_frames = x.shape[1]
    x = layers.Flatten(name="temporal_flatten")(x)
    _, x = _fully_connected(x, config.path_units[0], "temporal_fc", config, blocks=num_frames)
    return _fully_connected(x, config.path_units[1], "temporal_features", config)


def _path_scl(filters: int, name: str, config: FSTCNConfig) -> layers.Conv2D:
    """Builds Conv(filters, 3, 1) with a ReLU, a path's own."""
    initializer = "he_normal" if config.initialization == "he" else NearIdentity()
    return convolution_relu(filters, 3, name, regularizer=_decay(config), initializer=initializer)


def _over_blocks(blocks: int, config: FSTCNConfig) -> str | keras.Initializer:
    """Returns how a layer over the features of so many positions or frames starts."""
    return "he_normal" if config.initialization == "he" else MeanOverBlocks(blocks)


def _fully_connected(
    x: Tensor, units: int, name: str, config: FSTCNConfig, *, blocks: int = 1
) -> tuple[Tensor, Tensor]:
    """Adds Dense with ReLU, and dropout; the inputs are the features of so many blocks."""
    features = layers.Dense(
        units,
        activation="relu",
        kernel_initializer=_over_blocks(blocks, config),
        kernel_regularizer=_decay(config),
        name=name,
    )(x)
    return features, layers.Dropout(config.dropout, name=f"{name}_dropout")(features)

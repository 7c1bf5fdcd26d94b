"""Builds FSTCN and its auxiliary classifier as Keras models of named parts."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import layers, ops

from fstcn_keras import parts
from fstcn_keras.config import PATHS, FSTCNConfig, preset_config
from fstcn_keras.layers import FeatureScale, FrameChoice
from fstcn_keras.tensors import Tensor


class _ImageNetwork(keras.Model):
    """Joins parts to a functional model of uint8 images, configured by an `FSTCNConfig`."""

    config: FSTCNConfig
    num_classes: int
    classifier_activation: str | None

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Tensor:
        """Returns the class scores of a batch.

        Raises:
            ValueError: if the images are not uint8.
        """
        return super().call(images_by_name(self, inputs), training=training, mask=mask)

    def encoder_images(self, samples: Mapping[str, Any]) -> list[tuple[keras.Sequential, Any]]:
        """Returns each encoder with the images `(images, h, w, 3)` it sees of the samples."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, and which layers are not trained."""
        frozen = {
            name: None
            for name, layer in parts.all_layers_by_name(self)
            if layer.weights and not layer.trainable
        }
        return {
            "frozen": list(frozen),
            "name": self.name,
            "dtype": self.dtype_policy.name,
            "num_classes": self.num_classes,
            "classifier_activation": self.classifier_activation,
            **dataclasses.asdict(self.config),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Builds the network of a configuration, with new weights."""
        config = dict(config)
        frozen = config.pop("frozen", ())
        model = cls(**config)
        for name, layer in parts.all_layers_by_name(model):
            if name in frozen:
                layer.trainable = False
        return model


@keras.saving.register_keras_serializable(package="fstcn_keras")
class FSTCN(_ImageNetwork):
    """Classifies clips by the factorised spatio-temporal convolutional network.

    One frame of the clip and all frames of the difference go through the same backbone, the paper's
    lower SCLs. The frame's features feed the parallel SCL (spatial path), the differences' features
    the T-P operator and the TCL (temporal path); a fully-connected layer joins both.

    A copy with new weights is `FSTCN.from_config(model.get_config())`; that of
    `keras.models.clone_model` would have a backbone for each path.

    ```
    head({"frame": frame_encoder(FrameChoice(clip)),
          "differences": TimeDistributed(difference_encoder)(clip_diff)})["logits"]
    ```

    Example:
        >>> model = FSTCN(num_classes=5, preset="small", paths=["temporal"])
        >>> model.output.shape, model.config.crop_size, sorted(model.head.output)
        ((None, 5), 108, ['logits', 'spatio_temporal_features', 'temporal_features'])

    Args:
        num_classes: number of actions, `N`.
        preset: a key of `fstcn_keras.PRESETS`.
        paths: `"spatial"`, `"temporal"` or both: the rows of Table 2.
        temporal_kernels: kernel sizes of the parallel TCL convolutions: the rows of Table 1.
        classifier_activation: `"softmax"`, or `None` for logits.
        name: of the model.
        dtype: policy of all layers, such as `"mixed_bfloat16"`; Keras' global one by default.
        **overrides: fields of `FSTCNConfig`.

    Input shape:
        `{"clip": (batch, l_t, h, w, 3), "clip_diff": the same}` uint8 RGB; `clip_diff` holds
        `|V(t) - V(t + d_t)|`.

    Output shape:
        `(batch, N)`, float32.

    Attributes:
        config: the `FSTCNConfig`.
        num_classes: `N`.
        classifier_activation: as given.
        backbone: the layers that both encoders share.
        frame_choice: picks the frame that the spatial path sees; `None` without that path.
        frame_encoder: see `parts.frame_encoder`; `None` without the spatial path.
        difference_encoder: see `parts.difference_encoder`; `None` without the temporal path.
        head: see `parts.head`.
        classifier: the head's last layer.
        features: outputs of the head by name, for models such as
            `keras.Model(model.input, model.features)`. Keras cannot save those: save this one,
            and make them of the loaded one.

    Raises:
        ValueError: if an argument is unknown or out of range, or images are not uint8.

    Reference:
        Sun et al. 2015, sections 2.1, 2.2 and 2.5.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        preset: str = "paper",
        paths: Sequence[str] = PATHS,
        temporal_kernels: Sequence[int] = (3, 5),
        classifier_activation: str | None = "softmax",
        name: str | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        **overrides: Any,
    ) -> None:
        _check_outputs(num_classes, classifier_activation)
        config = preset_config(preset, paths=paths, temporal_kernels=temporal_kernels, **overrides)
        shape = (config.clip_length, config.crop_size, config.crop_size, 3)
        with _dtype_policy(dtype) as policy:
            inputs = {
                name: keras.Input(shape, dtype="uint8", name=name) for name in ("clip", "clip_diff")
            }
            backbone = parts.backbone(config)
            frame_choice = frame_encoder = difference_encoder = None
            maps, shapes = {}, {}
            if "spatial" in config.paths:
                frame_encoder = parts.frame_encoder(config, backbone)
                frame_choice = FrameChoice(name="frame_choice")
                maps["frame"] = frame_encoder(frame_choice(inputs["clip"]))  # (batch, h, w, f)
                shapes["frame"] = maps["frame"].shape[1:]
            if "temporal" in config.paths:
                difference_encoder = parts.difference_encoder(config, backbone)
                each = layers.TimeDistributed(difference_encoder, name="time_distributed_encoder")
                maps["differences"] = each(inputs["clip_diff"])  # (batch, l_t, h, w, f')
                shapes["difference"] = maps["differences"].shape[2:]
            classifier = parts.classifier(config, num_classes)
            head = parts.head(config, classifier=classifier, **shapes)
            features = head(maps)
            outputs = _activated(features[parts.LOGITS], classifier_activation)
        super().__init__(inputs=inputs, outputs=outputs, name=name or "fstcn")
        self.dtype_policy = policy
        self.config = config
        self.num_classes = num_classes
        self.classifier_activation = classifier_activation
        self.backbone = backbone
        self.frame_choice = frame_choice
        self.frame_encoder = frame_encoder
        self.difference_encoder = difference_encoder
        self.head = head
        self.classifier = classifier
        self.features = features

    def encoder_images(self, samples: Mapping[str, Any]) -> list[tuple[keras.Sequential, Any]]:
        """Returns each encoder with the images `(images, h, w, 3)` it sees of the samples."""
        found = []
        if self.frame_encoder is not None:
            found.append((self.frame_encoder, samples["clip"][:, self.config.clip_length // 2]))
        if self.difference_encoder is not None:
            differences = samples["clip_diff"]
            images = ops.reshape(differences, (-1, *differences.shape[2:]))
            found.append((self.difference_encoder, images))
        return found

    def after_pooling(self) -> keras.Model:
        """Returns what follows the encoders and their pooling, by the same layers.

        Example:
            >>> rest = FSTCN(num_classes=5, preset="small", paths=["spatial"]).after_pooling()
            >>> rest.input["frame"].shape, rest.output.shape
            ((None, 3, 3, 256), (None, 5))

        Returns:
            A model from the outputs of `parts.pooling(head)` to those of this network.
        """
        rest = parts.after_pooling(self.head)
        outputs = _activated(rest.output[parts.LOGITS], self.classifier_activation)
        return keras.Model(rest.input, outputs, name="after_pooling")


@keras.saving.register_keras_serializable(package="fstcn_keras")
class AuxiliaryClassifier(_ImageNetwork):
    """Classifies images, which pre-trains the backbone and the parallel SCL.

    It is the spatial path of `FSTCN` with a classifier of its own; layers bear the names that they
    have there.

    Example:
        >>> AuxiliaryClassifier(num_classes=5, preset="small").input["frame"].shape
        (None, 108, 108, 3)

    Args:
        num_classes: number of classes of images, `N`.
        preset: a key of `fstcn_keras.PRESETS`.
        classifier_activation: `"softmax"`, or `None` for logits.
        name: of the model.
        dtype: policy of all layers; Keras' global one by default.
        **overrides: fields of `FSTCNConfig`.

    Input shape:
        `{"frame": (batch, h, w, 3)}` uint8 RGB.

    Output shape:
        `(batch, N)`, float32.

    Attributes:
        config: the `FSTCNConfig`.
        num_classes: `N`.
        classifier_activation: as given.
        backbone: as in `FSTCN`.
        frame_encoder: as in `FSTCN`.
        head: see `parts.auxiliary_head`.
        classifier: the head's last layer.
        features: outputs of the head by name, for models such as
            `keras.Model(model.input, model.features)`.

    Raises:
        ValueError: if an argument is unknown or out of range, or images are not uint8.

    Reference:
        Sun et al. 2015, section 2.3 and the dashed red box of Figure 1.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        preset: str = "paper",
        classifier_activation: str | None = "softmax",
        name: str | None = None,
        dtype: str | keras.DTypePolicy | None = None,
        **overrides: Any,
    ) -> None:
        _check_outputs(num_classes, classifier_activation)
        config = preset_config(preset, **overrides)
        with _dtype_policy(dtype) as policy:
            shape = (config.crop_size, config.crop_size, 3)
            frame = keras.Input(shape, dtype="uint8", name="frame")
            backbone = parts.backbone(config)
            frame_encoder = parts.frame_encoder(config, backbone)
            maps = frame_encoder(frame)
            classifier = parts.classifier(config, num_classes)
            head = parts.auxiliary_head(config, classifier=classifier, frame=maps.shape[1:])
            features = head({"frame": maps})
            outputs = _activated(features[parts.LOGITS], classifier_activation)
        super().__init__(
            inputs={"frame": frame}, outputs=outputs, name=name or "auxiliary_classifier"
        )
        self.dtype_policy = policy
        self.config = config
        self.num_classes = num_classes
        self.classifier_activation = classifier_activation
        self.backbone = backbone
        self.frame_encoder = frame_encoder
        self.head = head
        self.classifier = classifier
        self.features = features

    def encoder_images(self, samples: Mapping[str, Any]) -> list[tuple[keras.Sequential, Any]]:
        """Returns the encoder with the images `(images, h, w, 3)` it sees of the samples."""
        return [(self.frame_encoder, samples["frame"])]


def fstcn(**arguments: Any) -> FSTCN:
    """Builds `FSTCN(**arguments)`.

    Example:
        >>> fstcn(num_classes=5, preset="small").num_classes
        5
    """
    return FSTCN(**arguments)


def auxiliary_classifier(**arguments: Any) -> AuxiliaryClassifier:
    """Builds `AuxiliaryClassifier(**arguments)`.

    Example:
        >>> auxiliary_classifier(num_classes=7, preset="small").output.shape
        (None, 7)
    """
    return AuxiliaryClassifier(**arguments)


def images_by_name(model: keras.Model, inputs: Any) -> Mapping[str, Any]:
    """Returns the inputs of a network by name, and makes sure that they are uint8 images.

    Example:
        >>> model = AuxiliaryClassifier(num_classes=5, preset="small")
        >>> list(images_by_name(model, [np.zeros((1, 108, 108, 3), "uint8")]))
        ['frame']

    Args:
        model: the network.
        inputs: by name; or in the order of `model.inputs`, one alone also without a list.

    Raises:
        ValueError: if they are of another type.
    """
    if not isinstance(inputs, Mapping):
        listed = inputs if isinstance(inputs, list | tuple) else [inputs]
        names = [image.name for image in model.inputs]
        inputs = dict(zip(names, listed, strict=True))
    for name, images in inputs.items():
        dtype = keras.backend.standardize_dtype(images.dtype)
        if dtype != "uint8":
            raise ValueError(
                f"`{name}` must hold uint8 pixels, 0 to 255: the network normalises them. "
                f"Received: {dtype} {tuple(images.shape)}; convert it by .astype('uint8')"
            )
    return inputs


def scale_features(model: FSTCN | AuxiliaryClassifier, samples: Mapping[str, np.ndarray]) -> None:
    """Gives the features of the backbone a root mean square of 1 over some samples.

    What follows is initialised for that; features of ImageNet networks are of any size. Does
    nothing to a backbone without a `FeatureScale`.

    Example:
        >>> model = AuxiliaryClassifier(
        ...     num_classes=2, preset="small", backbone="mobilenetv3small", crop_size=64
        ... )
        >>> images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), "uint8")
        >>> scale_features(model, {"frame": images})
        >>> float(model.backbone.get_layer("feature_scale").scale) == 1
        False

    Args:
        model: the network.
        samples: its inputs by name, uint8 `(batch, ...)`.
    """
    for scale in model.backbone.layers:
        if isinstance(scale, FeatureScale):
            maps = []
            for encoder, x in model.encoder_images(samples):
                for layer in encoder.layers[:-1]:  # up to the backbone
                    x = layer(x)
                maps.append(ops.cast(x, "float32"))
            size = ops.sqrt(ops.mean(ops.square(ops.concatenate(maps))))
            scale.scale.assign(scale.scale / ops.maximum(size, 1e-12))


def _check_outputs(num_classes: int, classifier_activation: str | None) -> None:
    if num_classes < 1:
        raise ValueError(f"`num_classes` must be positive. Received: num_classes={num_classes}")
    if classifier_activation not in ("softmax", None):
        raise ValueError(
            "`classifier_activation` must be 'softmax', or None for logits. "
            f"Received: {classifier_activation!r}"
        )


def _activated(logits: Tensor, activation: str | None) -> Tensor:
    if activation is None:
        return logits
    return layers.Activation(activation, dtype="float32", name="probabilities")(logits)


@contextlib.contextmanager
def _dtype_policy(dtype: str | keras.DTypePolicy | None) -> Iterator[keras.DTypePolicy]:
    """Has the layers made within compute by this policy, Keras' global one if it is `None`."""
    before = keras.config.dtype_policy()
    policy = keras.dtype_policies.get(dtype) if dtype is not None else before
    keras.config.set_dtype_policy(policy)
    try:
        yield policy
    finally:
        keras.config.set_dtype_policy(before)

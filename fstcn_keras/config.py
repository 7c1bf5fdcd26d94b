"""Configures the network, by named presets and single fields."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fstcn_keras.backbones import BACKBONE_NAMES
from fstcn_keras.clips import SAMPLINGS

PATHS = ("spatial", "temporal")
INITIALIZATIONS = ("he", "mean")
TIMING = ("clip_length", "stride", "distance", "sampling")


@dataclass(frozen=True, kw_only=True)
class FSTCNConfig:
    """Holds every size of FSTCN; the defaults are the paper's (section 2.5 and the design table).

    Example:
        >>> FSTCNConfig(crop_size=108, short_side=120).timing()
        {'clip_length': 5, 'stride': 5, 'distance': 9, 'sampling': 'dense'}

    Attributes:
        paths: `"spatial"`, `"temporal"` or both: the rows of Table 2.
        temporal_kernels: kernel sizes of the parallel TCL convolutions: the rows of Table 1.
        crop_size: side of the square crop the network sees, pixels.
        short_side: short side to which videos are resized before cropping, pixels.
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of a clip, `s_t`; of sparse sampling the least.
        distance: frames between the two members of a difference, `d_t`.
        sampling: `"dense"`, the paper's, or `"sparse"`: clips spread over the whole video, see
            `clips.clip_stride`.
        backbone: name of what maps a frame to a feature map, one of `BACKBONE_NAMES`; the paper's
            lower SCLs are `"vgg_m"`.
        width: factor on every number of feature maps but those of a pre-trained backbone.
        scl_filters: feature maps of the parallel SCL, and of the temporal path's own SCL.
        tp_filters: feature maps after the T-P operator, `f'`.
        tcl_filters: maps of each branch of the TCL.
        path_units: nodes of the two fully-connected layers of each path.
        joint_units: nodes of the fully-connected layer over both paths.
        dropout: dropout probability after each fully-connected layer and TCL branch.
        weight_decay: `wd` in the gradient term `wd * w` of every kernel.
        initialization: how what follows the backbone starts: `"he"`, at random; `"mean"`, so
            that SCLs and the T-P operator pass on features, and the TCL and the first FC of
            each path are over their mean over positions, or frames (`fstcn_keras.initializers`).

    Raises:
        ValueError: if a value is out of range; the message says which and what was received.
    """

    paths: tuple[str, ...] = PATHS
    temporal_kernels: tuple[int, ...] = (3, 5)
    crop_size: int = 204
    short_side: int = 240
    clip_length: int = 5
    stride: int = 5
    distance: int = 9
    sampling: str = "dense"
    backbone: str = "vgg_m"
    width: float = 1.0
    scl_filters: tuple[int, int] = (512, 128)
    tp_filters: int = 128
    tcl_filters: int = 32
    path_units: tuple[int, int] = (4096, 2048)
    joint_units: int = 2048
    dropout: float = 0.5
    weight_decay: float = 5e-4
    initialization: str = "he"

    def timing(self) -> dict[str, Any]:
        """Returns the arguments of the functions of `clips`."""
        return {name: getattr(self, name) for name in TIMING}

    def __post_init__(self) -> None:
        paths, kernels = self.paths, self.temporal_kernels
        choices = ["spatial"], ["temporal"], sorted(PATHS)
        if isinstance(paths, str) or sorted(paths) not in choices:
            raise ValueError(f"`paths` must name one or both of {PATHS}. Received: paths={paths!r}")
        if isinstance(kernels, int) or not kernels or min(kernels) < 1:
            raise ValueError(
                "`temporal_kernels` must hold positive kernel sizes. "
                f"Received: temporal_kernels={kernels}"
            )
        for name in ("crop_size", "clip_length", "stride", "distance", "width"):
            _check_positive(name, getattr(self, name))
        for name in ("tp_filters", "tcl_filters", "joint_units"):
            _check_positive(name, getattr(self, name))
        for name in ("scl_filters", "path_units"):
            pair = getattr(self, name)
            if len(pair) != 2 or min(pair) <= 0:
                raise ValueError(f"`{name}` must hold two positive numbers. Received: {pair}")
        _check_choice("backbone", self.backbone, BACKBONE_NAMES)
        if self.short_side < self.crop_size:
            raise ValueError(
                "`short_side` must be at least `crop_size`. "
                f"Received: short_side={self.short_side}, crop_size={self.crop_size}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must lie in [0, 1). Received: {self.dropout}")
        _check_choice("sampling", self.sampling, SAMPLINGS)
        _check_choice("initialization", self.initialization, INITIALIZATIONS)
        if self.weight_decay < 0:
            raise ValueError(f"`weight_decay` must not be negative. Received: {self.weight_decay}")


def _check_positive(name: str, value: float) -> None:
    if value <= 0:
        raise ValueError(f"`{name}` must be positive. Received: {value}")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {tuple(choices)}. Received: {value!r}")


# The small networks are trained for thousands of steps, not hundreds of thousands: with the
# paper's dropout of 0.5 in four layers one after another they do not leave chance by then. The
# crops of the last two see nearly whole frames, and those of `lite` their whole height; the corners
# of larger ones miss the action, and so does a second of a video that lasts longer.
# The SCLs of `lite` are as wide as the convolution of EfficientNet-Lite that they start as; its T-P
# operator starts by taking every second feature: of every tenth, as of the paper's 128, a linear
# classifier of differences makes much less.
PRESETS = {
    "paper": FSTCNConfig(),
    "small": FSTCNConfig(
        crop_size=108,
        short_side=120,
        width=0.5,
        path_units=(512, 256),
        joint_units=256,
        dropout=0.2,
    ),
    "squeeze": FSTCNConfig(
        short_side=216,
        backbone="squeezenet",
        path_units=(512, 256),
        joint_units=256,
        dropout=0.2,
        initialization="mean",
    ),
    "lite": FSTCNConfig(
        crop_size=192,
        short_side=192,
        distance=4,
        sampling="sparse",
        backbone="efficientnet_lite0",
        scl_filters=(1280, 1280),
        tp_filters=640,
        tcl_filters=4,
        path_units=(512, 256),
        joint_units=256,
        dropout=0.2,
        initialization="mean",
    ),
}


def preset_config(preset: str, **overrides: Any) -> FSTCNConfig:
    """Returns the named configuration with some fields replaced.

    Example:
        >>> preset_config("small", dropout=0.5).crop_size
        108

    Args:
        preset: a key of `PRESETS`.
        **overrides: fields of `FSTCNConfig`; lists become tuples.

    Raises:
        ValueError: if the preset or a field is unknown, or a value is out of range.
    """
    _check_choice("preset", preset, sorted(PRESETS))
    fields = [field.name for field in dataclasses.fields(FSTCNConfig)]
    unknown = sorted(set(overrides) - set(fields))
    if unknown:
        raise ValueError(f"Overrides must be among {fields}. Received: {unknown}")
    hashable: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in overrides.items()
    }
    return dataclasses.replace(PRESETS[preset], **hashable)

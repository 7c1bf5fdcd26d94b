"""The configuration of the network and its named presets."""

import dataclasses
from dataclasses import dataclass

PATHS = ("spatial", "temporal")
INITIALIZATIONS = ("he", "mean")
SCL_NAMES = (
    "vgg_m",
    "squeezenet",
    "resnet50v2",
    "mobilenetv3small",
    "mobilenetv3large",
    "efficientnetv2b0",
    "vgg16",
    "densenet121",
)


@dataclass(frozen=True, kw_only=True)
class FSTCNConfig:
    """Every size of FSTCN; the defaults are the paper's (section 2.5 and the design table).

    Attributes:
        crop_size: side of the square crop the network sees, pixels.
        short_side: short side to which videos are resized before cropping, pixels.
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of a clip, `s_t`.
        distance: frames between the two members of a difference, `d_t`.
        scl: name of the lower spatial convolutional layers, one of `SCL_NAMES`.
        width: factor on every number of feature maps but those of a pre-trained `scl`.
        path_units: nodes of the two fully-connected layers of each path.
        joint_units: nodes of the fully-connected layer over both paths.
        dropout: dropout probability after each fully-connected layer and TCL branch.
        weight_decay: `wd` in the gradient term `wd * w` of every kernel.
        initialization: how what follows the lower SCLs starts: `"he"`, at random; `"mean"`, so
            that SCLs and the T-P operator pass on features, and the TCL and the first FC of
            each path are over their mean in all places, or moments (`fstcn_keras.initializers`).
    """

    crop_size: int = 204
    short_side: int = 240
    clip_length: int = 5
    stride: int = 5
    distance: int = 9
    scl: str = "vgg_m"
    width: float = 1.0
    path_units: tuple[int, int] = (4096, 2048)
    joint_units: int = 2048
    dropout: float = 0.5
    weight_decay: float = 5e-4
    initialization: str = "he"

    def timing(self) -> dict[str, int]:
        """What the functions of `clips` take."""
        return {name: getattr(self, name) for name in ("clip_length", "stride", "distance")}

    def __post_init__(self):
        for name in ("crop_size", "clip_length", "stride", "distance", "width", "joint_units"):
            if getattr(self, name) <= 0:
                raise ValueError(f"`{name}` must be positive. Received: {getattr(self, name)}")
        if len(self.path_units) != 2 or min(self.path_units) <= 0:
            raise ValueError(
                f"`path_units` must hold two positive numbers. Received: {self.path_units}"
            )
        if self.scl not in SCL_NAMES:
            raise ValueError(f"`scl` must be one of {SCL_NAMES}. Received: {self.scl!r}")
        if self.short_side < self.crop_size:
            raise ValueError(
                "`short_side` must be at least `crop_size`. "
                f"Received: short_side={self.short_side}, crop_size={self.crop_size}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` must lie in [0, 1). Received: {self.dropout}")
        if self.initialization not in INITIALIZATIONS:
            raise ValueError(
                f"`initialization` must be one of {INITIALIZATIONS}. "
                f"Received: {self.initialization!r}"
            )
        if self.weight_decay < 0:
            raise ValueError(f"`weight_decay` must not be negative. Received: {self.weight_decay}")


# The two small networks are trained for thousands of steps, not hundreds of thousands: with the
# paper's dropout of 0.5 in four layers one after another they do not leave chance by then. The
# crops of `squeeze` see nearly whole frames; in the corners of larger ones the action is missing.
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
        scl="squeezenet",
        path_units=(512, 256),
        joint_units=256,
        dropout=0.2,
        initialization="mean",
    ),
}


def preset_config(preset: str, **overrides) -> FSTCNConfig:
    """The named configuration with some fields replaced.

    Args:
        preset: a key of `PRESETS`.
        **overrides: fields of `FSTCNConfig`.

    Raises:
        ValueError: if the preset or a field is unknown, or a value is out of range.
    """
    if preset not in PRESETS:
        raise ValueError(f"`preset` must be one of {sorted(PRESETS)}. Received: {preset!r}")
    fields = [field.name for field in dataclasses.fields(FSTCNConfig)]
    unknown = sorted(set(overrides) - set(fields))
    if unknown:
        raise ValueError(f"Overrides must be among {fields}. Received: {unknown}")
    return dataclasses.replace(PRESETS[preset], **overrides)

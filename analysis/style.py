"""How things are called and drawn: features, colours and markers."""

from collections.abc import Sequence

from training.figures import PALETTE

FEATURES = {
    "spatial_features": "spatial (second FC of the SCL path)",
    "temporal_features": "temporal (second FC of the TCL path)",
    "spatio_temporal_features": "spatio-temporal (joint FC)",
}
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*", "<", "p", ">", "h", "d")


def class_styles(classes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each class; the pairs are all different up to 104 classes."""
    return {
        name: (PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)])
        for number, name in enumerate(classes)
    }

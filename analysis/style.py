"""How things are called and drawn: methods of fusion, colours and markers for all eyes."""

from collections.abc import Sequence

FUSIONS = {"sci": "SCI fusion", "average": "averaging", "single": "one clip, centre crop"}
PALETTE = (  # Okabe and Ito 2008, the yellow darkened for white ground
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#9A8F00",
)
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*", "<", "p", ">", "h", "d")


def class_styles(classes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each class; the pairs are all different up to 104 classes."""
    return {
        name: (PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)])
        for number, name in enumerate(classes)
    }

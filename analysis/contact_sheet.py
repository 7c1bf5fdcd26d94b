"""Frames of videos in a grid, each with a few lines of text."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from training.figures import add_caption

COLUMNS = 5


@dataclass(frozen=True)
class Entry:
    """One picture of a contact sheet.

    Attributes:
        frame: uint8 `(height, width, 3)`.
        title: line above it.
        note: line below it.
    """

    frame: np.ndarray
    title: str
    note: str


def draw_contact_sheet(entries: Sequence[Entry], caption: str) -> Figure:
    """The entries row by row, at least one."""
    rows = -(-len(entries) // COLUMNS)
    figure = Figure(figsize=(2.5 * COLUMNS, 2.5 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, entry in zip(grid, entries, strict=False):
        axes.imshow(entry.frame)
        axes.set_title(_wrapped(entry.title, 34), fontsize=8)
        axes.text(
            0.5,
            -0.03,
            _wrapped(entry.note, 38),
            fontsize=6.5,
            ha="center",
            va="top",
            transform=axes.transAxes,
        )
    add_caption(figure, caption)
    return figure


def _wrapped(text: str, width: int) -> str:
    printable = text.encode("utf-8", "replace").decode()  # file names need not be
    return "\n".join(textwrap.wrap(printable, width)[:3])

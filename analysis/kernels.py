"""What the first layers have learned: python -m analysis.kernels [RUN]

Draws the filters of the first convolution, the permutation P of the T-P operator beside its
change since initialisation, or since the run that training started from, and the kernels of the
TCL. Writes filters.png, permutation.png, tcl_3x3.png, tcl_5x5.png and kernels.json into
RUN/figures.
"""

import json
import re
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.runs import FigureOptions, figures_folder, network_text, read_options
from fstcn_keras.backbones import get_backbone
from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder, chosen_run
from training import cli
from training.errors import UserError
from training.figures import add_caption, save_figure
from training.networks import load_classifier, weights_sha256
from training.options import FitOptions

if TYPE_CHECKING:
    from fstcn_keras.model import FSTCN


def main(options: FigureOptions):
    """Draws the kernels of a run's network."""
    run = RunFolder(chosen_run(options.run))
    fit_options = read_options(run)
    classifier = load_classifier(run)
    model = classifier.model
    caption = f"{fit_options.collection.dataset} {fit_options.part}; {network_text(fit_options)}"
    folder = figures_folder(run, options.out)
    filters = first_filters(model)
    save_figure(draw_filters(filters, caption), folder / "filters.png")
    for old in folder.iterdir():  # of another network, which may have other kernels
        if re.fullmatch(r"permutation\.png|tcl_\d+x\d+\.png", old.name):
            old.unlink()
    found = {
        "caption": caption,
        "weights_sha256": weights_sha256(classifier),
        "first_filters": list(filters.shape),
    }
    print(f"{caption}\n  first convolution: {len(filters)} filters")
    if "temporal" in fit_options.network.paths:
        for kernel in temporal_kernels(model):
            save_figure(draw_tcl(kernel, caption), folder / f"tcl_{_size(kernel)}.png")
        learned = permutation(model)
        try:
            initial = initial_permutation(fit_options, num_classes=model.output_shape[-1])
        except UserError as error:
            print(f"  P is not drawn: {error}")
        else:
            found["P"] = {"shape": list(learned.shape), **change(learned, initial)}
            save_figure(draw_permutation(learned, initial, caption), folder / "permutation.png")
            print(f"  P: {change_text(found['P'])}")
    else:
        print("  no P and no TCL: the run has no temporal path")
    atomic_write_text(folder / "kernels.json", json.dumps(found, indent=1))
    print(f"results in {folder}: kernels.json and the figures")


def first_filters(model: "FSTCN") -> np.ndarray:
    """Returns the first convolution over pixels, float32 `(filters, height, width, RGB)`."""
    kernels = (getattr(layer, "kernel", None) for layer in model.backbone.layers)
    first = next(kernel for kernel in kernels if kernel is not None)
    filters = np.moveaxis(first.numpy(), -1, 0)
    is_bgr = get_backbone(model.config.backbone).channel_order == "bgr"
    return filters[..., ::-1] if is_bgr else filters


def permutation(model: "FSTCN") -> np.ndarray:
    """Returns P of the network's T-P operator, float32 `(f, f')`."""
    return _only_layer(model, "TPOperator").P.numpy()


def temporal_kernels(model: "FSTCN") -> list[np.ndarray]:
    """Returns the kernel of each branch of the network's TCL, float32 `(k, k, inputs, filters)`."""
    branches = _only_layer(model, "TemporalConvolution").convolutions
    return [branch.kernel.numpy() for branch in branches]


def _only_layer(model: "FSTCN", kind: str):
    """Returns the layer of a class of `fstcn_keras.layers` of which the network has one."""
    from fstcn_keras import layers, parts  # imports Keras

    (found,) = (one for one in parts.all_layers(model) if isinstance(one, getattr(layers, kind)))
    return found


def initial_permutation(options: FitOptions, *, num_classes: int) -> np.ndarray:
    """Returns P as the run's training began, float32 `(f, f')`.

    It is made anew from the run's seed, or is that of the run that it was started from.

    Raises:
        UserError: if that run is gone.
    """
    from fstcn_keras.weights import copy_weights  # imports Keras
    from training.stages import initial_network  # imports TensorFlow

    model, source = initial_network(options, num_classes=num_classes), options.network.start_from
    if source is not None:
        try:
            copy_weights(load_classifier(RunFolder(source)).model, model)
        except UserError as error:
            raise UserError(
                f"the run was started from {source}, whose P cannot be read ({error}): it must be "
                "there to tell how far P has moved since"
            ) from error
    return permutation(model)


def change(learned: np.ndarray, initial: np.ndarray) -> dict[str, float]:
    """How far a matrix has moved: `||P - P0|| / ||P0||` (Frobenius), and the cosine of both."""
    sizes = np.linalg.norm(learned), np.linalg.norm(initial)
    return {
        "distance": float(np.linalg.norm(learned - initial) / sizes[1]),
        "cosine": float(np.sum(learned * initial) / (sizes[0] * sizes[1])),
    }


def change_text(moved: dict[str, float]) -> str:
    """The two measures of `change` in words."""
    return (
        f"distance from the initial matrix {moved['distance']:.3f} of its norm, "
        f"cosine {moved['cosine']:.3f}"
    )


def draw_filters(filters: np.ndarray, caption: str) -> Figure:
    """The filters in colour, grey for 0, the same scale for all."""
    columns = round(np.sqrt(2 * len(filters)))
    tiles = tiled(filters / (2 * np.abs(filters).max()) + 0.5, columns, fill=1.0)
    figure = Figure(figsize=(8, 8 * tiles.shape[0] / tiles.shape[1] + 0.9), layout="constrained")
    axes = figure.subplots()
    axes.imshow(tiles, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(f"{len(filters)} filters of the first convolution", fontsize=10)
    add_caption(figure, f"{caption}. RGB; grey is 0, black and white are the largest weights.")
    return figure


def draw_permutation(learned: np.ndarray, initial: np.ndarray, caption: str) -> Figure:
    """P and its change, in one scale of colours."""
    figure = Figure(figsize=(9.5, 5.2), layout="constrained")
    pair = figure.subplots(1, 2, sharey=True)
    scale = max(np.abs(learned).max(), np.abs(learned - initial).max())
    for axes, values, title in zip(
        pair, (learned, learned - initial), ("P", "P - initial P"), strict=True
    ):
        image = _signed_image(axes, values, scale)
        axes.set_title(title)
        axes.set_xlabel("feature channel after the permutation")
    pair[0].set_ylabel("feature channel before")
    figure.colorbar(image, ax=pair, label="weight", shrink=0.8)
    add_caption(figure, f"{caption}. P: {change_text(change(learned, initial))}.")
    return figure


def draw_tcl(kernel: np.ndarray, caption: str) -> Figure:
    """The kernels of one branch, `(k, k, positions, maps)`: positions down, maps across."""
    size, _, positions, maps = kernel.shape
    squares = kernel.transpose(2, 3, 0, 1).reshape(-1, size, size, 1)  # (positions * maps, k, k, 1)
    tiles = tiled(squares, maps, fill=np.nan)[..., 0]
    figure = Figure(figsize=(9, 9 * tiles.shape[0] / tiles.shape[1] + 1.6), layout="constrained")
    axes = figure.subplots()
    image = _signed_image(axes, tiles, np.abs(kernel).max())
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{maps} maps; within a kernel: feature channel")
    axes.set_ylabel(f"{positions} positions; within: time")
    figure.colorbar(
        image, location="top", label=f"weight of the {_size(kernel)} kernels", aspect=60
    )
    add_caption(figure, caption)
    return figure


def tiled(images: np.ndarray, columns: int, *, fill: float) -> np.ndarray:
    """Images `(n, h, w, channels)` row by row in one, with a pixel of `fill` between them."""
    n, h, w, channels = images.shape
    rows = -(-n // columns)
    padded = np.full((rows * columns, h + 1, w + 1, channels), fill, images.dtype)
    padded[:n, :h, :w] = images
    grid = padded.reshape(rows, columns, h + 1, w + 1, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * (h + 1), columns * (w + 1), channels)[:-1, :-1]


def _signed_image(axes: Axes, values: np.ndarray, scale: float):
    return axes.imshow(
        values, cmap="RdBu_r", vmin=-scale, vmax=scale, interpolation="nearest", aspect="equal"
    )


def _size(kernel: np.ndarray) -> str:
    return f"{kernel.shape[0]}x{kernel.shape[1]}"


if __name__ == "__main__":
    cli.run(main, FigureOptions)

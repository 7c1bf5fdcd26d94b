"""Figure 4 of the paper: python -m analysis.tsne [RUN] [--classes smile,laugh,...]

t-SNE maps of the features of the network's two paths and of both together, with numbers that the
maps cannot flatter. Writes tsne.png, tsne.svg, tsne.json and tsne.html, where a point shows its
video, into RUN/figures. The features are kept in RUN/features-test.npz.
"""

from dataclasses import dataclass
from typing import Literal

from analysis.runs import FigureOptions
from analysis.style import PALETTE
from training import cli
from training.parts import option


@dataclass(frozen=True, kw_only=True)
class TsneOptions(FigureOptions):
    """What to map."""

    classes: str | None = option(
        None,
        "names with commas between (default: those of the paper's Figure 4 if the data has "
        f"them, else the {len(PALETTE)} that are confused most, by mean probability)",
    )
    split: Literal["test", "train"] = option("test", "which videos of the run's split")


def main(options: TsneOptions):
    """Maps the features of a run's videos and measures how well they separate the classes."""
    from analysis.tsne_maps import map_run  # TensorFlow: not before the options are sound

    map_run(options)


if __name__ == "__main__":
    cli.run(main, TsneOptions)

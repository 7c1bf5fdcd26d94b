"""Figure 5 of the paper: python -m analysis.saliency [RUN] VIDEO, or --classes smile,clap,...

Shows where, and in the differences also when, the network sees a class, and what such a map is
worth: deletion and insertion curves, and its likeness to maps of the same network with random
weights. Of a video the predicted class is explained (--target: another one), with all its clips
in an animation; of --classes the test video of each class that scores best for it. Writes a PNG
and a JSON file into RUN/figures.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.runs import FigureOptions
from training import cli
from training.errors import UserError
from training.parts import option, positional

METHOD_TEXTS = {
    "gradient": "Gradient",
    "guided": "Guided back-propagation",
    "smoothgrad": "SmoothGrad ({samples} copies, noise {noise:.0%} of the range, seed {seed})",
    "integrated_gradients": "Integrated gradients (from the mean colour and no difference)",
}


@dataclass(frozen=True, kw_only=True)
class SaliencyOptions(FigureOptions):
    """What to explain, and how."""

    video: Path | None = positional("the video file", default=None)
    classes: str | None = option(None, "names with commas between, instead of a video")
    target: str | None = option(None, "class that is explained (default: the predicted one)")
    method: Literal[tuple(METHOD_TEXTS)] = option(
        "gradient", "how pixels are credited with the score"
    )
    samples: int = option(25, "smoothgrad: noisy copies")
    noise: float = option(0.15, "smoothgrad: deviation, relative to the range of the pixels")
    animation: Literal["gif", "mp4", "none"] = option("gif", "kind of animation, of a video alone")
    seed: int = option(0, "of noise, random orders and random weights")

    def __post_init__(self):
        if self.samples < 1:
            raise UserError(f"--samples must be positive, got {self.samples}")
        if not 0 <= self.noise < math.inf:
            raise UserError(f"--noise must be finite and not negative, got {self.noise}")
        if not 0 <= self.seed < 2**31:
            raise UserError(f"--seed must lie in [0, 2^31), got {self.seed}")

    def settings(self) -> dict:
        """Arguments of the method."""
        if self.method != "smoothgrad":
            return {}
        return {"samples": self.samples, "noise": self.noise, "seed": self.seed}


def main(options: SaliencyOptions):
    """Explains one video, or the best test video of some classes."""
    from analysis.saliency_maps import explain  # TensorFlow: not before the options are sound

    explain(options)


if __name__ == "__main__":
    cli.run(main, SaliencyOptions)

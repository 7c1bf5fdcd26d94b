"""Pre-train the lower SCLs on images: python -m training.pretrain --images DIR --out FOLDER

Stage 1 of section 2.3 of the paper: the auxiliary classifier learns the classes of an image
folder laid out like ImageNet's, one sub-folder of JPEGs or PNGs for each class. `fit
--scl-weights FOLDER/weights.h5` starts from the result. The same command again goes on where an
interrupted one stopped. Files that cannot be decoded are left out and listed in rejected.csv.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from fstcn_keras.runs import RUNS, RunFolder
from training import cli
from training.claims import check_options, claim_run, open_run
from training.errors import UserError
from training.options import FitOptions
from training.options.network import BackboneOptions
from training.options.recipe import OptimizationOptions, StageOptions
from training.options.run import RunOptions
from training.parts import option, part


@dataclass(frozen=True, kw_only=True)
class PretrainOptions:
    """Everything that decides a pre-training run."""

    images: Path | None = option(None, "folder of the images, one sub-folder for each class")
    backbone: BackboneOptions = part(BackboneOptions)
    optimization: OptimizationOptions = part(
        OptimizationOptions,
        batch_size="images in a batch, over all devices",
        scales="sides of training crops relative to the images' short side, drawn at random",
    )
    epochs: int = option(60, "passes over the images")
    learning_rate: float | None = option(
        None, "highest rate, after linear warm-up, before cosine decay"
    )
    run: RunOptions = part(
        RunOptions,
        val_fraction="share of the images held out to report the accuracy on and choose the best "
        "epoch by; frames of one video stay together",
        out="run folder (default: runs/pretrain-IMAGES-PRESET)",
    )

    def resolved(self) -> "PretrainOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if no folder of images is named, or a value is out of range.
        """
        if self.images is None:
            raise UserError("name the folder of the images with --images")
        options = self.stage_options()
        return dataclasses.replace(
            self,
            backbone=options.backbone,
            optimization=options.optimization,
            learning_rate=options.stages.auxiliary_rate,
        )

    def stage_options(self) -> FitOptions:
        """Returns the same as options of stage 2, which trains the same network on frames."""
        rates = StageOptions(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            auxiliary_epochs=self.epochs,
            auxiliary_rate=self.learning_rate,
        )
        return FitOptions(
            backbone=self.backbone, optimization=self.optimization, stages=rates, run=self.run
        ).resolved()

    def run_folder(self) -> RunFolder:
        """Returns `--out`, or a folder named after the images' and the preset."""
        name = f"pretrain-{self.images.resolve().name}-{self.backbone.preset}"
        return RunFolder(self.run.out or RUNS / name)


def main(options: PretrainOptions):
    """Trains on the images and writes the weights, unless the run is finished."""
    run = open_run(options)  # at once, before devices and images are looked at

    import tensorflow as tf  # not before the options are sound

    from training import distribution, pretraining

    tf.config.experimental.enable_op_determinism()
    batch_size = options.optimization.batch_size
    with (
        distribution.training_devices([batch_size]) as strategy,
        distribution.alone(run, strategy),
    ):
        if run.weights.exists():
            check_options(options, run)
            print(f"{run.weights} is finished already")
            return
        options = distribution.with_precision(options)
        claim_run(options, run)
        pretraining.pretrain(options.images, options.stage_options(), run, strategy)


if __name__ == "__main__":
    cli.run(main, PretrainOptions)

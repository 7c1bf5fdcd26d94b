"""Decode a collection once: python -m training.prepare [--dataset NAME --data-dir DIR]

Writes the frame store that `fit` reads, with the same `--store` or without; `fit` calls the same
code, so this command is for doing it beforehand. It runs on all cores. Stopped at any time, the
same command goes on where it was; a source file that has changed is decoded again, and only that.
What could not be decoded is listed in the store's rejected.csv.

`--images DIR` writes frames of the split's training videos as an image folder, for
`python -m training.pretrain --images DIR`.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Literal

from fstcn_keras.config import PRESETS
from fstcn_keras.files import atomic_write_text
from training import cli
from training.data.doctor import examine
from training.data.images import check_empty, write_frames
from training.data.splits import open_data
from training.errors import UserError
from training.on_cluster import ClusterOptions
from training.options.collection import SPLIT_HELP, CollectionOptions
from training.parts import option, part


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """What to decode, and for which network."""

    collection: CollectionOptions = part(CollectionOptions)
    split: int | None = option(None, SPLIT_HELP)
    store: Path | None = option(
        None, "folder of the store (default: the one in the user's cache folder that fit reads)"
    )
    check: bool = option(
        False,
        "examine the split too: counts, missing videos, duplicates, outliers; ends with 1 "
        "if an accuracy measured on it would be wrong",
    )
    deep: bool = option(
        False,
        "with --check: look for scenes on both sides, too, by the features of EfficientNet-Lite0",
    )
    json: Path | None = option(None, "file for the findings of --check as JSON")
    images: Path | None = option(None, "folder for frames of the training videos as JPEGs")
    image_step: int = option(15, "every how many frames --images writes one")
    preset: Literal[tuple(PRESETS)] = option("small", "the network that will read the frames")

    def resolved(self) -> "PrepareOptions":
        """Returns the same with the split filled in.

        Raises:
            UserError: if it names a split and a fold, or all folds.
        """
        if self.collection.fold == "all":
            raise UserError(
                "--fold all is for fit: all folds read the same store, name any of them"
            )
        return dataclasses.replace(self, split=self.collection.checked_split(self.split))


def main(options: PrepareOptions):
    """Fills the store and says what is in it."""
    if options.image_step < 1:
        raise UserError(f"--image-step must be positive, got {options.image_step}")
    if options.json is not None and not options.check:
        raise UserError("--json is where --check writes its findings: give both, or neither")
    if options.json is not None and not options.json.parent.is_dir():
        raise UserError(f"--json: {options.json.parent} is not a folder")
    if options.deep and not options.check:
        raise UserError("--deep makes --check look deeper: give both, or neither")
    if options.images is not None:
        check_empty(options.images)
    short_side = PRESETS[options.preset].short_side
    dataset, store = open_data(
        options.collection, options.split, options.store, short_side=short_side
    )
    videos = store.videos.values()
    rejected = [stored for stored in videos if stored.num_frames == 0]
    partial = [stored for stored in videos if stored.num_frames and stored.reason]
    print(
        f"{store.folder}: {len(videos) - len(rejected)} videos, "
        f"{sum(stored.num_frames for stored in videos)} frames; {len(partial)} only in part, "
        f"{len(rejected)} could not be decoded"
    )
    for stored in [*rejected, *partial][:10]:
        print(f"  {stored.path!r}: {stored.reason}")
    if len(rejected) + len(partial) > 10:
        print(f"  ... and more in {store.folder / 'rejected.csv'}")
    if options.images is not None:
        train = dataset.side("train")
        count = write_frames(
            store, train, options.images, classes=dataset.classes, step=options.image_step
        )
        print(f"{options.images}: {count} frames of {len(train)} training videos")
    if options.check:
        more = []
        if options.deep:
            from training.scenes import find_shared_scenes  # imports Keras

            more.append(find_shared_scenes(dataset, store, preset=options.preset))
        report = examine(dataset, store, more)
        print(report)
        if report.healthy:
            print("next: python -m training.fit, with the options that name the videos here")
        if options.json is not None:
            atomic_write_text(options.json, json.dumps(report.to_json(), indent=1))
        sys.exit(0 if report.healthy else 1)


if __name__ == "__main__":
    cli.run(main, PrepareOptions, cluster_options=ClusterOptions)

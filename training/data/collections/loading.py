"""The chosen videos of a collection."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.class_names import join_names, split_names
from training.data.cache import cache_folder
from training.data.collections.dataset import Dataset, Video
from training.data.collections.demo import DEMO_VERSION, prepare_demo
from training.data.collections.folder import read_folder
from training.data.collections.hmdb51 import read_hmdb51
from training.data.collections.lists import clean_path, split_lines
from training.data.collections.ucf101 import read_ucf101
from training.data.groups import named_groups
from training.errors import UserError

if TYPE_CHECKING:
    from training.options import CollectionOptions

READERS = {"ucf101": read_ucf101, "hmdb51": read_hmdb51, "folder": read_folder}


def load_dataset(options: "CollectionOptions", split: int | None) -> Dataset:
    """Reads the lists of the chosen split and takes the chosen classes and videos.

    The demo is rendered on first use. A folder without split files has no test videos yet: see
    `splits.open_data`.

    Raises:
        UserError: if the folder is missing, not asked for, or not laid out as expected, or what is
            chosen is not there.
    """
    numbers = options.split_numbers()
    is_drawn = options.dataset == "folder" and options.splits_dir is None
    if not (split is None or is_drawn or split in numbers):
        raise UserError(
            f"there is no split {split} of {options.dataset}: its lists are of splits "
            f"{', '.join(map(str, numbers))}"
        )
    dataset = _load_demo(options, split) if options.dataset == "demo" else _load(options, split)
    if options.exclude is not None:
        dataset = without_videos(dataset, options.exclude)
    if options.classes is not None:
        dataset = with_classes(dataset, split_names(options.classes))
    return dataclasses.replace(dataset, fold=options.fold, folds=options.folds)


def with_classes(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Returns the videos of some classes, whose labels count in the order of the dataset's.

    Args:
        dataset: with all its classes.
        names: of the classes to keep.

    Raises:
        UserError: if they are not two or more, or one is not there or has no video.
    """
    if unknown := [name for name in names if name not in dataset.classes]:
        state = "has no video" if unknown[0] in dataset.absent_classes else "is no class"
        raise UserError(
            f"--classes: {unknown[0]!r} {state} of {dataset.root}, whose classes with videos are "
            f"{join_names(dataset.classes)}"
        )
    kept = [label for label, name in enumerate(dataset.classes) if name in names]
    if len(kept) < 2:
        raise UserError(f"--classes must name two or more to tell apart, got {', '.join(names)!r}")
    new = {label: number for number, label in enumerate(kept)}
    return _filtered(
        dataset,
        lambda video: video.label in new,
        classes=tuple(dataset.classes[label] for label in kept),
        absent_classes=(),
    ).with_each(lambda video: dataclasses.replace(video, label=new[video.label]))


def without_videos(dataset: Dataset, file: Path) -> Dataset:
    """Returns the dataset without the videos that a file names, a path a line.

    Args:
        dataset: with all its videos.
        file: the list; its paths are below the dataset's root.

    Raises:
        UserError: if the list cannot be read or names a video that is not there, or if a class is
            left without any.
    """
    excluded = {clean_path(line) for line in split_lines(file)}
    known = {video.path for video in dataset.videos + dataset.missing}
    if unknown := sorted(excluded - known):
        raise UserError(
            f"--exclude {file} names {unknown[0]!r}, which is no video of {dataset.root}, whose "
            f"paths are like {dataset.videos[0].path!r}"
        )
    left = _filtered(dataset, lambda video: video.path not in excluded, excluded=len(excluded))
    labels = {video.label for video in left.videos}
    if emptied := [name for number, name in enumerate(left.classes) if number not in labels]:
        raise UserError(
            f"--exclude {file} leaves class {emptied[0]!r} without a video: leave the whole class "
            "out with --classes"
        )
    return left


def _filtered(dataset: Dataset, is_kept: Callable[[Video], bool], **fields) -> Dataset:
    """Keeps some videos, of those whose files are missing too; sets other fields."""
    for field in ("videos", "missing"):
        fields[field] = tuple(filter(is_kept, getattr(dataset, field)))
    return dataclasses.replace(dataset, **fields)


def _load(options: "CollectionOptions", split: int | None) -> Dataset:
    if options.data_dir is None:
        raise UserError(f"--dataset {options.dataset} needs --data-dir, the folder of its videos")
    for folder in (options.data_dir, options.splits_dir):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder} is not a folder")
    lists = {"splits_dir": options.splits_dir, "split": split}
    if options.labels is not None:
        lists["labels"] = options.labels
    dataset = READERS[options.dataset](options.data_dir, **lists)
    if options.groups is not None:
        paths = [[video.path for video in part] for part in (dataset.videos, dataset.missing)]
        groups = named_groups(options.groups, paths[0], missing=paths[1])
        dataset = dataset.with_each(
            lambda video: dataclasses.replace(video, group=groups.get(video.path, video.group))
        )
    return dataset


def _load_demo(options: "CollectionOptions", split: int) -> Dataset:
    folder = cache_folder() / f"demo-{DEMO_VERSION}"
    prepare_demo(folder)
    return dataclasses.replace(read_hmdb51(folder, split=split), name="demo")

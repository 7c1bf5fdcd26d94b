"""The chosen collection as a list of videos."""

import dataclasses
from typing import TYPE_CHECKING

from training.data.cache import cache_folder
from training.data.collections.dataset import Dataset
from training.data.collections.demo import DEMO_VERSION, prepare_demo
from training.data.collections.folder import read_folder
from training.data.collections.hmdb51 import read_hmdb51
from training.data.collections.ucf101 import read_ucf101
from training.data.groups import named_groups
from training.errors import UserError

if TYPE_CHECKING:
    from training.options import CollectionOptions

READERS = {"ucf101": read_ucf101, "hmdb51": read_hmdb51, "folder": read_folder}


def load_dataset(options: "CollectionOptions", split: int | None) -> Dataset:
    """Reads the lists of the chosen split; renders the demo on first use.

    A folder without split files has no test videos yet: see `splits.open_data`.

    Raises:
        UserError: if the folder is missing, not asked for, or not laid out as expected.
    """
    if options.dataset == "demo":
        return _load_demo(options, split)
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
        groups = named_groups(options.groups, (video.path for video in dataset.videos))
        videos = (dataclasses.replace(v, group=groups[v.path]) for v in dataset.videos)
        dataset = dataclasses.replace(dataset, videos=tuple(videos))
    return dataclasses.replace(dataset, fold=options.fold, folds=options.folds)


def _load_demo(options: "CollectionOptions", split: int) -> Dataset:
    for name, given in (("data", options.data_dir), ("splits", options.splits_dir)):
        if given is not None:
            raise UserError(f"--{name}-dir is not for --dataset demo; name another --dataset")
    folder = cache_folder() / f"demo-{DEMO_VERSION}"
    prepare_demo(folder)
    return dataclasses.replace(read_hmdb51(folder, split=split), name="demo")

"""Which videos a network is trained on, which are held out, and which it is tested by."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from training.data.cache import store_folder
from training.data.collections import Dataset, Video, load_dataset
from training.data.groups import check_held_out, held_out_paths
from training.data.lookalikes import clusters
from training.data.preparation import prepare_store
from training.data.store import FrameStore
from training.errors import UserError

if TYPE_CHECKING:
    from training.options import CollectionOptions

TEST_SHARE = 0.3  # of a folder without split files


def open_data(
    options: "CollectionOptions", split: int, folder: Path | None, *, short_side: int
) -> tuple[Dataset, FrameStore]:
    """Opens the chosen split and its decoded frames, prepared where they are not yet.

    Args:
        options: which videos.
        split: number of the split.
        folder: the store, or `None` for one in the user's cache folder.
        short_side: short side of the stored frames, pixels.

    Raises:
        UserError: see `load_dataset` and `prepare_store`.
    """
    dataset = load_dataset(options, split)
    if folder is None:
        folder = store_folder(
            dataset.name, dataset.root, short_side=short_side, encoding=options.frames
        )
    paths = [video.path for video in dataset.videos if video.side != "unused"]
    store = prepare_store(
        folder, dataset.root, paths, short_side=short_side, encoding=options.frames
    )
    if options.dataset == "folder" and options.splits_dir is None:
        dataset = draw_test_videos(dataset, store.look_alikes())
    print(dataset, flush=True)
    return dataset, store


def draw_test_videos(dataset: Dataset, look_alikes: Mapping[str, str]) -> Dataset:
    """Draws about 30 % of every class as test videos, other ones in each split.

    Videos of one source, as their names tell (see `groups.source_group`), stay on one side; so
    do those that look alike.

    Args:
        dataset: of `read_folder`, without test videos.
        look_alikes: name of each video's cluster of near-duplicates, by path.
    """
    ties = [(path, first) for path, first in look_alikes.items() if path != first]
    same_source = defaultdict(list)
    for video in dataset.videos:
        same_source[video.path.split("/")[0], video.group].append(video.path)
    ties += [(paths[0], path) for paths in same_source.values() for path in paths[1:]]
    groups = clusters([video.path for video in dataset.videos], ties)
    # a group bears the name of its first video: look-alikes of two classes are drawn once
    items = [(path, group.split("/")[0], group) for path, group in groups.items()]
    test = held_out_paths(items, fraction=TEST_SHARE, salt=f"split {dataset.split}")
    videos = tuple(
        dataclasses.replace(
            video,
            side="test" if video.path in test else "train",
            group=groups[video.path],
        )
        for video in dataset.videos
    )
    return dataclasses.replace(dataset, videos=videos)


def split_training(
    dataset: Dataset, store: FrameStore, *, val_fraction: float, seed: int
) -> tuple[list[Video], list[Video]]:
    """Splits the usable training videos into those to train on and those held out.

    Args:
        dataset: the split.
        store: its frames, which tell what is usable.
        val_fraction: share of the videos to hold out, whole groups.
        seed: of the run; another holds out others.

    Raises:
        UserError: if nothing is left to train on, or nothing held out.
    """
    usable = [v for v in dataset.side("train") if store.videos[v.path].num_frames]
    # a group may bear the name of a video: look-alikes of two classes are drawn once
    names = {video.path: dataset.classes[video.label] for video in dataset.videos}
    items = [(v.path, names.get(v.group, names[v.path]), v.group) for v in usable]
    held = held_out_paths(items, fraction=val_fraction, salt=f"validation {seed}")
    train = [video for video in usable if video.path not in held]
    check_held_out(val_fraction, len(held))
    trained = {video.label for video in train}
    if untrained := [name for n, name in enumerate(dataset.classes) if n not in trained]:
        print(f"{len(untrained)} classes have no video to train on, e.g. {untrained[0]}")
    if len(trained) < 2:
        raise UserError(
            f"{dataset.root}: {len(train)} usable training videos of fewer than two classes; "
            "there is nothing to tell apart"
        )
    return train, [video for video in usable if video.path in held]

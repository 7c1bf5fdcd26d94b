"""Which videos a network is trained on, which are held out, and which it is tested by."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.data.cache import store_folder
from training.data.collections import Dataset, Video, load_dataset
from training.data.folds import draw_fold
from training.data.groups import check_held_out, held_out_paths
from training.data.lookalikes import clusters
from training.data.preparation import prepare_store
from training.data.store import MAX_DAMAGED, FrameStore
from training.errors import UserError

if TYPE_CHECKING:
    from training.options import CollectionOptions

TEST_SHARE = 0.3  # of a folder without split files


def open_data(
    options: "CollectionOptions", split: int | None, folder: Path | None, *, short_side: int
) -> tuple[Dataset, FrameStore]:
    """Opens the chosen split or fold and its decoded frames, prepared where they are not yet.

    Args:
        options: which videos.
        split: number of the split; `None` of a fold.
        folder: the store, or `None` for one in the user's cache folder.
        short_side: short side of the stored frames, pixels.

    Raises:
        UserError: see `load_dataset`, `prepare_store` and `folds.draw_fold`.
    """
    dataset = load_dataset(options, split)
    if folder is None:
        folder = store_folder(
            dataset.name,
            dataset.root,
            short_side=short_side,
            encoding=options.frames,
            fps=options.fps,
        )
    paths = [video.path for video in dataset.videos if video.side != "unused"]
    store = prepare_store(
        folder,
        dataset.root,
        paths,
        short_side=short_side,
        encoding=options.frames,
        fps=options.fps,
    )
    has_split = any(video.side == "test" for video in dataset.videos + dataset.missing)
    if options.dataset == "folder" and options.splits_dir is None and not has_split:
        alike = {} if options.ignore_look_alikes else store.look_alikes
        dataset = dataset if options.groups else tied(dataset, alike)
        dataset = dataset if split is None else draw_test_videos(dataset)
    if dataset.folds is not None:
        usable = {path for path, stored in store.videos.items() if stored.num_frames}
        dataset = draw_fold(dataset, usable=usable)
    print(dataset, flush=True)
    return dataset, store


def draw_test_videos(dataset: Dataset) -> Dataset:
    """Draws about 30 % of every class as test videos, whole groups, other ones in each split.

    Args:
        dataset: of `read_folder`, without test videos.
    """
    items = [(v.path, dataset.classes[v.label], v.group) for v in dataset.videos]
    test = held_out_paths(items, fraction=TEST_SHARE, salt=f"split {dataset.split}")
    return dataclasses.replace(
        dataset,
        videos=tuple(
            dataclasses.replace(video, side="test" if video.path in test else "train")
            for video in dataset.videos
        ),
    )


def tied(dataset: Dataset, look_alikes: Mapping[str, str]) -> Dataset:
    """Groups videos of one source, as their names tell, and those that look alike.

    Those without a file are of the group of their source.

    Args:
        dataset: whose videos have the groups of `groups.source_group`.
        look_alikes: name of each video's cluster of near-duplicates, by path.
    """
    ties = [(path, first) for path, first in look_alikes.items() if path != first]
    same_source = defaultdict(list)
    for video in dataset.videos:
        same_source[video.group].append(video.path)
    ties += [(paths[0], path) for paths in same_source.values() for path in paths[1:]]
    firsts = clusters([video.path for video in dataset.videos], ties)
    # named so that folders of videos without common sources keep the splits they have had
    names = {path: f"{first.split('/')[0]}/{first}" for path, first in firsts.items()}
    group_of = {group: names[paths[0]] for group, paths in same_source.items()}
    return dataset.with_each(
        lambda video: dataclasses.replace(video, group=group_of.get(video.group, video.group))
    )


def damaged_text(dataset: Dataset, store: FrameStore) -> str:
    """Says in one line which training videos are too damaged to train on; nothing if none is."""
    facts = [store.videos[video.path] for video in dataset.side("train")]
    damaged = [stored for stored in facts if stored.num_frames and not stored.is_trainable]
    if not damaged:
        return ""
    return (
        f"{len(damaged)} training videos are left out, more than {MAX_DAMAGED:.0%} of whose frames "
        f"are damaged, e.g. {damaged[0].path}: {damaged[0].reason}"
    )


def decodable(videos: Sequence[Video], store: FrameStore) -> list[Video]:
    """Returns those of the videos that the store has frames of."""
    return [video for video in videos if store.videos[video.path].num_frames]


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
    usable = [v for v in dataset.side("train") if store.videos[v.path].is_trainable]
    if text := damaged_text(dataset, store):
        print(text)
    items = [(v.path, dataset.classes[v.label], v.group) for v in usable]
    held = held_out_paths(items, fraction=val_fraction, salt=f"validation {seed}")
    check_held_out(val_fraction, len(held))
    named = decodable(dataset.side("val"), store)
    if named and held:
        raise UserError(
            f"--val-fraction {val_fraction:g} is not for {dataset.root}, which names the "
            f"{len(named)} videos that are held out: leave it out"
        )
    train = [video for video in usable if video.path not in held]
    trained = {video.label for video in train}
    if untrained := [name for n, name in enumerate(dataset.classes) if n not in trained]:
        print(f"classes without a video to train on: {len(untrained)}, e.g. {untrained[0]}")
    if len(trained) < 2:
        raise UserError(
            f"{dataset.root}: {len(train)} usable training videos of fewer than two classes; "
            "there is nothing to tell apart"
        )
    return train, named or [video for video in usable if video.path in held]

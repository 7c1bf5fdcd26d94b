"""Folds of whole groups, on lists that the tests make and on the names of UT-Interaction."""

import dataclasses
import itertools
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from tests.processes import DATA
from tests.training.data.test_collections import touch
from training.data import collections
from training.data.collections import Dataset, Video
from training.data.folds import dealt, draw_fold
from training.data.splits import split_training, tied
from training.errors import UserError
from training.options import CollectionOptions


def dataset_of(videos: list[tuple[str, int, str]], folds: int, fold: int = 1) -> Dataset:
    """A folder of `(path, label, group)`."""
    return Dataset(
        name="folder",
        split=None,
        root=Path("videos"),
        classes=("a", "b", "c"),
        absent_classes=(),
        videos=tuple(Video(path, label, "train", group) for path, label, group in videos),
        missing=(),
        unlisted=0,
        fold=fold,
        folds=folds,
    )


def random_videos(seed: int, groups: int = 30, number: int = 300) -> list[tuple[str, int, str]]:
    """Videos of three unequal classes, their groups being of very different sizes."""
    generator = np.random.default_rng(seed)
    sizes = generator.dirichlet(np.full(groups, 2.0))
    chosen = np.concatenate([np.arange(groups), generator.choice(groups, number - groups, p=sizes)])
    labels = generator.choice(3, number, p=[0.6, 0.3, 0.1])
    return [(f"{label}/{n}.avi", int(label), f"g{group:02d}")
            for n, (label, group) in enumerate(zip(labels, chosen, strict=True))]  # fmt: skip


def sets_tested(folds: list[Dataset]) -> list[set[str]]:
    return [{video.path for video in fold.side("test")} for fold in folds]


def all_folds(videos, folds: int, usable=None) -> list[Dataset]:
    usable = {path for path, *_ in videos} if usable is None else usable
    return [
        draw_fold(dataset_of(videos, folds, fold), usable=usable) for fold in range(1, folds + 1)
    ]


@pytest.mark.parametrize("folds", [2, 5, 29, 30])
def test_each_video_is_tested_once_and_no_group_is_on_both_sides(folds):
    videos = random_videos(seed=folds)
    drawn = all_folds(videos, folds)
    counts = Counter(path for paths in sets_tested(drawn) for path in paths)
    assert counts == {path: 1 for path, *_ in videos}
    for fold in drawn:
        sides = [{video.group for video in fold.side(side)} for side in ("train", "test")]
        assert all(sides)
        assert not sides[0] & sides[1]
        assert sides[0] | sides[1] == {group for *_, group in videos}


def test_as_many_folds_as_groups_leave_one_out_in_the_order_of_their_names():
    drawn = all_folds(random_videos(seed=1), 30)
    groups = [{video.group for video in fold.side("test")} for fold in drawn]
    assert groups == [{f"g{number:02d}"} for number in range(30)]


def test_the_order_of_the_list_makes_no_difference():
    videos = random_videos(seed=2)
    assert sets_tested(all_folds(videos, 4)) == sets_tested(all_folds(videos[::-1], 4))


def test_equal_groups_are_dealt_evenly():
    videos = [(f"{label}/{g}.avi", label, f"{label} {g}") for label in range(3) for g in range(8)]
    for fold in all_folds(videos, 4):
        assert Counter(video.label for video in fold.side("test")) == {0: 2, 1: 2, 2: 2}


def unevenness(labels: np.ndarray, fold_of: np.ndarray, folds: int) -> float:
    """Mean over the classes of the deviation of the folds' shares of a class."""
    shares = [[np.mean(fold_of[labels == label] == fold) for fold in range(folds)]
              for label in np.unique(labels)]  # fmt: skip
    return float(np.mean(np.std(shares, axis=1)))


def test_classes_are_spread_as_evenly_as_by_scikit_learn():
    ours, theirs = [], []
    for seed, folds in itertools.product(range(10), (3, 5)):
        videos = random_videos(seed)
        labels, groups = np.array([v[1] for v in videos]), np.array([v[2] for v in videos])
        found = dealt(zip(groups, labels, strict=True), folds)
        ours.append(unevenness(labels, np.array([found[group] - 1 for group in groups]), folds))
        fold_of = np.empty(len(labels), int)
        for fold, (_, test) in enumerate(StratifiedGroupKFold(folds).split(labels, labels, groups)):
            fold_of[test] = fold
        theirs.append(unevenness(labels, fold_of, folds))
    assert np.mean(ours) < 1.1 * np.mean(theirs)


def test_a_class_of_one_group_has_no_training_video_in_its_fold(capsys):
    videos = [(f"{label}/{group}", label, group) for label in range(2) for group in "xy"]
    videos += [("2/x", 2, "x"), ("2/more", 2, "x")]
    first, second = all_folds(videos, 2)
    store = SimpleNamespace(
        videos={path: SimpleNamespace(num_frames=9, is_trainable=True) for path, *_ in videos}
    )
    train, _ = split_training(first, store, val_fraction=0.0, seed=0)
    assert {video.label for video in train} == {0, 1}
    assert capsys.readouterr().out == "classes without a video to train on: 1, e.g. c\n"
    train, _ = split_training(second, store, val_fraction=0.0, seed=0)
    assert {video.label for video in train} == {0, 1, 2}
    assert capsys.readouterr().out == ""


def test_a_fold_that_would_leave_one_class_is_refused_in_every_fold():
    videos = [("a/1", 0, "x"), ("a/2", 0, "y"), ("b/1", 1, "x"), ("b/2", 1, "x")]
    with pytest.raises(UserError, match="fold 1 of 2 leaves training videos of fewer than two"):
        draw_fold(dataset_of(videos, 2, fold=2), usable={path for path, *_ in videos})


@pytest.mark.parametrize(("folds", "groups"), [(31, 30), (2, 1)])
def test_more_folds_than_groups(folds, groups):
    with pytest.raises(UserError, match=rf"--folds {folds} is more than .* groups of .*, {groups}"):
        all_folds(random_videos(seed=0, groups=groups), folds)


def test_groups_without_a_usable_video_make_no_fold():
    videos = [(f"a/{n}.avi", n % 2, f"g{n}") for n in range(5)]
    usable = {path for path, *_ in videos[:4]}
    drawn = all_folds(videos, 4, usable)
    assert all(paths & usable for paths in sets_tested(drawn))
    assert sum("a/4.avi" in paths for paths in sets_tested(drawn)) == 1
    with pytest.raises(UserError, match="--folds 5 is more"):
        all_folds(videos, 5, usable)


def test_the_text_of_a_fold_says_which_it_is():
    assert str(all_folds(random_videos(seed=0), 30)[2]).startswith("folder fold 3 of 30: 3 classes")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"fold": 1}, "--fold 1 of how many"),
        ({"folds": 1, "fold": 1}, "--folds must be 2 or more, got 1"),
        ({"folds": 5, "fold": 6}, "--fold must be 1 to 5, or all, got 6"),
        ({"folds": 5, "fold": 0}, "--fold must be 1 to 5, or all, got 0"),
        ({"groups": "seq", "dataset": "demo"}, "--groups is for --dataset folder, not for demo"),
    ],
)
def test_options_that_contradict_each_other(more, message):
    with pytest.raises(UserError, match=message):
        CollectionOptions(**{"dataset": "folder", "data_dir": Path("videos"), **more})


@pytest.mark.parametrize("more", [{"splits_dir": Path("lists")}, {"dataset": "hmdb51"}])
def test_where_there_are_split_files_folds_are_of_a_split(more):
    options = CollectionOptions(**{"dataset": "folder", "folds": 5, "fold": 1, **more})
    with pytest.raises(UserError, match="give --split as well"):
        options.checked_split(None)
    assert options.checked_split(2) == 2


def test_folds_of_a_split_leave_its_test_videos_alone():
    videos = random_videos(7)
    whole = dataset_of(videos, 3)
    sides = dict(zip((path for path, *_ in videos), itertools.cycle("ttu"), strict=False))
    names = {"t": "train", "u": "test"}
    listed = [dataclasses.replace(v, side=names[sides[v.path]]) for v in whole.videos]
    trained = {video.path for video in listed if video.side == "train"}
    tested = []
    for fold in (1, 2, 3):
        split = dataclasses.replace(whole, split=1, fold=fold, videos=tuple(listed))
        drawn = draw_fold(split, usable={path for path, *_ in videos})
        tested.append({video.path for video in drawn.side("test")})
        train = {video.path for video in drawn.side("train")}
        assert train | tested[-1] == trained
        assert not train & tested[-1]
        assert {v.group for v in drawn.side("train")}.isdisjoint(
            v.group for v in drawn.side("test")
        )
        assert drawn.part == f"fold {fold} of 3 of the training videos of split 1"
    assert sum(map(len, tested)) == len(trained) == 200


def test_a_video_without_a_file_is_in_the_fold_of_its_group():
    videos = [(f"{label}/{group}", label, group) for label in range(2) for group in "xyz"]
    missing = [Video(f"0/{group} 2", 0, "train", group) for group in "xyzw"]
    missing += [Video("1/x 2", 1, side, "x") for side in ("val", "test", "unused")]
    for fold in (1, 2, 3):  # each is of one group, in the order of their names
        dataset = dataclasses.replace(dataset_of(videos, 3, fold), missing=tuple(missing))
        drawn = draw_fold(dataset, usable={path for path, *_ in videos})
        tested = {video.group for video in drawn.missing if video.side == "test"}
        assert tested == ({"x", "w"}, {"y"}, {"z"})[fold - 1]  # w has no other video
        assert [video.side for video in drawn.missing[:4]].count("train") == 4 - len(tested)
        assert {video.side for video in drawn.missing[4:]} == {"unused"}


@pytest.mark.parametrize("groups", [None, r"person\d", "groups.csv"])
def test_a_missing_video_has_the_group_of_its_source(tmp_path, monkeypatch, groups):
    monkeypatch.chdir(tmp_path)
    paths = [f"{name}/person{n}_{take}.avi" for name in "ab" for n in (1, 2) for take in (1, 2)]
    for file, source in (("labels.csv", "film"), ("groups.csv", "person")):
        rows = [f"{path},{path[0]},{source}{path[8]}\n" for path in paths]
        Path(file).write_text("".join(["path,label,group\n", *rows]))
    touch(tmp_path / "videos", *paths[1:])
    options = CollectionOptions(
        dataset="folder",
        data_dir=tmp_path / "videos",
        labels=Path("labels.csv"),
        groups=groups,
        folds=2,
        fold=1,
    )
    dataset = collections.load_dataset(options, None)
    if groups is None:
        dataset = tied(dataset, {})
    (video,) = dataset.missing
    others = {v.group for v in dataset.videos if "person1" in v.path}
    assert {video.group} == others
    assert len({v.group for v in dataset.videos}) == 2


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real videos in {DATA}")
@pytest.mark.parametrize(("name", "first"), [("set1", 1), ("set2", 11)])
def test_ut_interaction_leaves_one_sequence_out(name, first):
    root = DATA / "ut_interaction" / name
    options = CollectionOptions(
        dataset="folder", data_dir=root, groups=r"seq\d+", folds=10, fold="all"
    )
    listed = collections.load_dataset(options, None)
    usable = {video.path for video in listed.videos}
    tested = []
    for fold in range(1, 11):
        drawn = draw_fold(dataclasses.replace(listed, fold=fold), usable=usable)
        names = {Path(video.path).name[:5] for video in drawn.side("test")}
        assert names == {f"seq{first + fold - 1:02d}"}
        assert len(drawn.side("train")) + len(drawn.side("test")) == 60
        tested += [video.path for video in drawn.side("test")]
    assert sorted(tested) == sorted(usable)


def test_a_folder_of_one_group_has_no_folds(tmp_path):
    touch(tmp_path, "a/1.avi", "b/1.avi")
    options = CollectionOptions(
        dataset="folder", data_dir=tmp_path, groups=r"1\.avi", folds=2, fold=1
    )
    with pytest.raises(UserError, match=r"--folds 2 is more than there are groups of videos, 1"):
        draw_fold(collections.load_dataset(options, None), usable={"a/1.avi", "b/1.avi"})

"""Cross-validation by groups: which fold each group is tested in."""

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from training.data.collections import Dataset, Video
from training.errors import UserError


def draw_fold(dataset: Dataset, *, usable: Collection[str]) -> Dataset:
    """Makes those training videos test videos that lie in the data set's fold.

    What were its test videos are in neither. Videos without a file are shared out likewise.

    Args:
        dataset: with the number of its fold and of all folds; no fold has a part of a group.
        usable: paths of the videos that can be decoded.

    Raises:
        UserError: if there are more folds than groups of usable videos, or any of the folds leaves
            nothing to tell apart.
    """
    items = [(v.group, v.label) for v in dataset.side("train") if v.path in usable]
    groups = len({group for group, _ in items})
    if dataset.folds > groups:
        raise UserError(
            f"{dataset.root}: --folds {dataset.folds} is more than there are groups of videos, "
            f"{groups}: give fewer, or name the groups with --groups"
        )
    fold_of = dealt(items, dataset.folds)
    for fold in range(1, dataset.folds + 1):
        if len({label for group, label in items if fold_of[group] != fold}) < 2:
            raise UserError(
                f"{dataset.root}: fold {fold} of {dataset.folds} leaves training videos of fewer "
                "than two classes: the others lie in its groups alone"
            )

    def on_its_side(video: Video) -> Video:
        side = "test" if fold_of.get(video.group, 1) == dataset.fold else "train"
        return dataclasses.replace(video, side=side if video.side == "train" else "unused")

    return dataset.with_each(on_its_side)


def dealt(items: Iterable[tuple[str, int]], folds: int) -> dict[str, int]:
    """Deals groups to folds such that each has its share of every class, as far as groups allow.

    The largest group comes first, by the shares of the classes that it holds, and goes to the fold
    with the least of the same classes. This makes the sum of squares of the folds' shares grow
    least, and leaves no fold empty. With as many folds as groups each fold is one group.

    Args:
        items: group and class of every video.
        folds: number of folds, not more than groups.

    Returns:
        The fold of each group, from 1; folds are in the order of the first names of their groups.
    """
    groups = defaultdict(Counter)
    for group, label in items:
        groups[group][label] += 1
    totals = sum(groups.values(), Counter())
    share = {group: sum(n / totals[c] for c, n in groups[group].items()) for group in groups}
    held = [Counter() for _ in range(folds)]
    members = [[] for _ in range(folds)]
    for group in sorted(groups, key=lambda group: (-share[group], group)):

        def cost(fold: int, counts=groups[group]) -> tuple:
            same = sum(held[fold][c] * n / totals[c] ** 2 for c, n in counts.items())
            return same, held[fold].total(), fold

        best = min(range(folds), key=cost)
        held[best] += groups[group]
        members[best].append(group)
    ordered = sorted(members, key=min)
    return {group: number for number, fold in enumerate(ordered, start=1) for group in fold}

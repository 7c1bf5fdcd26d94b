"""What finished runs scored: their accuracies, and whether these may stand side by side."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields

import numpy as np

from fstcn_keras import fusion
from fstcn_keras.runs import RunFolder, part_text
from fstcn_keras.stored_arrays import read_arrays
from training.data.groups import source_group
from training.errors import UserError

NAMED = 10  # classes without videos, at most
Accuracies = dict[str, dict[str, dict[str, float]]]  # by level, method of fusion and measure
Fused = dict[str, dict[str, np.ndarray]]  # by level and method of fusion


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What one run scored on the test videos of its split.

    Attributes:
        run: its folder.
        protocol: as in its `metrics.json`.
        classes: class names in the order of the labels.
        class_names: name of each test video's class, by the video's path.
        accuracies: see `all_accuracies`.
    """

    run: RunFolder
    protocol: dict
    classes: tuple[str, ...]
    class_names: dict[str, str]
    accuracies: Accuracies

    @property
    def split(self) -> int | None:
        """Returns the number of the split; `None` of a fold."""
        return self.protocol["split"]

    @property
    def part(self) -> str:
        """Returns which split or fold it is, e.g. `split 1`."""
        return protocol_part(self.protocol)


@dataclass(frozen=True, kw_only=True)
class RunScores(RunResult):
    """The same with the scores of all views of the test videos.

    Attributes:
        paths: of the videos, relative to the data set's root.
        sources: what each of them was cut from.
        labels: int `(V,)`.
        scores: class probabilities, float64 `(V, M, C, N)`; of older runs float32.
    """

    paths: tuple[str, ...]
    sources: tuple[str, ...]
    labels: np.ndarray
    scores: np.ndarray

    def answers(self, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns whether each answer by a method of `fusion.fuse` is right, and its source.

        There is one answer for each video, in the order of their paths, and with `"single"` one
        for each clip that may be drawn, M to a video: the share of right ones is the accuracy.

        Returns:
            Bool `(answers,)` and text `(answers,)`.
        """
        order = np.argsort(self.paths)
        scores = self.scores[order]
        views = each_clip(scores) if method == "single" else scores
        times = len(views) // len(scores)
        right = fusion.fuse(views, method).argmax(axis=-1) == np.repeat(self.labels[order], times)
        return right, np.repeat(np.array(self.sources)[order], times)


def read_scores(run: RunFolder) -> RunScores:
    """Reads the scores of a finished run.

    Raises:
        UserError: if a file is missing or damaged, or the files do not belong together.
    """
    try:
        protocol = json.loads(run.metrics.read_text())["protocol"]
        names = run.classes.read_text(encoding="utf-8")
        classes = tuple(names.removesuffix("\n").split("\n"))
        arrays = read_arrays(run.scores)
        scores, labels, paths = (arrays[name] for name in ("scores", "labels", "paths"))
        # older runs do not tell
        groups = arrays["groups"] if "groups" in arrays else map(source_group, paths)
        expected = (len(paths), protocol["num_clips"], protocol["num_crops"], len(classes))
        if scores.shape != expected or labels.shape != paths.shape:
            raise ValueError(
                f"scores.npz holds scores {scores.shape}, labels {labels.shape} and paths "
                f"{paths.shape}; metrics.json and classes.txt tell of scores {expected}"
            )
        if not np.isin(labels, range(len(classes))).all():
            raise ValueError(f"scores.npz holds labels beyond the {len(classes)} classes")
        return RunScores(
            run=run,
            protocol=protocol,
            classes=classes,
            class_names={str(p): classes[label] for p, label in zip(paths, labels, strict=True)},
            accuracies=all_accuracies(all_fused(scores), labels, rejected=protocol["rejected"]),
            paths=tuple(map(str, paths)),
            sources=tuple(map(str, groups)),
            labels=labels,
            scores=scores,
        )
    except (OSError, LookupError, TypeError, ValueError) as error:
        if not (run.model.exists() or run.metrics.exists()):
            raise UserError(f"{run} is not the folder of a run that has been trained") from error
        raise UserError(
            f"the results of {run} cannot be read ({error}): "
            f"'python -m training.evaluate {run.quoted()}' makes them anew"
        ) from error


def damaged(run: RunFolder, error: Exception) -> UserError:
    """Says that `metrics.json` lacks something, and how to have it anew."""
    return UserError(
        f"{run.metrics} is damaged ({error!r}): 'python -m training.evaluate {run.quoted()}' "
        "makes it anew"
    )


def read_result(run: RunFolder) -> RunResult:
    """Reads the result of a finished run; the scores of all views are let go.

    Raises:
        UserError: as `read_scores` does.
    """
    scores = read_scores(run)
    return RunResult(**{field.name: getattr(scores, field.name) for field in fields(RunResult)})


def protocol_part(protocol: dict) -> str:
    """Returns which split or fold was scored; older runs tell of splits alone."""
    return part_text(protocol["split"], protocol.get("fold"), protocol.get("folds"))


def views_text(protocol: dict) -> str:
    """Returns how many views of a video there are, and how they are made if not exactly."""
    if protocol.get("views") == "encoded":
        return f"{protocol['num_crops'] - 1} views drawn as in training and the centre"
    plural = "s" if protocol["num_clips"] > 1 else ""
    text = f"{protocol['num_clips']} clip{plural} x {protocol['num_crops']} crops"
    if fps := protocol.get("fps"):
        text += f" at {fps:g} frames a second"
    return text + made_text(protocol)


def made_text(protocol: dict) -> str:
    """Returns how the views are made, if not exactly: a remark in brackets."""
    views = protocol.get("views", "exact")  # older runs do not tell
    return "" if views == "exact" else f" ({views} views)"


def absent_text(protocol: dict) -> list[str]:
    """Returns a line that names the classes without any video; no line if there are none."""
    absent = protocol["absent_classes"]
    if not absent:
        return []
    more = f" and {len(absent) - NAMED} more" if len(absent) > NAMED else ""
    return [
        f"{len(absent)} of {protocol['num_classes'] + len(absent)} classes have no video and are "
        f"left out: {', '.join(absent[:NAMED])}{more}"
    ]


def all_fused(scores: np.ndarray) -> Fused:
    """Fuses scores `(V, M, C, N)` at both levels by every method of `fusion.METHODS`.

    At the level of `"video"` all views of a video are fused (section 2.4 of the paper), to
    `(V, N)`; at that of `"clip"` only the crops of each clip, to `(V * M, N)`.
    """
    levels = {"video": scores, "clip": each_clip(scores)}
    return {
        level: {method: fusion.fuse(views, method) for method in fusion.METHODS}
        for level, views in levels.items()
    }


def all_accuracies(fused: Fused, labels: np.ndarray, *, rejected: int = 0) -> Accuracies:
    """Returns accuracies at both levels by every method of `fusion.METHODS`.

    At the level of `"clip"` every clip counts as one sample. `"single"` is at both the accuracy to
    expect of the centre crop of one clip of each video, drawn at random: the mean over the M clips,
    each as likely as the others.

    Args:
        fused: of `all_fused`.
        labels: int `(V,)`.
        rejected: test videos without scores, as they could not be decoded.
    """
    found = {}
    for level, methods in fused.items():
        each = len(methods["sci"]) // len(labels)  # samples of a video
        found[level] = {
            method: accuracies(rows, np.repeat(labels, each), rejected=rejected * each)
            for method, rows in methods.items()
        }
    found["video"]["single"] = found["clip"]["single"]
    return found


def each_clip(scores: np.ndarray) -> np.ndarray:
    """Returns every clip `(V, M, C, N)` as if it were a video of its own, `(V * M, 1, C, N)`."""
    return scores.reshape(-1, 1, *scores.shape[2:])


def accuracies(scores: np.ndarray, labels: np.ndarray, *, rejected: int = 0) -> dict[str, float]:
    """Returns top-1, top-5 and mean class accuracy, fractions; the mean over classes with videos.

    `"top1_all"` is top-1 with the rejected videos among the videos, as errors.

    The rank of the true class is one more than the number of classes that score higher; equal
    scores before it in the order of classes count as higher.

    Args:
        scores: `(V, N)`.
        labels: int `(V,)`.
        rejected: videos without scores.
    """
    order = np.argsort(-scores, axis=-1, kind="stable")
    rank = np.argmax(order == labels[:, None], axis=-1)
    correct = rank == 0
    per_class = [correct[labels == label].mean() for label in np.unique(labels)]
    return {
        "top1": float(correct.mean()),
        "top5": float((rank < 5).mean()),
        "mean_class": float(np.mean(per_class)),
        "top1_all": float(correct.sum() / (len(correct) + rejected)),
    }


def check_same_protocol(results: Sequence[RunResult], *, own_views: bool = False):
    """Makes sure that the runs are of one data set, know the same classes and have the same views.

    Args:
        results: of the runs.
        own_views: whether each may have views of its own.

    Raises:
        UserError: saying which two runs differ, and in what.
    """
    first = results[0]
    for other in results[1:]:
        names = (str(first.run), str(other.run))
        _check_same(names, "data set", first.protocol["dataset"], other.protocol["dataset"])
        check_classes(names, first.classes, other.classes)
        if not own_views:
            _check_same(names, "views", *(views_text(run.protocol) for run in (first, other)))


def check_classes(names: tuple[str, str], one: Sequence[str], other: Sequence[str]):
    """Makes sure that two lists of classes, of what the names say, are the same.

    Raises:
        UserError: saying in what they differ.
    """
    if differing := _only_in_one(names, one, other):
        raise UserError(f"{names[0]} and {names[1]} are of different classes: {differing}")
    if tuple(one) != tuple(other):
        raise UserError(f"{names[0]} and {names[1]} list the same classes in another order")


def check_same_videos(results: Sequence[RunResult], *, own_views: bool = False):
    """Makes sure that the runs were scored on the same videos of one split or fold.

    Args:
        results: of the runs.
        own_views: whether each may have views of its own.

    Raises:
        UserError: saying which two runs differ, and in what: data set, classes, split, views,
            videos or their labels.
    """
    check_same_protocol(results, own_views=own_views)
    first = results[0]
    for other in results[1:]:
        names = (str(first.run), str(other.run))
        _check_same(names, "split", first.part, other.part)
        if differing := _only_in_one(names, first.class_names, other.class_names):
            raise UserError(
                f"{names[0]} and {names[1]} were scored on different videos: {differing}; "
                "'python -m training.evaluate RUN' scores a run on the videos that there are now"
            )
        relabelled = sorted(
            p for p, name in first.class_names.items() if name != other.class_names[p]
        )
        if relabelled:
            path = relabelled[0]
            raise UserError(
                f"{names[0]} and {names[1]} label {len(relabelled)} videos differently, e.g. "
                f"{path}: {first.class_names[path]} and {other.class_names[path]}"
            )


def _check_same(names: tuple[str, str], what: str, one, other):
    if one != other:
        raise UserError(f"{names[0]} and {names[1]} are not of the same {what}: {one} and {other}")


def _only_in_one(names: tuple[str, str], one: Collection[str], other: Collection[str]) -> str:
    """Returns what each has alone, `2 only in NAME, e.g. ITEM`; empty if both hold the same."""
    alone = (sorted(set(one) - set(other)), sorted(set(other) - set(one)))
    return "; ".join(
        f"{len(items)} only in {name}, e.g. {items[0]}"
        for name, items in zip(names, alone, strict=True)
        if items
    )

"""What an accuracy is worth: beside chance and the commonest class, by class, and what to do next.

The numbers are of SCI fusion over all views of a video.
"""

import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fstcn_keras import fusion
from fstcn_keras.files import atomic_write_text
from fstcn_keras.rejection import Rejection, novelty
from training.statistics import LEAST_SOURCES, paired_difference, share_of

LISTED = 12  # classes whose measures are printed, at most
CONFUSIONS = 3
UNEQUAL = 3  # times as many training videos as the rarest class has
GAP = 0.25  # of training and test accuracy, from which on the training videos are known by heart


def judge(
    scores: np.ndarray,
    labels: np.ndarray,
    *,
    sources: Sequence[str],
    trained: Sequence[int],
    training: dict,
    pretrained: bool = False,
    baseline: np.ndarray | None = None,
    refusals: dict | None = None,
    fusions: dict[str, float] | None = None,
) -> dict:
    """Returns what is printed beside an accuracy, as `metrics.json` holds it.

    Args:
        scores: of the test videos, fused by SCI, `(V, N)`.
        labels: int `(V,)`.
        sources: that each test video was cut from, `V` names.
        trained: videos of each class that were trained on, N numbers.
        training: of `last_training`, may be empty.
        pretrained: whether training began with weights that were loaded.
        baseline: labels that the linear baseline gives the test videos, int `(V,)`.
        refusals: of the function of that name, if videos are refused.
        fusions: accuracy of each method of fusion on held-out videos, if there are scores of some.

    Returns:
        `"chance"`, 1 / N; `"commonest"`, the label of most training videos and the share of test
        videos that it is right for; `"interval"`, Wilson's, of the accuracy, by `"sources"`;
        `"per_class"`, precision, recall, F1 and support of each class, in the order of the labels
        (0 where there is nothing to divide by); `"confusions"`, true label, answer and number of
        videos of the most frequent; `"auc"` of the second of two classes, else `None`; `"trained"`,
        `"training"` and `"pretrained"` as given; `"baseline"`, its accuracy, the network's minus
        this as `"difference"`, and the paired interval of that, or `None`; `"refusals"` and
        `"fusions"` as given.
    """
    from sklearn.metrics import precision_recall_fscore_support, roc_auc_score  # takes a second

    num_classes = scores.shape[-1]
    answers = scores.argmax(axis=-1)
    interval = share_of(answers == labels, sources)
    measures = precision_recall_fscore_support(
        labels, answers, labels=range(num_classes), zero_division=0
    )
    commonest = int(np.argmax(trained))
    names = ("precision", "recall", "f1", "support")
    both_seen = num_classes == 2 and len({*labels.tolist()}) == 2
    return {
        "chance": 1 / num_classes,
        "commonest": {"label": commonest, "share": float(np.mean(labels == commonest))},
        "interval": [interval.low, interval.high],
        "sources": interval.sources,
        "per_class": [
            dict(zip(names, map(float, row), strict=True)) for row in zip(*measures, strict=True)
        ],
        "confusions": _confusions(labels, answers, num_classes),
        "auc": float(roc_auc_score(labels, second_class(scores))) if both_seen else None,
        "trained": [int(number) for number in trained],
        "training": training,
        "pretrained": pretrained,
        "baseline": None
        if baseline is None
        else beside_baseline(answers == labels, baseline == labels, sources),
        "refusals": refusals,
        "fusions": fusions,
    }


def beside_baseline(right: np.ndarray, baseline: np.ndarray, sources: Sequence[str]) -> dict:
    """Compares the network with the linear baseline, on the same videos.

    Args:
        right: bool `(V,)`, whether the network has each video right.
        baseline: bool `(V,)`, whether the baseline has.
        sources: that each video was cut from, `V` names.

    Returns:
        `"baseline"` as in `judge`.
    """
    found = paired_difference(baseline, right, sources, seed=0)
    return {
        "top1": float(np.mean(baseline)),
        "difference": found.difference,
        "interval": [found.low, found.high],
    }


def refusals(
    rejection: Rejection,
    scores: np.ndarray,
    energy: np.ndarray,
    labels: np.ndarray,
    *,
    sources: Sequence[str],
) -> dict:
    """Returns how many test videos are refused as none of the classes, though they are.

    Args:
        rejection: from when on a video is refused.
        scores: of the videos, fused by SCI, `(V, N)`.
        energy: `(V, M, C)`.
        labels: int `(V,)`.
        sources: that each video was cut from, `V` names.

    Returns:
        The attributes of the rejection; the share `"refused"` and Wilson's `"interval"`, by
        sources; the accuracy on those `"kept"`, `None` if there are none.
    """
    refused = rejection.rejects(novelty(energy))
    found, right = share_of(refused, sources), scores.argmax(axis=-1) == labels
    return {
        **rejection.settings(),
        "refused": found.share,
        "interval": [found.low, found.high],
        "kept": None if refused.all() else float(np.mean(right[~refused])),
    }


def second_class(fused: np.ndarray) -> np.ndarray:
    """Returns the share of the second of two classes in fused scores `(V, 2)`, float64 `(V,)`."""
    return fused[:, 1] / np.maximum(fused.sum(axis=1), np.finfo(float).tiny)


def last_training(history: Path) -> dict:
    """Returns the epoch whose network was kept, from `history.csv`.

    Returns:
        `"epoch"`, from 1, of `"epochs"`; `"top1"` of the samples trained on, and `"val_top1"` of
        held-out videos or `None`. Empty if the file does not tell.
    """
    try:
        with history.open(newline="") as file:
            rows = list(csv.DictReader(file))
        rows = [row for row in rows if row["stage"] == rows[-1]["stage"]]
        kept = rows[-1]
        if kept.get("val_top1"):
            kept = max(rows, key=lambda row: (float(row["val_top1"]), int(row["epoch"])))
        return {
            "epoch": int(kept["epoch"]) + 1,
            "epochs": len(rows),
            "top1": float(kept["top1"]),
            "val_top1": float(kept["val_top1"]) if kept.get("val_top1") else None,
        }
    except (OSError, LookupError, ValueError):
        return {}


def baseline_answers(file: Path, paths: Sequence[str], protocol: Mapping) -> np.ndarray | None:
    """Returns the linear baseline's labels of videos, int `(V,)`.

    Args:
        file: `baseline.json` of `baseline.write_baseline`.
        paths: of the videos.
        protocol: by which the network has answered.

    Returns:
        `None` where there is no baseline, it has not answered for all of them, or it has seen
        other clips than the network.
    """
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        baseline = json.loads(file.read_text())
        answers, clips = baseline["answers"], baseline.get("num_clips", protocol["num_clips"])
        if protocol.get("views") != "encoded" and clips == protocol["num_clips"]:
            return np.array([answers[path] for path in paths], int)
    return None


def covers_all(low: float, high: float) -> bool:
    """Returns whether the interval holds every possible difference, as with too few sources.

    Example:
        >>> covers_all(-1.0, 1.0)
        True
    """
    return (low, high) == (-1, 1)


def interval_text(low: float, high: float) -> str:
    """Returns the interval of a difference, in points, and why if it is all there is.

    Example:
        >>> interval_text(-0.011, 0.193)
        '-1.1 to +19.3'
        >>> interval_text(-1.0, 1.0)
        '-100.0 to +100.0 (so few sources tell nothing)'
    """
    why = " (so few sources tell nothing)" if covers_all(low, high) else ""
    return f"{100 * low:+.1f} to {100 * high:+.1f}{why}"


def sources_text(interval: Sequence[float], sources: int) -> str:
    """Returns the interval of an accuracy, and of how many sources it is.

    Example:
        >>> sources_text([0.8, 0.968], 10)
        '95 % interval 80.0% to 96.8%, by 10 sources'
    """
    low, high = interval
    plural = "s" if sources > 1 else ""
    return f"95 % interval {low:.1%} to {high:.1%}, by {sources} source{plural}"


def always_text(judgement: Mapping, classes: Sequence[str], *, end: str = "") -> str:
    """Names the answer that needs no video, and why it is this one, where the training tells.

    Args:
        judgement: of `judge`.
        classes: names in the order of the labels.
        end: what follows the reason.
    """
    trained, name = judgement["trained"], classes[judgement["commonest"]["label"]]
    alone = trained.count(max(trained)) == 1
    return f"always {name}" + (f", most frequent in training{end}" if alone else "")


def baseline_text(beside: Mapping) -> str:
    """Returns how far the network is above the baseline, in words.

    Args:
        beside: `"baseline"` of `judge`.
    """
    return (
        f"the network minus this {100 * beside['difference']:+.1f} points, 95 % interval "
        f"{interval_text(*beside['interval'])}"
    )


def baseline_line(beside: Mapping) -> str:
    """Returns the baseline's accuracy and how far the network is above it, as `baseline_text`."""
    return (
        f"linear classifier of the pre-trained features {beside['top1']:.1%}: "
        f"{baseline_text(beside)}"
    )


def describe(judgement: dict, classes: Sequence[str], *, accuracy: float) -> list[str]:
    """Returns the lines that are printed below the accuracies.

    Args:
        judgement: of `judge`.
        classes: names in the order of the labels.
        accuracy: top-1 by SCI fusion.
    """
    lines = [
        f"SCI fusion {accuracy:.1%}: {sources_text(judgement['interval'], judgement['sources'])}; "
        f"chance {judgement['chance']:.1%}; {always_text(judgement, classes, end=',')} "
        f"{judgement['commonest']['share']:.1%}"
    ]
    if beside := judgement["baseline"]:
        lines.append(baseline_line(beside))
    if judgement["auc"] is not None:
        lines.append(f"area under the ROC curve (of {classes[1]}): {judgement['auc']:.3f}")
    if training := judgement["training"]:
        why = "no videos are held out, so the last is kept"
        if training["val_top1"] is not None:
            why = f"kept as the best of the held-out videos, {training['val_top1']:.1%}"
        lines.append(
            f"training samples {training['top1']:.1%} in epoch {training['epoch']} of "
            f"{training['epochs']}: {why}"
        )
    if found := judgement.get("refusals"):  # older runs do not tell
        low, high = (f"{value:.1%}" for value in found["interval"])
        kept = "none is kept"
        if found["kept"] is not None:
            kept = f"those kept are right to {found['kept']:.1%}"
        lines.append(
            f"refused as none of the classes: {found['refused']:.1%} of the test videos, 95 % "
            f"interval {low} to {high}, where {found['share']:.1%} was asked for; {kept}"
        )
    if fusions := judgement.get("fusions"):
        lines.append(f"best fusion on the held-out videos: {fusion.ranking(fusions)}")
    lines += _class_lines(judgement["per_class"], classes)
    if judgement["confusions"]:
        most = (
            f"{classes[truth]} taken for {classes[answer]} {count} of "
            f"{judgement['per_class'][truth]['support']:.0f}"
            for truth, answer, count in judgement["confusions"]
        )
        lines.append(f"most confused: {'; '.join(most)}")
    return lines + [f"advice: {text}" for text in advice(judgement, classes, accuracy=accuracy)]


def baseline_advice(beside: Mapping) -> list[str]:
    """Returns what to try where the baseline is better, a sentence or none.

    Args:
        beside: `"baseline"` of `judge`. Of fewer than `LEAST_SOURCES` it advises nothing.
    """
    if beside["difference"] >= 0 or covers_all(*beside["interval"]):
        return []
    found = "worse" if beside["interval"][1] < 0 else "no better"
    return [
        f"the network is {found} than the linear classifier of its features: so few videos gain "
        "nothing by more trained layers; try fewer, the head alone (--encoded-views), or more "
        "videos"
    ]


def advice(judgement: dict, classes: Sequence[str], *, accuracy: float) -> list[str]:
    """Returns what to try, a sentence for each pattern that the numbers show.

    Args:
        judgement: of `judge`.
        classes: names in the order of the labels.
        accuracy: top-1 by SCI fusion.
    """
    found, training = [], judgement["training"]
    beaten = max(judgement["chance"], judgement["commonest"]["share"])
    learned = training.get("top1")  # None of a history that does not tell
    tells = judgement["sources"] >= LEAST_SOURCES  # of a fold of one any interval is wide
    if accuracy <= beaten or (tells and judgement["interval"][0] <= beaten):
        text = "test videos are recognised no better than by chance or the most frequent class"
        if learned is not None and learned < min(2 * beaten, 0.9):
            text += ", and training videos hardly better: more --epochs or another --learning-rate"
        found.append(text)
    if learned is not None and learned - accuracy > GAP:
        text = (
            f"training samples are right to {learned:.0%}, test videos to {accuracy:.0%}: the "
            "network knows its training videos by heart; more videos from more sources help most"
        )
        if not judgement.get("pretrained", True):  # older runs do not tell
            text += ", and weights to begin with: --preset lite --scl-weights imagenet"
        found.append(text)
    if beside := judgement["baseline"]:
        if learned is not None and learned < beside["top1"] and beside["difference"] < 0:
            found.append(
                f"training samples are right to {learned:.0%}, fewer than the test videos by the "
                f"linear classifier, {beside['top1']:.0%}: more --epochs"
            )
        else:
            found += baseline_advice(beside)
    counts = [number for number in judgement["trained"] if number]
    if counts and max(counts) >= UNEQUAL * min(counts):
        rarest = judgement["trained"].index(min(counts))
        found.append(
            f"{classes[judgement['commonest']['label']]} has {max(counts)} training videos, "
            f"{classes[rarest]} {min(counts)}: try --class-weights balanced"
        )
    return found


def write_classes(judgement: dict, classes: Sequence[str], file: Path):
    """Writes the measures of every class as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["class", "training videos", "test videos", "precision", "recall", "f1"])
    for name, trained, row in zip(
        classes, judgement["trained"], judgement["per_class"], strict=True
    ):
        shares = (f"{row[key]:.4f}" for key in ("precision", "recall", "f1"))
        writer.writerow([name, trained, f"{row['support']:.0f}", *shares])
    atomic_write_text(file, text.getvalue())


def _class_lines(per_class: Sequence[dict], classes: Sequence[str]) -> list[str]:
    """A table of the classes; of many, those with the least F1."""
    tested = [label for label, row in enumerate(per_class) if row["support"]]
    shown, title = tested, "class"
    if len(tested) > LISTED:
        worst = sorted(tested, key=lambda label: per_class[label]["f1"])[:LISTED]
        shown, title = worst, f"the {LISTED} least recognised of {len(tested)}"
    width = max(34, *(len(classes[label]) + 4 for label in shown))
    lines = [f"{title:{width}}precision  recall      F1  test videos"]
    for label in shown:
        row = per_class[label]
        lines.append(
            f"  {classes[label]:{width - 2}}{row['precision']:9.1%} {row['recall']:7.1%} "
            f"{row['f1']:7.1%} {row['support']:12.0f}"
        )
    return lines


def _confusions(labels: np.ndarray, answers: np.ndarray, num_classes: int) -> list[list[int]]:
    """The most frequent wrong answers: true label, answer, number of videos."""
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (labels, answers), 1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:CONFUSIONS]
    places = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [[int(t), int(a), int(counts[t, a])] for t, a in places if counts[t, a]]

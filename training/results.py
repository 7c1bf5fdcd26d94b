"""What follows from the scores of the test videos, in the files of the run folder."""

import json
from collections.abc import Sequence

import numpy as np

from fstcn_keras.files import atomic_write, atomic_write_text
from fstcn_keras.rejection import Rejection
from fstcn_keras.runs import RunFolder
from training import judgement
from training.data.collections import Dataset, Video
from training.partial_scores import read_scored
from training.scores import Fused, all_accuracies, all_fused, views_text


def write_results(
    run: RunFolder,
    dataset: Dataset,
    videos: Sequence[Video],
    scores: np.ndarray,
    protocol: dict,
    *,
    fused: Fused,
    energy: np.ndarray,
    rejection: Rejection | None = None,
):
    """Writes the scores, and what follows from them, into the run folder.

    Args:
        run: the folder.
        dataset: of the videos.
        videos: the test videos.
        scores: class probabilities of all their views, `(V, M, C, N)`.
        protocol: what was scored, and how.
        fused: the scores, by `all_fused`.
        energy: of all views, `(V, M, C)`.
        rejection: from when on a video is refused, if one may be.
    """
    labels = np.array([video.label for video in videos])
    paths = np.array([video.path for video in videos])
    groups = np.array([video.group for video in videos])
    run.metrics.unlink(missing_ok=True)  # it is of the scores that were
    with atomic_write(run.scores) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file, scores=scores, labels=labels, paths=paths, groups=groups, energy=energy
        )
    by_sci = fused["video"]["sci"]
    learned = {*json.loads(run.training_videos.read_text())["train"]}
    trained = [video.label for video in dataset.videos if video.path in learned]
    judged = judgement.judge(
        by_sci,
        labels,
        sources=groups,
        trained=np.bincount(trained, minlength=len(dataset.classes)),
        training=judgement.last_training(run.history),
        pretrained=run.weights_report("fstcn").exists(),
        baseline=judgement.baseline_answers(run.baseline, paths.tolist(), protocol),
        fusions=_held_out_fusions(run, dataset),
        refusals=None
        if rejection is None
        else judgement.refusals(rejection, by_sci, energy, labels, sources=groups),
    )
    judgement.write_classes(judged, dataset.classes, run.class_measures)
    caption = f"{dataset.name} {dataset.part}: {len(videos)} test videos, {views_text(protocol)}"
    _draw(run, by_sci, labels, dataset.classes, caption=caption, roc=judged["auc"] is not None)
    accuracies = all_accuracies(fused, labels, rejected=protocol["rejected"])
    metrics = {
        "video": accuracies["video"],
        "clip": accuracies["clip"]["sci"],
        "classes": list(dataset.classes),
        "judgement": judged,
        "protocol": protocol,
    }
    atomic_write_text(run.metrics, json.dumps(metrics, indent=1))


def _draw(
    run: RunFolder,
    scores: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    caption: str,
    roc: bool,
):
    """Draws what is taken for what, and of two classes the ROC curve."""
    from training import figures  # Matplotlib takes long to import: not for who predicts

    answers = scores.argmax(axis=-1)
    confusion = figures.draw_confusion(labels, answers, classes, caption=f"{caption}, SCI fusion")
    figures.save_figure(confusion, run.confusion)
    if roc:
        curve = figures.draw_roc(scores, labels, classes, caption=caption)
        figures.save_figure(curve, run.roc)


def _held_out_fusions(run: RunFolder, dataset: Dataset) -> dict[str, float] | None:
    """Returns the accuracy of each method of fusion on the run's held-out videos.

    Returns:
        `None` unless they were scored, for `--reject-at`, and all are still there.
    """
    scores = read_scored(run.held_out_scores)
    known = {video.path: video.label for video in dataset.videos}
    if not scores or not scores.keys() <= known.keys():
        return None
    views = np.stack([*scores.values()])[..., :-1]  # without the energy
    found = all_accuracies(all_fused(views), np.array([known[path] for path in scores]))
    return {method: row["top1"] for method, row in found["video"].items()}

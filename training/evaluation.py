"""The official protocol: M clips x 18 crops of every test video, fused (section 2.4)."""

import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fstcn_keras import fusion
from fstcn_keras.runs import RunFolder
from fstcn_keras.video.frames import view_frames
from fstcn_keras.views.plan import ViewPlan
from training import judgement, on_cluster
from training.data.collections import Dataset, Video
from training.data.preparation import write_rejected
from training.data.splits import decodable
from training.data.store import FrameStore, StoredVideo
from training.errors import UserError
from training.examples import write_examples
from training.leakage import check_leakage, file_hashes
from training.networks import check_network_classes, load_classifier, weights_sha256
from training.partial_scores import scored
from training.results import write_results
from training.scores import absent_text, all_fused, damaged, protocol_part, views_text

if TYPE_CHECKING:
    from fstcn_keras import FSTCN, ActionClassifier


def report_rejected(store: FrameStore, run: RunFolder):
    """Says what could not be decoded, or not wholly; the list goes to the run's `rejected.csv`."""
    write_rejected(run.rejected, store.videos.values())
    flagged = [stored for stored in store.videos.values() if stored.reason]
    rejected = sum(stored.num_frames == 0 for stored in flagged)
    if flagged:
        print(
            f"{rejected} videos could not be decoded, {len(flagged) - rejected} only in part: "
            f"see {run.rejected}"
        )


def check_test_videos(dataset: Dataset, store: FrameStore, run: RunFolder) -> list[Video]:
    """Returns the test videos that can be decoded.

    Raises:
        UserError: if there is none, or the run was trained on one of them.
    """
    listed, missing = dataset.side("test"), _missing(dataset)
    if not listed and not missing:
        raise UserError(
            f"{dataset.root}: {dataset.part} has no test video: either its lists name none, "
            "or each class has one video, or videos that look alike or are of one source. Name "
            "the test videos yourself with --splits-dir, the sources with --groups, or let "
            "look-alikes be on both sides with --ignore-look-alikes"
        )
    check_leakage(run, listed, file_hashes(store))
    videos = decodable(listed, store)
    if not videos:
        raise UserError(
            f"{dataset.root}: none of {len(listed)} test videos of {dataset.part} can be "
            f"decoded, {missing} listed files are missing; there is nothing to judge "
            "a network by"
        )
    return videos


def evaluate(
    run: RunFolder,
    dataset: Dataset,
    store: FrameStore,
    *,
    mode: str | None = None,
    num_clips: int | None = None,
):
    """Scores every test video of the split and writes the results into the run folder.

    Args:
        run: the folder.
        dataset: whose test videos are scored.
        store: where their frames are.
        mode: how crops are scored, as for `ActionClassifier.load`.
        num_clips: the same.

    Raises:
        UserError: if there is no usable test video, or the classes are not the network's.
    """
    classifier = load_classifier(run, mode=mode, num_clips=num_clips)
    check_network_classes(classifier, dataset)
    videos = check_test_videos(dataset, store, run)
    print(f"scoring {len(videos)} test videos{_instead(run, classifier.plan)}", flush=True)
    paths = [video.path for video in videos]
    scores, energy = score_videos(classifier, store, paths, run=run, file=run.partial_scores)
    fused = all_fused(scores)
    write_examples(run, dataset, videos, fused["video"]["sci"])
    protocol = _protocol(classifier, dataset, scores)
    rejection = classifier.rejection
    write_results(
        run,
        dataset,
        videos,
        scores,
        protocol,
        fused=fused,
        energy=energy,
        rejection=rejection,
    )
    run.partial_scores.unlink(missing_ok=True)


def evaluate_encoded(
    run: RunFolder,
    dataset: Dataset,
    store: FrameStore,
    *,
    num_views: int,
    scales: Sequence[float],
):
    """Scores views of the test videos that the run's encoders encode once for all their heads.

    They are drawn as in training, and the centre: a protocol of its own, which compares heads in
    seconds (`training.tune`).

    Args:
        run: the folder.
        dataset: whose test videos are scored.
        store: where their frames are.
        num_views: views of a video besides its centre.
        scales: sides of the crops, as of `TrainingSampler`.

    Raises:
        UserError: as `evaluate` does, and `encode_views`.
    """
    classifier = load_classifier(run)
    check_network_classes(classifier, dataset)
    videos = check_test_videos(dataset, store, run)
    model = classifier.model
    scores, energy = score_encoded(model, store, videos, num_views=num_views, scales=scales)
    protocol = _protocol(classifier, dataset, scores) | {"views": "encoded"}
    write_results(run, dataset, videos, scores, protocol, fused=all_fused(scores), energy=energy)


def score_encoded(
    model: "FSTCN",
    store: FrameStore,
    videos: Sequence[Video],
    *,
    num_views: int,
    scales: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the same of encoded views as `score_videos` does of those of predictions.

    Args:
        model: a trained network.
        store: the decoded frames.
        videos: what is scored.
        num_views: views of a video besides its centre.
        scales: sides of the crops, as of `TrainingSampler`.

    Returns:
        float64 `(V, 1, num_views + 1, N)` and `(V, 1, num_views + 1)`; the centre at
        `fusion.center_crop`.
    """
    from fstcn_keras.parts import after_pooling  # imports Keras, as do the others
    from fstcn_keras.views.scoring import ENERGY, PROBABILITIES, with_probabilities
    from training.data.encoded_views import encode_views

    views = encode_views(model, store, videos, num_views=num_views, scales=scales)
    head = after_pooling(model.head)
    found = []
    for video in videos:
        encoded = views.read_all(store.videos[video.path])
        maps = {name: part.astype("float32") for name, part in encoded.items()}
        found.append(with_probabilities(head.predict_on_batch(maps)))
    order = np.arange(num_views)  # of the views, the centre where that of crops is
    order = np.insert(order, fusion.center_crop(num_views + 1), num_views)
    scores, energy = (np.stack([one[n] for one in found]) for n in (PROBABILITIES, ENERGY))
    return scores[:, None, order], energy[:, None, order]


def _protocol(classifier: "ActionClassifier", dataset: Dataset, scores: np.ndarray) -> dict:
    """Returns what was scored, and how; scores are `(V, M, C, N)`."""
    num_videos, num_clips, num_crops, _ = scores.shape
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "fold": dataset.fold,
        "folds": dataset.folds,
        "num_classes": len(dataset.classes),
        "absent_classes": list(dataset.absent_classes),
        "num_clips": num_clips,
        "num_crops": num_crops,
        "videos": num_videos,
        "missing": _missing(dataset),
        "rejected": len(dataset.side("test")) - num_videos,
        "views": classifier.plan.mode,
        **({} if classifier.plan.fps is None else {"fps": classifier.plan.fps}),
        "precision": classifier.model.dtype_policy.name,
        "weights_sha256": weights_sha256(classifier),
    }


def _missing(dataset: Dataset) -> int:
    """Returns how many listed test videos are not there."""
    return sum(video.side == "test" for video in dataset.missing)


def _instead(run: RunFolder, plan: ViewPlan) -> str:
    """Returns a remark naming the views of the results that are replaced, if they differ."""
    try:
        protocol = json.loads(run.metrics.read_text())["protocol"]
        before, views = (protocol["views"], protocol["num_clips"]), views_text(protocol)
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    same = before == (plan.mode, plan.num_clips)
    return "" if same else f"; the results replace those of {views}"


def score_videos(
    classifier: "ActionClassifier",
    store: FrameStore,
    paths: Sequence[str],
    *,
    run: RunFolder | None = None,
    file: Path,
    description: str = "scoring test videos",
    keep: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the class probabilities of all views of stored videos, and their energy.

    Args:
        classifier: what scores.
        store: the decoded frames.
        paths: of the videos.
        run: where the classifier is from, so that the processes of a cluster may load it.
        file: what is done, see `partial_scores.scored`.
        description: what is going on, for people.
        keep: whether the file is to hold all scores in the end.

    Returns:
        float64 `(V, M, C, N)` and `(V, M, C)`; the energy is NaN of a network without logits.
    """
    score = functools.partial(_views_of, classifier, store.folder, store.encoding)
    if run is not None and on_cluster.is_connected():
        folders = run.path.absolute(), store.folder.absolute()
        make = functools.partial(_scorer, *folders, store.encoding, classifier.plan)
        score = functools.partial(on_cluster.spread, make, shared=(run.model, store.folder))
    views = scored(
        paths,
        lambda left: score([store.videos[path] for path in left]),
        file=file,
        key=f"{weights_sha256(classifier)} {classifier.plan} with energy",
        description=description,
        versions={path: store.videos[path].source_sha256 for path in paths},
        keep=keep,
    )
    return views[..., :-1], views[..., -1]


def _scorer(run: Path, folder: Path, encoding: str, plan: ViewPlan) -> on_cluster.Work:
    """Loads the network in a process of a cluster."""
    classifier = load_classifier(RunFolder(run), mode=plan.mode, num_clips=plan.num_clips)
    return functools.partial(_views_of, classifier, folder, encoding)


def _views_of(
    classifier: "ActionClassifier", folder: Path, encoding: str, videos: Sequence[StoredVideo]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields each path with the probabilities and the energy of all views."""
    for stored in videos:
        store = FrameStore(folder, {stored.path: stored}, encoding=encoding)
        video = view_frames(store.reader(stored.path), classifier.plan)
        found = classifier.score_clips(video.frames, video.positions)
        probabilities = found["probabilities"]
        energy = found.get("energy", np.full(probabilities.shape[:-1], np.nan))
        yield stored.path, np.concatenate([probabilities, energy[..., None]], axis=-1)


def print_metrics(run: RunFolder):
    """Prints the run's accuracies with their protocol, as a table."""
    try:
        metrics = json.loads(run.metrics.read_text())
        protocol = metrics["protocol"]
        lines = [
            f"{protocol['dataset']} {protocol_part(protocol)}: {protocol['videos']} test videos of "
            f"{protocol['num_classes']} classes ({protocol['missing']} listed but missing, "
            f"{protocol['rejected']} could not be decoded), {views_text(protocol)}",
            f"{'':34}top-1   top-5   mean class",
        ]
        measures = ["top1", "top5", "mean_class"]
        if protocol["num_classes"] < 6:  # the best five of which are all, or nearly so
            measures.remove("top5")
            lines[-1] = lines[-1].replace("top-5   ", "")
        if protocol["rejected"] and "top1_all" in metrics["clip"]:  # older runs do not tell
            measures.append("top1_all")
            lines[-1] += f"   top-1 of all {protocol['videos'] + protocol['rejected']}"
        rows = {f"video, {fusion.LABELS[name]}": row for name, row in metrics["video"].items()}
        for name, row in {**rows, "clip, SCI over its crops": metrics["clip"]}.items():
            shares = " ".join(f"{row[measure]:7.1%}" for measure in measures)
            lines.append(f"  {name:30}{shares}")
        if "judgement" in metrics:  # older runs are without it
            lines += judgement.describe(
                metrics["judgement"],
                metrics["classes"],
                accuracy=metrics["video"]["sci"]["top1"],
            )
        lines += absent_text(protocol)
    except (ValueError, LookupError, TypeError) as error:
        raise damaged(run, error) from error
    print(*lines, f"results in {run}", sep="\n")

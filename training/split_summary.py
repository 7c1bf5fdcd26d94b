"""Accuracies over splits or folds: each, their mean and deviation, and of folds all videos'.

The interval, and the paired difference to the linear baseline, are of the answers of all parts
together: one part alone has often too few sources for either.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from fstcn_keras import fusion
from fstcn_keras.files import atomic_write_text
from training import judgement
from training.errors import UserError
from training.options import FitOptions
from training.scores import (
    Accuracies,
    RunResult,
    absent_text,
    all_accuracies,
    all_fused,
    check_same_protocol,
    read_result,
    read_scores,
    views_text,
)
from training.statistics import share_of

SHOWN = 10  # folds, side by side
ROWS = {
    "video, SCI fusion": ("video", "sci"),
    "video, averaging": ("video", "average"),
    "video, one clip, centre crop": ("video", "single"),
    "clip, SCI over its crops": ("clip", "sci"),
    "clip, averaging its crops": ("clip", "average"),
}
WHOLE = {"mean": "mean", "std": "deviation", "pooled": "all videos"}  # of all parts: headings
BESIDE = {
    "chance": lambda judgement: judgement["chance"],
    "most frequent class in training": lambda judgement: judgement["commonest"]["share"],
    "linear classifier of features": lambda judgement: judgement["baseline"]["top1"],
}


def summarise(options: FitOptions):
    """Writes `splits.json` for the runs of `--split all` or `--fold all`, and prints it.

    Raises:
        UserError: if one of the runs is not finished, they are not of the same classes, or a video
            is a test video of two folds.
    """
    folder, folds = options.run_folder(), options.collection.folds
    results = [read_result(each.run_folder()) for each in options.each_split()]
    summary = over_splits(results) if folds is None else over_folds(results)
    summary["beside"] = beside(results, pooled=folds is not None)
    summary["judgement"] = judged_together(results)
    atomic_write_text(folder.summary, json.dumps(summary, indent=1))
    protocol = results[0].protocol
    videos = np.array([result.protocol["videos"] for result in results])
    rejected = np.array([result.protocol["rejected"] for result in results])

    def counts(numbers: np.ndarray) -> str:
        return " + ".join(map(str, numbers)) if folds is None else f"{numbers.sum()}"

    print(
        f"{protocol['dataset']}, {'all splits' if folds is None else f'{folds} folds'}: "
        f"{counts(videos)} test videos of {protocol['num_classes']} classes, "
        f"{views_text(protocol)}"
    )
    _print_table(results if len(results) <= SHOWN else [], summary, rejected=rejected.any())
    if rejected.any():
        print(
            f"all {counts(videos + rejected)}: with {counts(rejected)} that could not be decoded, "
            "as errors"
        )
    if folds is not None:
        shares = {name: row["top1"] for name, row in summary["pooled"]["video"].items()}
        print(f"best fusion, each video by the fold that has not seen it: {fusion.ranking(shares)}")
    _print_judgement(summary["judgement"], "videos" if folds else "answers of all splits")
    print(*absent_text(protocol), f"results in {folder.summary}", sep="\n")


def _print_table(results: Sequence[RunResult], summary: dict, *, rejected: bool):
    titles = [result.part.split(" of ")[0] for result in results]
    titles += [title for key, title in WHOLE.items() if key in summary]
    widths = [max(9, len(title) + 2) for title in titles]
    print(f"{'top-1':34}", *map(str.rjust, titles, widths), sep="")
    whole = [summary[key] for key in WHOLE if key in summary]
    rows = {name: (*key, "top1") for name, key in ROWS.items()}
    if rejected:
        rows["video, SCI fusion, of all"] = ("video", "sci", "top1_all")
    for name, (level, method, measure) in rows.items():
        tables = [*(result.accuracies for result in results), *whole]
        cells = [f"{table[level][method][measure]:.1%}" for table in tables]
        print(f"  {name:32}", *map(str.rjust, cells, widths), sep="")
    for name, found in summary["beside"].items():
        values = [*found["parts"][: len(results)], *(found[key] for key in WHOLE if key in found)]
        print(f"  {name:32}", *map(str.rjust, map("{:.1%}".format, values), widths), sep="")


def beside(results: Sequence[RunResult], *, pooled: bool) -> dict[str, dict]:
    """Returns what the accuracies stand beside: chance, the commonest class, the linear baseline.

    Args:
        results: of splits or folds.
        pooled: whether all videos together count, too.

    Returns:
        By name, of those that all runs tell: `"parts"`, a share for each run, their `"mean"` and,
        of two or more, `"std"`, and if wanted `"pooled"`, the share of all videos.
    """
    judgements = [json.loads(r.run.metrics.read_text()).get("judgement") or {} for r in results]
    videos = [result.protocol["videos"] for result in results]
    found = {}
    for name, share in BESIDE.items():
        try:
            parts = [float(share(judgement)) for judgement in judgements]
        except (LookupError, TypeError):  # there is no baseline, or a run is of an older version
            continue
        found[name] = {"parts": parts, "mean": float(np.mean(parts))}
        if len(parts) > 1:
            found[name]["std"] = deviation(parts)
        if pooled:
            found[name]["pooled"] = float(np.average(parts, weights=videos))
    return found


def judged_together(results: Sequence[RunResult]) -> dict:
    """Returns what the answers of all parts together are worth, by SCI fusion.

    Videos of one source count together even where they are test videos of several splits.

    Returns:
        `"videos"`, the number of answers; `"top1"`, the share of right ones; its `"interval"`, by
        `"sources"`, and `"baseline"`, all as `judgement.judge` gives them of one part; no baseline
        unless every part has one.
    """
    right, baseline, sources = [], [], []
    for result in results:
        scores = read_scores(result.run)
        answers = fusion.fuse(scores.scores, "sci").argmax(axis=-1)
        linear = judgement.baseline_answers(result.run.baseline, scores.paths, result.protocol)
        right.append(answers == scores.labels)
        baseline.append(None if linear is None else linear == scores.labels)
        sources += scores.sources
    all_right = np.concatenate(right)
    share = share_of(all_right, sources)
    lacking = any(part is None for part in baseline)
    return {
        "videos": share.videos,
        "top1": share.share,
        "interval": [share.low, share.high],
        "sources": share.sources,
        "baseline": None
        if lacking
        else judgement.beside_baseline(all_right, np.concatenate(baseline), sources),
    }


def _print_judgement(judged: dict, of_what: str):
    interval = judgement.sources_text(judged["interval"], judged["sources"])
    print(f"SCI fusion {judged['top1']:.1%} of {judged['videos']} {of_what}: {interval}")
    if judged["baseline"]:
        print(judgement.baseline_line(judged["baseline"]))
        for text in judgement.baseline_advice(judged["baseline"]):
            print(f"advice: {text}")


def over_splits(results: Sequence[RunResult]) -> dict:
    """Returns accuracies and protocol of every split, their mean and their deviation.

    Args:
        results: of the splits that there are lists of.

    Returns:
        `{"splits": {"1": {"video", "clip", "protocol"}, ...}, "mean": {"video", "clip"},
        "std": {"video", "clip"}}`; `"video"` and `"clip"` as `scores.all_accuracies` gives them,
        `"std"` the sample standard deviation (the squares' sum divided by one less than the
        number of splits), which one split is without.

    Raises:
        UserError: if the runs are not of the same data set, classes and views.
    """
    return {"splits": {str(r.split): _entry(r) for r in results}, **_mean_and_deviation(results)}


def over_folds(results: Sequence[RunResult]) -> dict:
    """Returns the same of folds, as `"folds"`, and the accuracies over all videos, as `"pooled"`.

    Args:
        results: of two or more folds.

    Raises:
        UserError: as `over_splits` does, and if a video is a test video of two folds.
    """
    summary = {"folds": {str(r.protocol["fold"]): _entry(r) for r in results}}
    summary |= _mean_and_deviation(results)
    counts = Counter(path for result in results for path in result.class_names)
    if twice := sorted(path for path, count in counts.items() if count > 1):
        raise UserError(
            f"{len(twice)} videos are test videos of two folds, e.g. {twice[0]}: the folder or its "
            "groups have changed since the first fold; restore it, or train anew"
        )
    scores = [read_scores(result.run) for result in results]
    summary["pooled"] = all_accuracies(
        all_fused(np.concatenate([one.scores for one in scores])),
        np.concatenate([one.labels for one in scores]),
        rejected=sum(result.protocol["rejected"] for result in results),
    )
    return summary


def _entry(result: RunResult) -> dict:
    return {**result.accuracies, "protocol": result.protocol}


def _mean_and_deviation(results: Sequence[RunResult]) -> dict[str, Accuracies]:
    check_same_protocol(results)
    tables = [result.accuracies for result in results]
    found = {"mean": _combined(np.mean, tables)}
    return found if len(tables) == 1 else found | {"std": _combined(deviation, tables)}


def deviation(values: Sequence[float]) -> float:
    """Returns the sample standard deviation of two or more values."""
    return float(np.std(values, ddof=1))


def _combined(combine: Callable, tables: Sequence[Accuracies]) -> Accuracies:
    return {
        level: {
            method: {
                measure: float(combine([table[level][method][measure] for table in tables]))
                for measure in measures
            }
            for method, measures in methods.items()
        }
        for level, methods in tables[0].items()
    }

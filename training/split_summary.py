"""Accuracies over the official splits of a collection: each, their mean and their deviation."""

import json
from collections.abc import Sequence

import numpy as np

from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import SPLITS, RunFolder
from training.scores import RunResult, check_same_protocol, read_result, views_text

ROWS = {
    "video, SCI fusion": ("video", "sci"),
    "video, averaging": ("video", "average"),
    "video, one clip, centre crop": ("video", "single"),
    "clip, SCI over its crops": ("clip", "sci"),
    "clip, averaging its crops": ("clip", "average"),
    "clip, centre crop": ("clip", "single"),
}


def summarise(folder: RunFolder):
    """Writes `splits.json` for the runs of `--split all` in the folder, and prints it.

    Raises:
        UserError: if one of the runs is not finished, or they are not of the same classes.
    """
    results = [read_result(folder.split(split)) for split in SPLITS]
    summary = over_splits(results)
    atomic_write_text(folder.summary, json.dumps(summary, indent=1))
    videos = " + ".join(str(result.protocol["videos"]) for result in results)
    protocol = results[0].protocol
    print(
        f"{protocol['dataset']}, all splits: {videos} test videos of {protocol['num_classes']} "
        f"classes, {views_text(protocol)}"
    )
    titles = "".join(f"{f'split {result.split}':>9}" for result in results)
    print(f"{'top-1':32}{titles}{'mean':>9}{'deviation':>11}")
    for name, (level, method) in ROWS.items():
        each = [result.accuracies[level][method]["top1"] for result in results]
        cells = "".join(f"{value:9.1%}" for value in each)
        mean, std = (summary[key][level][method]["top1"] for key in ("mean", "std"))
        print(f"  {name:30}{cells}{mean:9.1%}{std:11.1%}")
    print(f"results in {folder.summary}")


def over_splits(results: Sequence[RunResult]) -> dict:
    """Returns accuracies and protocol of every split, their mean and their deviation.

    Args:
        results: of two or more splits.

    Returns:
        `{"splits": {"1": {"video", "clip", "protocol"}, ...}, "mean": {"video", "clip"},
        "std": {"video", "clip"}}`; `"video"` and `"clip"` as `scores.all_accuracies` gives them,
        `"std"` the sample standard deviation (the squares' sum divided by one less than the
        number of splits).

    Raises:
        UserError: if the runs are not of the same data set, classes and views.
    """
    check_same_protocol(results)
    tables = [result.accuracies for result in results]
    summary = {"splits": {str(r.split): {**r.accuracies, "protocol": r.protocol} for r in results}}
    for name, combine in (("mean", np.mean), ("std", deviation)):
        summary[name] = {}
        for level, method in ROWS.values():
            each = [table[level][method] for table in tables]
            summary[name].setdefault(level, {})[method] = {
                measure: float(combine([one[measure] for one in each])) for measure in each[0]
            }
    return summary


def deviation(values: Sequence[float]) -> float:
    """Returns the sample standard deviation of two or more values."""
    return float(np.std(values, ddof=1))

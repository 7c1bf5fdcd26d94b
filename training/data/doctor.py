"""The data doctor: what is in a collection, and what would make its figures wrong."""

import dataclasses
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from training.data.collections import Dataset
from training.data.store import MAX_DAMAGED, FrameStore

OUTLIER = 3.0  # times the median, or a third of it
SAME_RATE = 0.05  # relative difference that makes no other rate: 24 and 25 frames a second
SHOWN = 5
LINE = 200  # characters of an example


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Attributes:
        severity: `"error"` if it makes an accuracy wrong, `"warning"` if it may.
        text: what it is, with the count.
        examples: the videos, or groups of videos, concerned; all of them.
        remedy: what to do about it.
    """

    severity: str
    text: str
    examples: tuple[str, ...]
    remedy: str


@dataclass(frozen=True)
class Report:
    """Counts and findings of one split.

    Attributes:
        counts: number of videos by class name and side.
        findings: errors first.
    """

    counts: dict[str, dict[str, int]]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Returns whether there is no finding of severity error."""
        return all(finding.severity != "error" for finding in self.findings)

    def __str__(self) -> str:
        sides = ("train", "val", "test", "unused")
        lines = [f"{'class':32}" + "".join(f"{side:>8}" for side in sides)]
        for name, counts in self.counts.items():
            lines.append(f"{name:32}" + "".join(f"{counts.get(side, 0):8}" for side in sides))
        for finding in self.findings:
            lines.append(f"{finding.severity}: {finding.text}")
            lines += [f"    {_shortened(example)}" for example in finding.examples[:SHOWN]]
            if len(finding.examples) > SHOWN:
                lines.append(f"    ... and {len(finding.examples) - SHOWN} more")
        errors = sum(finding.severity == "error" for finding in self.findings)
        warnings = len(self.findings) - errors
        word = "healthy" if self.healthy else "not fit for an honest figure"
        lines.append(f"verdict: {word} ({errors} errors, {warnings} warnings)")
        lines += [f"to do: {remedy}" for remedy in dict.fromkeys(f.remedy for f in self.findings)]
        return "\n".join(lines)

    def to_json(self) -> dict:
        """Returns the same as plain data."""
        return {"healthy": self.healthy, **dataclasses.asdict(self)}


def examine(dataset: Dataset, store: FrameStore, more: Sequence[Finding] = ()) -> Report:
    """Looks for missing, undecodable, duplicate and unusual videos, and unequal classes.

    Videos on neither side are counted, and not looked at.

    Args:
        dataset: the split.
        store: its decoded frames.
        more: what others have found.
    """
    counts = {name: {} for name in dataset.classes}
    for video in dataset.videos:
        by_side = counts[dataset.classes[video.label]]
        by_side[video.side] = by_side.get(video.side, 0) + 1
    if unused := {video.path for video in dataset.side("unused")}:
        videos = {path: stored for path, stored in store.videos.items() if path not in unused}
        store = FrameStore(store.folder, videos, encoding=store.encoding)
    findings = [
        *_absent(dataset, store),
        *_duplicates(dataset, store),
        *_classes(counts),
        *_outliers(store),
        _rates(store),
        *more,
    ]
    found = [finding for finding in findings if finding.examples]
    return Report(counts, tuple(sorted(found, key=lambda finding: finding.severity)))


def _absent(dataset: Dataset, store: FrameStore) -> list[Finding]:
    sides = {video.path: video.side for video in dataset.videos}
    rejected = defaultdict(list)
    partial, damaged = [], []
    for path, stored in store.videos.items():
        if stored.num_frames == 0:
            rejected[sides[path]].append(f"{path!r}: {stored.reason}")
        elif sides[path] == "train" and not stored.is_trainable:
            damaged.append(f"{path!r}: {stored.reason}")
        elif stored.reason:
            partial.append(f"{path!r}: {stored.reason}")
    missing = defaultdict(list)
    for video in dataset.missing:
        missing[video.side].append(video.path)
    unlisted = (f"{dataset.unlisted} files",) if dataset.unlisted else ()
    repair = "copy damaged videos again from where they came, or name them to fit with --exclude"
    restore = "put missing videos back, or take them off the lists"
    return [
        _finding("error", "test videos cannot be decoded", rejected["test"], repair),
        _finding("error", "listed test videos are missing", missing["test"], restore),
        _finding(
            "warning",
            "training videos cannot be decoded",
            rejected["train"] + rejected["val"],
            repair,
        ),
        _finding(
            "warning",
            "listed training videos are missing",
            missing["train"] + missing["val"],
            restore,
        ),
        _finding(
            "warning",
            f"training videos are left out: over {MAX_DAMAGED:.0%} of their frames are damaged",
            damaged,
            repair,
        ),
        _finding("warning", "videos decode only in part, or to damaged frames", partial, repair),
        Finding(
            "warning",
            "video files that no list names",
            unlisted,
            "name the unlisted videos in the lists if they are to be used",
        ),
        _finding(
            "warning",
            "files of other kinds, loose or in nested folders",
            dataset.left_out,
            "move videos that lie loose into the folder of their class",
        ),
    ]


def _duplicates(dataset: Dataset, store: FrameStore) -> list[Finding]:
    usable = {path: stored for path, stored in store.videos.items() if stored.num_frames}
    same, alike = defaultdict(list), defaultdict(list)
    for path, stored in usable.items():
        same[stored.source_sha256].append(path)
        alike[store.look_alikes[path]].append(path)
    identical = [paths for paths in same.values() if len(paths) > 1]
    near = [paths for paths in alike.values() if len({usable[p].source_sha256 for p in paths}) > 1]
    sides = {video.path: video.side for video in dataset.videos}
    labels = {video.path: video.label for video in dataset.videos}
    apart = "keep copies on one side: name the sources with --groups, or leave some with --exclude"
    findings = []
    for kind, groups, severity in (
        ("identical", identical, "error"),
        ("near-duplicate", near, "warning"),
    ):
        across, chosen, within, several = [], [], [], []
        for paths in groups:
            if len({labels[path] for path in paths}) > 1:
                several.append("  =  ".join(sorted(paths)))
            on_sides = sorted({sides[path] for path in paths}, reverse=True)  # train, then test
            parts = [
                f"{side} {', '.join(path for path in sorted(paths) if sides[path] == side)}"
                for side in on_sides
            ]
            found = across if "test" in on_sides else chosen
            (within if len(parts) == 1 else found).append("  =  ".join(parts))
        findings += [
            _finding(
                "error", f"groups of {kind} videos ACROSS training and test", sorted(across), apart
            ),
            _finding(
                "warning", f"groups of {kind} videos across train and val", sorted(chosen), apart
            ),
            _finding(
                severity,
                f"groups of {kind} videos in SEVERAL CLASSES",
                sorted(several),
                "keep each video in the one class that it shows",
            ),
            _finding(
                "warning",
                f"groups of {kind} videos within one side",
                sorted(within),
                "leave copies out with --exclude: they count several times",
            ),
        ]
    return findings


def _classes(counts: dict[str, dict[str, int]]) -> list[Finding]:
    train = {name: by_side.get("train", 0) for name, by_side in counts.items()}
    largest = max(train, key=train.__getitem__)
    rare = [
        f"{name}: {number} training videos, {largest} has {train[largest]}"
        for name, number in train.items()
        if 0 < number * OUTLIER <= train[largest]
    ]
    empty = [
        f"{name}: no {side} video"
        for name, by_side in counts.items()
        for side in ("train", "test")
        if not by_side.get(side)
    ]
    return [
        _finding(
            "error",
            "classes lack training or test videos",
            empty,
            "add videos of other sources to classes that lack some, or leave these out with "
            "--classes",
        ),
        _finding(
            "warning",
            f"classes have at most 1/{OUTLIER:g} of the training videos of the largest",
            rare,
            "train with --class-weights balanced, as classes are unequal",
        ),
    ]


def _outliers(store: FrameStore) -> list[Finding]:
    usable = {path: stored for path, stored in store.videos.items() if stored.num_frames}
    findings = []
    for name, values in {
        "length in frames": {path: stored.num_frames for path, stored in usable.items()},
        "frames per second": {path: stored.fps for path, stored in usable.items()},
        "width to height": {path: stored.width / stored.height for path, stored in usable.items()},
    }.items():
        typical = statistics.median(values.values()) if values else 0
        odd = [
            f"{path}: {value:g}, the median is {typical:g}"
            for path, value in values.items()
            if value > OUTLIER * typical or value * OUTLIER < typical
        ]
        remedy = f"look at videos of unusual {name}: are they what their class is about?"
        findings.append(_finding("warning", f"videos of unusual {name}", odd, remedy))
    return findings


def _rates(store: FrameStore) -> Finding:
    """Finds videos whose frames span another time than most: `--fps` makes them alike."""
    rates = {path: stored.fps for path, stored in store.videos.items() if stored.fps}
    common = statistics.mode(round(rate, 2) for rate in rates.values()) if rates else 0
    others = [
        f"{path}: {rate:g}"
        for path, rate in rates.items()
        if abs(rate - common) > SAME_RATE * common
    ]
    return _finding(
        "warning",
        f"videos are not of {common:g} frames a second, as most are: actions are faster or slower "
        "in them",
        others,
        f"read all videos by time with --fps {common:g}",
    )


def _finding(severity: str, text: str, examples: Sequence[str], remedy: str) -> Finding:
    return Finding(severity, f"{len(examples)} {text}", tuple(examples), remedy)


def _shortened(text: str) -> str:
    return text if len(text) <= LINE else f"{text[: LINE // 2]} ... {text[-LINE // 2 :]}"

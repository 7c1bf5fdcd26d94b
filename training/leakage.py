"""Leakage from training into testing: which videos a run is trained on, and which it must not.

A run goes on with the videos that it began with, and is judged by others; those that its weights
have learned from before count as trained on. A folder of videos may grow between two commands,
and its split with it.
"""

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder
from training.data.collections import Dataset, Video
from training.data.preparation import sha256
from training.data.store import FrameStore
from training.errors import UserError
from training.options import FitOptions

SIDES = ("train", "held out")


@dataclass(frozen=True, kw_only=True)
class LearnedVideos:
    """Videos that weights have learned from.

    A video is known by the content of its file, wherever that lies; by its path where the content
    was not recorded.

    Attributes:
        sha256: hashes of files, hexadecimal.
        paths: of videos whose hashes are not known.
    """

    sha256: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    def __or__(self, other: "LearnedVideos") -> "LearnedVideos":
        return LearnedVideos(sha256=self.sha256 | other.sha256, paths=self.paths | other.paths)

    def among(self, videos: Iterable[Video], hashes: Mapping[str, str]) -> list[str]:
        """Returns the paths of those of the videos that were learned from.

        Args:
            videos: to look for.
            hashes: of their files, by path.
        """
        return sorted(
            v.path for v in videos if v.path in self.paths or hashes.get(v.path) in self.sha256
        )


def record_training_videos(
    run: RunFolder,
    *,
    train: Sequence[Video],
    held_out: Sequence[Video],
    hashes: Mapping[str, str] | None = None,
    before: LearnedVideos | None = None,
    root: Path | None = None,
):
    """Writes the videos into the run folder; once training has begun, compares them.

    Args:
        run: the folder.
        train: to train on.
        held_out: that choose the best epoch.
        hashes: of their files, by path.
        before: what the weights that the run starts from have learned from.
        root: folder that the videos' paths start from.

    Raises:
        UserError: if training has begun with other videos, or nobody knows with which.
    """
    videos = dict(zip(SIDES, (_paths(train), _paths(held_out)), strict=True))
    recorded = _recorded_videos(run)
    hashes, before = hashes or {}, before or LearnedVideos()
    if recorded and (changed := _changes(recorded, videos, hashes)):
        raise UserError(
            f"{run} was trained on other videos than there are now: {len(changed)} came, went, "
            f"changed sides or were replaced, e.g. {changed[0]}: restore them, or start anew with "
            "another --out"
        )
    own = {path for side in SIDES for path in videos[side]}
    record = {
        **videos,
        "root": None if root is None else str(root.resolve()),
        "sha256": {p: h for p, h in hashes.items() if p in own},
        "others": {p: h for p, h in hashes.items() if p not in own},
        "before": {"sha256": sorted(before.sha256), "paths": sorted(before.paths)},
    }
    atomic_write_text(run.training_videos, json.dumps(record, indent=1))


def changes_since(run: RunFolder, dataset: Dataset) -> str:
    """Says in one line how a collection differs from what it was when the run was trained.

    Args:
        run: finished.
        dataset: as it is listed now.

    Returns:
        Numbers of videos that were added, removed and replaced, each with an example; nothing if
        none was, or the run is of a version that does not tell.
    """
    recorded = _recorded_videos(run)
    if "others" not in recorded:
        return ""
    known = dict.fromkeys(path for side in SIDES for path in recorded[side])
    known |= recorded["sha256"] | recorded["others"]
    files = {v.path: dataset.root / v.path for v in dataset.videos if v.side != "unused"}
    files = {path: file for path, file in files.items() if file.is_file()}
    replaced = [p for p in files.keys() & known.keys() if known[p] not in (None, _hash(files[p]))]
    found = {
        "added": files.keys() - known.keys(),
        "removed": known.keys() - files.keys(),
        "replaced": replaced,
    }
    return ", ".join(
        f"{len(paths)} {how} (e.g. {min(paths)})" for how, paths in found.items() if paths
    )


def check_leakage(run: RunFolder, videos: Iterable[Video], hashes: Mapping[str, str] | None = None):
    """Makes sure that none of the videos was there in training, or before.

    One that was trained on may lie elsewhere by now: its content tells. Copies of training videos
    that the split had on its other side when training began, as official lists may, are no change.

    Args:
        run: the folder.
        videos: by which it is to be judged.
        hashes: of their files, by path.

    Raises:
        UserError: if one was, or nobody knows.
    """
    videos, recorded = list(videos), _recorded_videos(run)
    hashes = hashes or {}
    others = recorded.get("others", hashes)  # older runs do not tell: by their paths alone
    own = LearnedVideos(
        sha256=frozenset(recorded.get("sha256", {}).values()),
        paths=frozenset(path for side in SIDES for path in recorded.get(side, ())),
    )
    changed = {path: digest for path, digest in hashes.items() if others.get(path) != digest}
    known, how = own.among(videos, changed), "was trained on"
    if not known:
        known, how = _before(recorded).among(videos, hashes), "started from what has learned"
    if known:
        raise UserError(
            f"{run} {how} {len(known)} of the test videos, e.g. {known[0]}: the folder has changed "
            "since, and its split with it; restore it, or train anew"
        )


def learned_videos(options: FitOptions) -> LearnedVideos:
    """Returns what the weights that a training starts from have learned from.

    Raises:
        UserError: if nobody knows.
    """
    weights, source = options.network.scl_weights, options.network.start_from
    if source is not None:
        return _learned_by(RunFolder(source))
    if isinstance(weights, Path):
        from fstcn_keras.weights import source_videos  # imports Keras

        try:
            return LearnedVideos(paths=frozenset(source_videos(weights)))
        except ValueError as error:
            raise UserError(f"--scl-weights: {error}") from error
    return LearnedVideos()


def check_learned(options: FitOptions, learned: LearnedVideos, dataset: Dataset, store: FrameStore):
    """Makes sure that a training does not start from weights that know its test videos.

    Args:
        options: of the training.
        learned: as `learned_videos` gives them.
        dataset: by whose test videos the network is to be judged.
        store: of its frames, which knows the hashes.

    Raises:
        UserError: if one of them was learned from.
    """
    known = learned.among(dataset.side("test"), file_hashes(store))
    if not known:
        return
    if options.network.start_from is None:
        raise UserError(
            f"--scl-weights: {options.network.scl_weights} has learned from frames of {len(known)} "
            f"of this split's test videos, e.g. {known[0]}: pre-train on frames of its training "
            "videos alone"
        )
    raise UserError(
        f"--start-from: {options.network.start_from}, or what it started from, has learned from "
        f"{len(known)} of the test videos of {dataset.part}, e.g. {known[0]}: start from a run of "
        "the same split or fold, or of other videos"
    )


def file_hashes(store: FrameStore) -> dict[str, str]:
    """Returns the hashes of the videos' files, by path, as far as they could be read."""
    return {path: v.source_sha256 for path, v in store.videos.items() if v.source_sha256}


def _hash(file: Path) -> str:
    """Returns the hash of a file, which is read once in a process: a series asks for each run."""
    status = file.stat()
    return _hash_of_version(file, status.st_size, status.st_mtime_ns)


@functools.cache
def _hash_of_version(file: Path, size: int, mtime_ns: int) -> str:
    return sha256(file)


def _learned_by(run: RunFolder) -> LearnedVideos:
    recorded = _recorded_videos(run)
    hashes = recorded.get("sha256", {})
    paths = frozenset(path for side in SIDES for path in recorded[side] if path not in hashes)
    return LearnedVideos(sha256=frozenset(hashes.values()), paths=paths) | _before(recorded)


def _before(recorded: dict) -> LearnedVideos:
    before = recorded.get("before", {})
    return LearnedVideos(**{name: frozenset(found) for name, found in before.items()})


def _changes(recorded: dict, videos: dict[str, list[str]], hashes: Mapping[str, str]) -> list[str]:
    moved = {path for side in SIDES for path in set(videos[side]) ^ set(recorded[side])}
    known = recorded.get("sha256", {})
    return sorted(moved | {path for path in known if hashes.get(path) != known[path]})


def _paths(videos: Iterable[Video]) -> list[str]:
    return sorted(video.path for video in videos)


def _recorded_videos(run: RunFolder) -> dict:
    """Reads what was recorded; nothing while there are neither checkpoints nor a network."""
    if not (run.checkpoints.exists() or run.model.exists()):
        return {}
    file = run.training_videos
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError) as error:
        wrong = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({error})"
        raise UserError(
            f"{file} {wrong}: without it nobody knows what the run was trained on; "
            "train anew with another --out"
        ) from error

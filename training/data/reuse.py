"""Frames that this store or another holds under another path: taken, not decoded again."""

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from fstcn_keras.files import atomic_write_text
from training.data.store import SETTINGS, StoredVideo, read_facts, record_file

HASHES = "hashes.json"  # paths of a store's videos by the hashes of their files


def write_hashes(folder: Path, videos: Iterable[StoredVideo]):
    """Records in a store which files its videos are of, beside those that it knew before."""
    known = _read(folder / HASHES)
    hashes = known | {v.source_sha256: v.path for v in videos if v.num_frames}
    if hashes != known:
        atomic_write_text(folder / HASHES, json.dumps(hashes))


def stored_elsewhere(folder: Path) -> dict[str, tuple[Path, str]]:
    """Returns where videos lie in stores of the same settings: this one and those beside it.

    Args:
        folder: the store, which has its `settings.json`.

    Returns:
        Store and path by the hash of the video's file.
    """
    settings = _read(folder / SETTINGS)
    found = {}
    for file in sorted(folder.parent.glob(f"*/{HASHES}")):
        if _read(file.parent / SETTINGS) == settings:
            found |= {digest: (file.parent, path) for digest, path in _read(file).items()}
    return found


def take(
    where: tuple[Path, str], sha256: str, *, folder: Path, path: str, source: Path
) -> StoredVideo | None:
    """Links a video's frames into a store under another path; `None` if they are not there.

    Args:
        where: store and path that hold them.
        sha256: hash of the video's file.
        folder: the store to link them into.
        path: that they get there.
        source: the video's file.
    """
    stored = read_facts(*where)
    if stored is None or stored.source_sha256 != sha256 or not stored.num_frames:
        return None
    held, target = record_file(*where), record_file(folder, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if held.with_suffix(".raw").exists():
            _link(held.with_suffix(".raw"), target.with_suffix(".raw"))
        _link(held, target)
        changed = source.stat().st_mtime_ns
        os.utime(target, ns=(changed, changed))  # so that the source need not be read again
    except OSError:
        return None
    return dataclasses.replace(stored, path=path)


def _link(source: Path, target: Path):
    """Gives a file a second name, or where the file system has no such, copies it."""
    if target.exists() and target.samefile(source):
        return
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)


def _read(file: Path) -> dict:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

"""Groups of videos cut from one source, and splits that keep a group on one side."""

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from fstcn_keras.error_texts import reason_of
from training.errors import UserError

_UCF_GROUP = re.compile(r"^(v_.+_g\d+)_c\d+$")
_HMDB_CLIP = re.compile(r"^(.+)_(?:f|u|h|l)_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+$")
GROUP_COLUMNS = ("path", "group")


def clean_path(text: str) -> str:
    """Returns a path as lists of all systems may have it, with forward slashes, without `./`.

    Example:
        >>> clean_path("./wave\\\\a.avi")
        'wave/a.avi'
    """
    return str(PurePosixPath(text.replace("\\", "/")))


def source_group(path: str) -> str:
    """Returns the source that a video was cut from, as its file name tells.

    | name of `CLASS/NAME.avi` | source |
    |---|---|
    | `v_CLASS_gNN_cMM` (UCF-101) | `CLASS/v_CLASS_gNN` |
    | `FILM_CLASS_f_cm_np1_fr_med_0` (HMDB-51) | `FILM`, without a number at its end |
    | `SOURCE_CLASS_NUMBER`, where `SOURCE` ends in a digit (UT-Interaction) | `SOURCE` |
    | any other | the video itself |

    Films and other sources are the same under every class; UCF-101 counts its groups anew in each.
    """
    folder, _, name = path.rpartition("/")
    stem = name.rsplit(".", 1)[0]
    class_name = folder.rpartition("/")[2]
    if match := _UCF_GROUP.match(stem):
        return f"{class_name}/{match[1]}".removeprefix("/")
    if match := _HMDB_CLIP.match(stem):
        return re.sub(r"(?<=.)_\d+$", "", match[1].removesuffix(f"_{class_name}"))
    if match := re.match(rf"^(.*\d)_{re.escape(class_name)}_\d+$", stem):
        return match[1]
    return f"{folder}/{stem}".removeprefix("/")


def named_groups(
    groups: str, paths: Iterable[str], *, missing: Iterable[str] = ()
) -> dict[str, str]:
    """Returns the group of each path, as the user names it.

    Args:
        groups: name of a CSV file (`*.csv`) with the columns `path` and `group`, or a regular
            expression that is searched for in each path: its first capturing group, or the whole
            match, is the group.
        paths: of videos, relative to the data set's root.
        missing: paths of videos without a file, which need not have a group.

    Raises:
        UserError: if the file or the expression cannot be read, or has no group for a path.
    """
    paths, missing = list(paths), list(missing)
    if groups.endswith(".csv"):
        found = _read_groups(Path(groups))
    else:
        found = {path: _matched(groups, path) for path in paths + missing}
    if lacking := [path for path in paths if not found.get(path)]:
        raise UserError(
            f"--groups {groups} names no group for {len(lacking)} of {len(paths)} videos, e.g. "
            f"{lacking[0]}"
        )
    return {path: found[path] for path in paths + missing if found.get(path)}


def _matched(pattern: str, path: str) -> str | None:
    try:
        match = re.search(pattern, path)
    except re.error as error:
        raise UserError(f"--groups {pattern} is no regular expression: {error}") from error
    return match and match[1 if match.re.groups else 0]


def _read_groups(file: Path) -> dict[str, str]:
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
            rows = csv.DictReader(lines)
            if lacking := [name for name in GROUP_COLUMNS if name not in (rows.fieldnames or ())]:
                raise UserError(f"--groups {file} has no column {lacking[0]}")
            pairs = {(clean_path(row["path"] or ""), row["group"]) for row in rows}
    except (OSError, csv.Error) as error:
        raise UserError(f"--groups {file} cannot be read: {reason_of(error)}") from error
    counts = Counter(path for path, _ in pairs)
    if twice := sorted(path for path, count in counts.items() if count > 1):
        raise UserError(f"--groups {file} names two groups for {twice[0]}")
    return dict(pairs)


def held_out_paths(
    items: Iterable[tuple[str, str, str]], *, fraction: float, salt: str
) -> set[str]:
    """Returns the paths of about `fraction` of every class, whole groups at a time.

    Groups are taken in an order that depends on the salt and their names alone, so the same
    list gives the same answer on every machine. One is held out if this takes the shares of its
    classes no further from `fraction`, by the sum of squares, and leaves each of them a video.

    Args:
        items: (path, class name, group) of every video.
        fraction: share of each class's videos to hold out, 0 to 1.
        salt: any string; another one gives another split.
    """
    groups = defaultdict(dict)
    for path, class_name, group in items:
        groups[group][path] = class_name
    totals = Counter(name for members in groups.values() for name in members.values())
    taken, held = Counter(), set()
    for group in sorted(groups, key=lambda group: _digest(f"{salt}/{group}")):
        counts = Counter(groups[group].values())
        spare = all(taken[name] + count < totals[name] for name, count in counts.items())
        if spare and _improvement(counts, taken, totals, fraction) >= 0:
            taken += counts
            held.update(groups[group])
    return held


def _improvement(
    counts: Mapping[str, int], taken: Mapping[str, int], totals: Mapping[str, int], fraction: float
) -> float:
    """Half of what a group takes off the squared distances of the classes' shares."""
    return sum(
        count * (fraction * totals[name] - (2 * taken[name] + count) / 2) / totals[name] ** 2
        for name, count in counts.items()
    )


class NothingHeldOut(UserError):
    """A share is to be held out, and no class has a source that is small enough."""


def check_held_out(fraction: float, count: int):
    """Makes sure that something is held out where a share of it is asked for.

    Raises:
        NothingHeldOut: if nothing is.
    """
    if fraction and not count:
        raise NothingHeldOut(
            f"--val-fraction {fraction:g} holds nothing out: every source has more than that of "
            "its class; give a larger one, or 0"
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

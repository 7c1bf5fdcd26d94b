"""Groups of videos cut from one source, and splits that keep a group on one side."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable

from training.errors import UserError

_UCF_GROUP = re.compile(r"^(v_.+_g\d+)_c\d+$")
_HMDB_SOURCE = re.compile(r"^(.+)_(?:f|u|h|l)_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+$")


def source_group(path: str) -> str:
    """Returns the source that a video was cut from, as its file name tells.

    UCF-101: `v_CLASS_gNN_cMM`, the group is `v_CLASS_gNN`. HMDB-51:
    `SOURCE_CLASS_f_cm_np1_fr_med_0`, the group is `SOURCE_CLASS`. Any other name is a group of
    its own.
    """
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    match = _UCF_GROUP.match(stem) or _HMDB_SOURCE.match(stem)
    return match.group(1) if match else stem


def held_out_paths(
    items: Iterable[tuple[str, str, str]], *, fraction: float, salt: str
) -> set[str]:
    """Returns the paths of about `fraction` of every class, whole groups at a time.

    Groups are taken in an order that depends on the salt and their names alone, so the same
    list gives the same answer on every machine. A class of one group keeps it.

    Args:
        items: (path, class name, group) of every video.
        fraction: share of each class's videos to hold out, 0 to 1.
        salt: any string; another one gives another split.
    """
    classes = defaultdict(lambda: defaultdict(list))
    for path, class_name, group in items:
        classes[class_name][group].append(path)
    held = set()
    for class_name, groups in classes.items():
        order = sorted(groups, key=lambda group: _digest(f"{salt}/{class_name}/{group}"))
        total = sum(map(len, groups.values()))
        taken = 0
        for group in order:
            after = taken + len(groups[group])
            if (taken + after) / 2 <= fraction * total and after < total:
                held.update(groups[group])
                taken = after
    return held


def check_held_out(fraction: float, count: int):
    """Makes sure that something is held out where a share of it is asked for.

    Raises:
        UserError: if nothing is: no class has a source that is small enough.
    """
    if fraction and not count:
        raise UserError(
            f"--val-fraction {fraction:g} holds nothing out: every source has more than that of "
            "its class; give a larger one, or 0"
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()

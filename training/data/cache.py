"""Where the demo and decoded frames are kept unless the user names a folder."""

import hashlib
import os
from pathlib import Path

from training.data.preparation import FORMAT


def cache_folder() -> Path:
    """Returns the folder of all that can be made anew: `$XDG_CACHE_HOME/fstcn-keras`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fstcn-keras"


def store_folder(
    collection: str, root: Path, *, short_side: int, encoding: str, fps: float | None = None
) -> Path:
    """Returns the folder for the frames of a collection, by its name and its videos' folder."""
    digest = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:10]
    rate = "" if fps is None else f"-{fps:g}fps"
    name = f"{collection}-{short_side}{rate}-{encoding}-{digest}-format{FORMAT}"
    return cache_folder() / "stores" / name

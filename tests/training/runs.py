"""Short runs of commands on small folders of videos, and what two of them share."""

from pathlib import Path

import numpy as np

from tests.videos import noise, write_video
from training.data.preparation import prepare_store
from training.data.store import FrameStore


def store_of(data: Path) -> Path:
    """The frame store of a folder of videos, beside it."""
    return data.with_name(f"{data.name}-store")


def fit_arguments(data: Path, out: Path, *more: str) -> list[str]:
    """Of `training.fit`; of an option that `more` names as well, that value counts."""
    return [
        *("--dataset", "folder", "--data-dir", str(data), "--store", str(store_of(data))),
        *("--epochs", "1", "--batch-size", "4", "--num-clips", "1", "--precision", "float32"),
        *("--out", str(out), *more),
    ]


def assert_same_runs(one: Path, two: Path, *checkpoints: str):
    """Fails unless both have bitwise the same checkpoints, history and scores."""
    for name in (*(f"checkpoints/{checkpoint}.npz" for checkpoint in checkpoints), "scores.npz"):
        with np.load(one / name) as a, np.load(two / name) as b:
            assert set(a) == set(b)
            for key in a:
                np.testing.assert_array_equal(a[key], b[key], err_msg=f"{name}: {key}")
    assert (one / "history.csv").read_text() == (two / "history.csv").read_text()


def write_split(data: Path, lists: Path, *, test_prefix: str):
    """Writes lists in HMDB-51's format: videos whose names begin so are to test on, others not."""
    lists.mkdir()
    for folder in (data / "red", data / "green"):
        videos = sorted(path.name for path in folder.glob("*.avi"))
        rows = [f"{video} {2 if video.startswith(test_prefix) else 1}\n" for video in videos]
        (lists / f"{folder.name}_test_split1.txt").write_text("".join(rows))


def noise_store(root: Path, *, num_videos: int, num_frames: int) -> FrameStore:
    """The frames, 120 pixels on the short side, of videos `c/0.avi` and so on of noise."""
    paths = [f"c/{number}.avi" for number in range(num_videos)]
    for number, path in enumerate(paths):
        write_video(root / path, noise(num_frames, height=120, width=130, seed=number))
    return prepare_store(root / "store", root, paths, short_side=120, encoding="raw")

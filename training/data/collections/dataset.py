"""What a collection is as a list: videos with their labels, sides and groups."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fstcn_keras.runs import part_text


@dataclass(frozen=True, slots=True)
class Video:
    """One listed video.

    Attributes:
        path: relative to the data set's root, with forward slashes; the video's identity.
        label: index of its class.
        side: `"train"`, `"val"` (held out from training), `"test"` or `"unused"`.
        group: source that it was cut from, whatever its class; no group is on both sides of a
            split that is drawn.
    """

    path: str
    label: int
    side: str
    group: str


@dataclass(frozen=True)
class Dataset:
    """One split of a collection, or one fold.

    Attributes:
        name: the collection's name.
        split: number of the split, 1 to 3; `None` of a fold.
        root: folder that the videos' paths start from.
        classes: class names in the order of the labels.
        videos: the listed videos whose files exist.
        absent_classes: those without any training or test video; they have no label.
        missing: listed videos of the other classes without a file.
        unlisted: number of video files that no list names.
        left_out: files of a `folder` that are no candidates: of other kinds, loose in the root or
            in nested folders; hidden ones are not counted.
        excluded: number of videos that `--exclude` leaves out.
        fold: number of the fold, from 1; `None` of a split.
        folds: how many there are.
    """

    name: str
    split: int | None
    root: Path
    classes: tuple[str, ...]
    absent_classes: tuple[str, ...]
    videos: tuple[Video, ...]
    missing: tuple[Video, ...]
    unlisted: int
    left_out: tuple[str, ...] = ()
    excluded: int = 0
    fold: int | None = None
    folds: int | None = None

    @property
    def part(self) -> str:
        """Returns which split or fold it is, e.g. `split 1`."""
        return part_text(self.split, self.fold, self.folds)

    def side(self, side: str) -> list[Video]:
        """Returns the videos of one side."""
        return [video for video in self.videos if video.side == side]

    def with_each(self, changed: Callable[[Video], Video]) -> "Dataset":
        """Returns the same with every video changed, those without a file too."""
        videos, missing = (tuple(map(changed, part)) for part in (self.videos, self.missing))
        return dataclasses.replace(self, videos=videos, missing=missing)

    def __str__(self) -> str:
        counts = Counter(video.side for video in self.videos)
        text = (
            f"{self.name} {self.part}: {len(self.classes)} classes, "
            f"{counts['train']} training and {counts['test']} test videos"
        )
        if counts["val"]:
            text += f", {counts['val']} held out"
        if counts["unused"]:
            text += f", {counts['unused']} in neither"
        if self.absent_classes:
            text += (
                f"; {len(self.absent_classes)} of "
                f"{len(self.classes) + len(self.absent_classes)} classes have no video, "
                f"e.g. {self.absent_classes[0]}"
            )
        tested = {video.label for video in self.side("test")}
        untested = [name for label, name in enumerate(self.classes) if label not in tested]
        if untested:
            text += f"; classes without a test video: {len(untested)}, e.g. {untested[0]}"
        trained = {video.group for video in self.side("train")}
        if shared := sum(video.group in trained for video in self.side("test")):
            text += f"; {shared} test videos share their source with a training video"
        if self.missing:
            text += f"; {len(self.missing)} listed files are missing, e.g. {self.missing[0].path}"
        if self.excluded:
            text += f"; {self.excluded} are excluded"
        if self.unlisted:
            text += f"; {self.unlisted} files are in no list and are left out"
        if self.left_out:
            text += (
                f"; {len(self.left_out)} files of other kinds, loose or in nested folders left "
                f"out, e.g. {self.left_out[0]!r}"
            )
        return text

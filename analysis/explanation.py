"""Why a video scored as it did for a class: the clip that decided, its maps, and their checks."""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis import sanity
from analysis.attribution import METHODS, Attribution, Clip, ClipNetwork
from fstcn_keras import ActionClassifier, clips, fusion
from fstcn_keras.video import VideoReader
from fstcn_keras.video.frames import view_frames
from fstcn_keras.video.resampling import resampled_numbers
from training.data.collections import demo

RANDOM_NETWORKS = 3


@dataclass(frozen=True, kw_only=True)
class ClipPixels:
    """One clip of a video, whole frames.

    Attributes:
        numbers: frame numbers of its pairs in the file, whatever the plan's rate, int `(2, l_t)`.
        parts: what the network's paths look at, see `attribution`.
    """

    numbers: np.ndarray
    parts: Clip

    @property
    def frame_number(self) -> int:
        """Number of the frame that the spatial path looks at, the middle one."""
        return int(self.numbers[0, self.numbers.shape[1] // 2])


@dataclass(frozen=True, kw_only=True)
class VideoClips:
    """The clips of a video that are scored, each once, in order of time.

    Attributes:
        path: of the video file.
        num_frames: frames of the video that were decoded.
        clips: their pixels.
        scores: SCI-fused over their crops, float `(clips, N)`.
    """

    path: Path
    num_frames: int
    clips: list[ClipPixels]
    scores: np.ndarray

    @property
    def video_scores(self) -> np.ndarray:
        """The element-wise maximum over the clips, float `(N,)` (equation 7)."""
        return self.scores.max(axis=0)


@dataclass(frozen=True, kw_only=True)
class PartChecks:
    """What the map of one part is worth, see `sanity`.

    Attributes:
        curves: deletion and insertion.
        randomised: rank correlation with the map of each of some networks with random weights.
        among_random: that of the maps of these networks with each other.
        share_by_time: energy of the map at each time step, summing to 1, float `(time,)`.
        concentration: on the demo, energy in the boxes of the discs (of those that move, for the
            differences) relative to a uniform map; else `None`.
        random_concentration: that of the map of each of the networks with random weights.
    """

    curves: sanity.Curves
    randomised: list[float | None]
    among_random: list[float | None]
    share_by_time: np.ndarray
    concentration: float | None
    random_concentration: list[float | None]


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Maps of the clip that gave a video its score for a class, and their checks by part.

    Attributes:
        video: its clips.
        label: of the class.
        number: of the clip among the video's clips, from 0.
        attribution: the maps.
        checks: by part.
    """

    video: VideoClips
    label: int
    number: int
    attribution: Attribution
    checks: dict[str, PartChecks]

    @property
    def clip(self) -> ClipPixels:
        """The explained clip."""
        return self.video.clips[self.number]

    @property
    def score(self) -> float:
        """The video's score for the class."""
        return float(self.video.video_scores[self.label])


def read_clips(path: Path, classifier: ActionClassifier) -> VideoClips:
    """Decodes and scores the clips of a video file.

    Raises:
        VideoError: if the file is no video or no frame of it can be decoded.
    """
    reader, fps = VideoReader(path), classifier.plan.fps
    video, times = view_frames(reader, classifier.plan), reader.times()
    pairs = video.pairs if fps is None else resampled_numbers(times, fps)[video.pairs]
    numbers, distinct = np.unique(pairs, axis=0, return_index=True)  # (clips, 2, l_t)
    positions = video.positions[distinct]
    return VideoClips(
        path=path,
        num_frames=len(times) - 1,
        clips=[clip_pixels(video.frames, *pair) for pair in zip(numbers, positions, strict=True)],
        scores=fusion.fuse_crops(classifier.score_views(video.frames, positions)),
    )


def clip_pixels(frames: np.ndarray, numbers: np.ndarray, positions: np.ndarray) -> ClipPixels:
    """Cuts one clip out of the frames of a video.

    Args:
        frames: uint8 `(n, height, width, 3)`.
        numbers: of its pairs in the video, int `(2, l_t)`.
        positions: theirs in `frames`, the same.
    """
    clip, later = frames[positions[0]], frames[positions[1]]
    middle = len(clip) // 2
    parts = {
        "frame": np.float32(clip[middle : middle + 1]),
        "differences": np.float32(clips.absolute_difference(clip, later)),
    }
    return ClipPixels(numbers=numbers, parts=parts)


class Explainer:
    """Explains the scores of one network by one method.

    Args:
        classifier: the network.
        method: a key of `attribution.METHODS`.
        seed: of random orders and weights.
        on_demo: whether the videos are the demo's, whose discs are known.
        settings: further arguments of the method.
    """

    def __init__(
        self,
        classifier: ActionClassifier,
        *,
        method: str,
        seed: int,
        on_demo: bool,
        settings: dict,
    ):
        guided = method == "guided"
        self._method, self._settings = METHODS[method], settings
        self._seed, self._on_demo = seed, on_demo
        self._network = ClipNetwork(classifier.model, guided=guided)
        self._randomised = ClipNetwork(classifier.model, guided=guided)

    def attribute(self, clip: ClipPixels, label: int) -> Attribution:
        """Maps of one clip for one class."""
        return self._attribute(self._network, clip, label)

    def explain(self, video: VideoClips, label: int) -> Explanation:
        """Explains the clip that gave the video its score for the class."""
        number = int(video.scores[:, label].argmax())
        clip = video.clips[number]
        attribution = self.attribute(clip, label)
        random = self._of_random_weights(clip, label)
        regions = disc_regions(video.path.name, clip) if self._on_demo else {}

        def check(part: str, saliency: np.ndarray) -> PartChecks:
            # what several crops see has more of the gradient, whatever the weights
            views = np.maximum(self._network.crops_over(*saliency.shape[1:]), 1)
            of_random = [maps[part] / views for maps in random]

            def concentrated(one: np.ndarray) -> float | None:
                return sanity.concentration(one, regions[part]) if regions else None

            return PartChecks(
                curves=sanity.curves(
                    self._network,
                    self._seen(clip),
                    label=label,
                    part=part,
                    saliency=saliency,
                    seed=self._seed,
                ),
                randomised=[sanity.rank_correlation(saliency / views, one) for one in of_random],
                among_random=[
                    sanity.rank_correlation(*two) for two in itertools.combinations(of_random, 2)
                ],
                share_by_time=_share_by_time(saliency),
                concentration=concentrated(saliency),
                random_concentration=[concentrated(maps[part]) for maps in random],
            )

        checks = {part: check(part, saliency) for part, saliency in attribution.maps.items()}
        return Explanation(
            video=video, label=label, number=number, attribution=attribution, checks=checks
        )

    def _attribute(self, network: ClipNetwork, clip: ClipPixels, label: int) -> Attribution:
        return self._method(network, self._seen(clip), label=label, **self._settings)

    def _of_random_weights(self, clip: ClipPixels, label: int) -> list[Clip]:
        """The maps of each of the networks with random weights."""
        maps = []
        for number in range(RANDOM_NETWORKS):
            self._randomised.randomise(self._seed + number)
            maps.append(self._attribute(self._randomised, clip, label).maps)
        return maps

    def _seen(self, clip: ClipPixels) -> Clip:
        """The parts that the network looks at."""
        return {part: clip.parts[part] for part in self._network.baselines}


def disc_regions(video_name: str, clip: ClipPixels) -> dict[str, np.ndarray]:
    """Where the demo's discs are: the regions in which a good map of a demo video lies.

    Returns:
        By part, bool `(time, height, width)`: for the frame the boxes of all discs, for the
        differences those of the discs that moved or changed size, at both times. Empty for a
        video that is not the demo's.
    """
    boxes = demo.disc_boxes(video_name)
    if boxes is None:
        return {}
    height, width = clip.parts["frame"].shape[1:3]
    boxes = boxes * (height / demo.HEIGHT)
    rows, columns = np.arange(height)[:, None], np.arange(width)

    def covered(some: np.ndarray) -> np.ndarray:
        """(boxes, 4) -> (height, width)."""
        hits = [
            (rows >= top) & (rows <= bottom) & (columns >= left) & (columns <= right)
            for top, left, bottom, right in some
        ]
        return np.any(hits, axis=0) if hits else np.zeros((height, width), bool)

    moved = [
        np.concatenate([earlier, later])[np.tile((earlier != later).any(axis=-1), 2)]
        for earlier, later in zip(boxes[clip.numbers[0]], boxes[clip.numbers[1]], strict=True)
    ]
    return {
        "frame": covered(boxes[clip.frame_number])[None],
        "differences": np.stack([covered(some) for some in moved]),
    }


def _share_by_time(saliency: np.ndarray) -> np.ndarray:
    energy = np.square(saliency, dtype=np.float64).sum(axis=(1, 2))
    return energy / max(energy.sum(), 1e-300)

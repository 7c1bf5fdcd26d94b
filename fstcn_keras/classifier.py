"""Names the actions in videos by a trained network."""

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fstcn_keras.acceleration import accelerate
from fstcn_keras.acceleration.plain_export import plain_copy
from fstcn_keras.description import (
    check_classes,
    existing_file,
    load_description,
    load_rejection,
    save_description,
)
from fstcn_keras.error_texts import reason_of
from fstcn_keras.files import atomic_write
from fstcn_keras.prediction import Moment, Prediction, VideoResult
from fstcn_keras.rejection import Rejection
from fstcn_keras.video import VideoError
from fstcn_keras.video.frames import ViewFrames, read_resized, view_frames
from fstcn_keras.video.resampling import ResampledFrames
from fstcn_keras.video.sources import VideoSource, open_frames
from fstcn_keras.video.times import uniform_times
from fstcn_keras.views.plan import ViewPlan
from fstcn_keras.views.scoring import ENERGY, PROBABILITIES, Clip, Scorer, ViewScorer

THUMBNAIL = 120  # pixels


class ActionClassifier:
    """Names the actions in videos, by a network, its class names and its view plan.

    A video is a path, a binary file object that can seek, or a `(T, H, W, 3)` uint8 array of RGB
    frames, T at least 1. A plan with `fps` reads files at that rate, and takes an array for frames
    of that rate. Frames are resized by `fstcn_keras.views.resizing`, so that an array
    gives the same scores as the file it was read from.

    Example:
        >>> from fstcn_keras.model import FSTCN
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> plan = ViewPlan.from_config(model.config, num_clips=1)
        >>> classifier = ActionClassifier(model, classes=["jump", "run"], plan=plan)
        >>> prediction = classifier.predict_video(np.zeros((40, 72, 96, 3), np.uint8))
        >>> sorted(prediction.classes), prediction.view_probabilities.shape
        (['jump', 'run'], (1, 18, 2))

    Args:
        model: from `{"clip", "clip_diff"}` to class probabilities, as `fstcn` builds it.
        classes: class names in the order of the model's outputs.
        plan: the views to score.
        scorer: what scores clips in place of the model; by default `ViewScorer`.
        rejection: from when on a video is refused as none of the classes; `None` refuses none.

    Raises:
        ValueError: if the number of class names is not that of the model's outputs, or one is
            empty, of several lines, not UTF-8 or there twice.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        classes: list[str],
        plan: ViewPlan,
        scorer: Scorer | None = None,
        rejection: Rejection | None = None,
    ) -> None:
        if model.output_shape[-1] != len(classes):
            raise ValueError(
                f"The model has {model.output_shape[-1]} outputs. Received: {len(classes)} classes"
            )
        check_classes(classes)
        self.model = model
        self.classes = tuple(classes)
        self.plan = plan
        self.rejection = rejection
        self._scorer = ViewScorer(model, plan) if scorer is None else scorer

    @classmethod
    def load(
        cls, folder: str | Path, *, mode: str | None = None, num_clips: int | None = None
    ) -> "ActionClassifier":
        """Reads what `save` wrote.

        Args:
            folder: a run's.
            mode: how views are scored, one of `views.plan.SCORING_MODES`; by default as saved.
            num_clips: clips of a video that are scored, the paper's M; by default as saved.

        Raises:
            FileNotFoundError: if the folder lacks one of the files.
            ValueError: if one is damaged, the mode is unknown, the number not positive, or the
                network cannot share maps.
        """
        folder = Path(folder)
        classes, saved = load_description(folder)
        plan = dataclasses.replace(
            saved,
            mode=saved.mode if mode is None else mode,
            num_clips=saved.num_clips if num_clips is None else num_clips,
        )
        model = _load_network(existing_file(folder / "model.keras"))
        _check_fit(folder, model, classes, plan)
        rejection = load_rejection(folder)
        return cls(accelerate(model), classes=classes, plan=plan, rejection=rejection)

    def save(self, folder: str | Path) -> None:
        """Writes `model.keras` and what `save_description` writes, the model last.

        The network is saved without what it was trained with: no optimiser state, no loss. It
        computes in float32, whatever it was trained in.

        Raises:
            ValueError: if it is none of `FSTCN` and shares layers, which Keras cannot save.
        """
        folder = Path(folder)
        network = plain_copy(self.model, dtype="float32")
        self.save_description(folder)
        with atomic_write(folder / "model.keras") as partial:
            network.save(partial)

    def save_description(self, folder: Path) -> None:
        """Writes `classes.txt`, `views.json` and, if it refuses videos, `rejection.json`."""
        save_description(folder, self.classes, self.plan, self.rejection)

    def score_views(self, frames: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Returns the class probabilities of every view of one video.

        Args:
            frames: `(frames, height, width, 3)` uint8, short side `plan.short_side`.
            pairs: `(M, 2, l_t)` positions in `frames` of each clip's pairs.

        Returns:
            float64 `(M, C, N)`; the C crops in the order of `clips.crops`.
        """
        return self.score_clips(frames, pairs)[PROBABILITIES]

    def score_clips(self, frames: np.ndarray, pairs: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the class probabilities and the energy of every view of one video.

        Args:
            frames: as for `score_views`.
            pairs: the same.

        Returns:
            `"probabilities"`, float64 `(M, C, N)`, and of a network with logits `"energy"`, float64
            `(M, C)`: the keyword arguments of `Prediction.from_probabilities`.
        """
        return self._scores([(frames, pair) for pair in pairs])

    def moment(
        self, frames: np.ndarray, pair: np.ndarray, *, start_s: float, end_s: float
    ) -> Moment:
        """Names the action in one clip, which stands for part of a video.

        Args:
            frames: as for `score_views`.
            pair: positions of the clip's frames in them, integers `(2, l_t)`.
            start_s: where the part begins, seconds.
            end_s: where it ends.
        """
        scores = self.score_clips(frames, pair[None])
        return Moment.from_probabilities(
            **{name: values[0] for name, values in scores.items()},
            classes=self.classes,
            start_s=start_s,
            end_s=end_s,
            rejection=self.rejection,
        )

    def _scores(self, clips: Sequence[Clip]) -> dict[str, np.ndarray]:
        found = self._scorer.score(clips)
        return {name: found[name] for name in (PROBABILITIES, ENERGY) if name in found}

    def predict_video(self, source: VideoSource) -> Prediction:
        """Names the action in a video.

        A file is decoded twice, to count its frames and to keep those that the views need:
        memory does not grow with the length of the video.

        Raises:
            VideoError: if the file is no video or no frame of it can be decoded.
            TypeError: if it is no video in the sense above.
            ValueError: if it is an array of another shape or type, or a file that cannot seek.
        """
        video = view_frames(open_frames(source), self.plan)
        return self._prediction(video, self.score_clips(video.frames, video.positions))

    def predict_videos(self, sources: Iterable, *, batch_clips: int = 5) -> Iterator[VideoResult]:
        """Names the action in each of many videos; a bad one does not stop the others.

        Clips of several videos go through the network together. A bar on the terminal shows the
        progress.

        Args:
            sources: videos, as for `predict_video`.
            batch_clips: clips that are scored together, of 18 crops each.

        Returns:
            One result for each video, in their order, made as they are asked for; that of a video
            that cannot be read bears the reason.

        Raises:
            TypeError: if `sources` is one video.
            ValueError: if `batch_clips` is not positive.
        """
        is_array = isinstance(sources, np.ndarray) and sources.ndim == 4
        if is_array or isinstance(sources, str | bytes | os.PathLike) or hasattr(sources, "read"):
            raise TypeError(
                "`sources` must be a list or another iterable of videos; `predict_video` takes "
                f"one. Received: {type(sources).__name__}"
            )
        if batch_clips < 1:
            raise ValueError(f"`batch_clips` must be positive. Received: {batch_clips}")
        return self._predict_all(sources, batch_clips)

    def _predict_all(self, sources: Iterable, batch_clips: int) -> Iterator[VideoResult]:
        from tqdm import tqdm  # which the network itself does without

        videos: list[tuple[Any, ViewFrames | VideoResult]] = []
        num_clips = 0
        for source in tqdm(sources, "predicting", unit="video", leave=False, disable=None):
            try:
                video = view_frames(open_frames(source), self.plan)
                num_clips += len(video.positions)
                videos.append((source, video))
            except (VideoError, OSError, TypeError, ValueError) as error:
                videos.append((source, VideoResult(source=source, reason=reason_of(error))))
            except MemoryError:
                why = "to decode it takes more memory than there is"
                videos.append((source, VideoResult(source=source, reason=why)))
            if num_clips >= batch_clips:
                yield from self._results(videos, batch_clips)
                videos, num_clips = [], 0
        yield from self._results(videos, batch_clips)

    def timeline(self, source: VideoSource, *, fps: float | None = None) -> Iterator[Moment]:
        """Names the action in every second of a video of any length.

        Each second is scored by the 18 crops of one clip around its middle. A file is decoded
        twice, to count its frames and to slide over it; the frames of one clip are kept.

        Args:
            source: a video, as for `predict_video`.
            fps: frames per second, in place of the frames' own times; needed for an array.

        Yields:
            One `Moment` for each second begun.

        Raises:
            VideoError: as `predict_video`.
            TypeError: the same.
            ValueError: the same, or if `fps` is not positive or needed and not given.
        """
        reader = open_frames(source)
        num_frames = reader.count()
        times = reader.times()
        if fps is not None or not times.size:
            if not (fps is not None and fps > 0):
                raise ValueError(f"`fps` must be given and positive. Received: fps={fps or 0}")
            times = uniform_times(num_frames, fps)
        if self.plan.fps is not None:
            reader = ResampledFrames(reader, self.plan.fps, times=times)
            times = reader.times()
        pairs = self.plan.pair_indices_by_second(times)
        numbers = np.unique(pairs).tolist()
        stream = zip(numbers, read_resized(reader, numbers, self.plan.short_side), strict=True)
        held: dict[int, np.ndarray] = {}
        for second, pair in enumerate(pairs):
            held = {number: frame for number, frame in held.items() if number >= pair.min()}
            while pair.max() not in held:
                number, frame = next(stream)
                held[number] = frame
            distinct, positions = np.unique(pair, return_inverse=True)
            frames = np.stack([held[number] for number in distinct.tolist()])
            end_s = min(second + 1, float(times[-1]))
            yield self.moment(frames, positions.reshape(pair.shape), start_s=second, end_s=end_s)

    def _results(
        self, videos: Sequence[tuple[Any, ViewFrames | VideoResult]], batch_clips: int
    ) -> Iterator[VideoResult]:
        """Scores the clips of all these videos, bad ones already being results."""
        clips = [
            (video.frames, pair)
            for _, video in videos
            if isinstance(video, ViewFrames)
            for pair in video.positions
        ]
        batches = [clips[i : i + batch_clips] for i in range(0, len(clips), batch_clips)]
        scores = (  # of a clip: (C, N), and (C,)
            {name: values[number] for name, values in found.items()}
            for batch in batches
            for found in [self._scores(batch)]
            for number in range(len(batch))
        )
        for source, video in videos:
            if isinstance(video, ViewFrames):
                of_clips = [next(scores) for _ in video.positions]
                stacked = {name: np.stack([one[name] for one in of_clips]) for name in of_clips[0]}
                prediction = self._prediction(video, stacked)
                yield VideoResult(source=source, prediction=prediction)
            else:
                yield video

    def _prediction(self, video: ViewFrames, scores: dict[str, np.ndarray]) -> Prediction:
        middle = self.plan.clip_length // 2
        return Prediction.from_probabilities(
            **scores,
            classes=self.classes,
            pairs=video.pairs,
            num_frames=video.num_frames,
            incomplete=video.incomplete,
            plan=self.plan,
            notes=video.notes,
            times=video.times,
            middle_frame=_thumbnail(
                video.frames[video.positions[len(video.pairs) // 2, 0, middle]]
            ),
            rejection=self.rejection,
        )


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    """Returns a copy of a frame, made small by leaving out pixels, `THUMBNAIL` a side at least."""
    step = max(1, min(frame.shape[:2]) // THUMBNAIL)
    return frame[::step, ::step].copy()


def _load_network(file: Path) -> keras.Model:
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{file} is damaged: it is no whole zip archive")
    damage = OSError, EOFError, LookupError, RuntimeError, zipfile.BadZipFile, zlib.error
    try:
        return keras.saving.load_model(file, compile=False)
    except (*damage, AttributeError, TypeError) as error:  # the last two of odd settings
        raise ValueError(f"{file} is damaged: {error}") from error
    except ValueError as error:  # Keras' own, by version also for what is damaged
        raise ValueError(f"{file} cannot be loaded: {error}") from error


def _check_fit(folder: Path, model: keras.Model, classes: list[str], plan: ViewPlan) -> None:
    """Makes sure that the network of a run takes what its plan cuts, and has its classes."""
    if model.output_shape[-1] != len(classes):
        raise ValueError(
            f"{folder / 'classes.txt'} does not fit the network: expected "
            f"{model.output_shape[-1]} classes, found {len(classes)}"
        )
    expected = (plan.clip_length, plan.crop_size, plan.crop_size, 3)
    for view in model.inputs:
        shape = view.shape[1:]
        if len(shape) != len(expected) or any(
            side not in (None, found) for side, found in zip(shape, expected, strict=True)
        ):
            raise ValueError(
                f"{folder / 'views.json'} does not fit the network: expected views "
                f"{tuple(shape)}, found {expected}"
            )

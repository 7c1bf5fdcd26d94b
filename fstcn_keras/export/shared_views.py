"""Scores videos by a SavedModel whose views share feature maps."""

from pathlib import Path

import tensorflow as tf

from fstcn_keras.classifier import load_description
from fstcn_keras.export.saved_model import DESCRIPTION
from fstcn_keras.prediction import Prediction
from fstcn_keras.runs import saved_model_version
from fstcn_keras.video.frames import VideoSource, open_frames, view_frames
from fstcn_keras.views.scoring import PROBABILITIES


class SharedSavedModel:
    """Names the action in a video as `ActionClassifier` does, by the signature `score_frames`.

    Args:
        folder: of the SavedModel: that of a version, or the one that holds the versions.

    Attributes:
        classes: class names in the order of the network's outputs.
        plan: the views.

    Raises:
        FileNotFoundError: if it is neither.
        ValueError: if it was exported before `score_frames` was.
    """

    def __init__(self, folder: Path) -> None:
        version = saved_model_version(folder)
        if version is None:
            raise FileNotFoundError(folder / "saved_model.pb")
        classes, self.plan = load_description(version / DESCRIPTION)
        self.classes = tuple(classes)
        self._loaded = tf.saved_model.load(version)  # holds the weights
        if "score_frames" not in self._loaded.signatures:
            raise ValueError(f"{version} has no signature `score_frames`: export it again")
        self._score = self._loaded.signatures["score_frames"]

    def predict_video(self, source: VideoSource) -> Prediction:
        """Names the action in a video.

        Raises:
            VideoError: if the video cannot be read.
        """
        video = view_frames(open_frames(source), self.plan)
        scores = self._score(
            frames=tf.constant(video.frames),
            numbers=tf.constant(video.numbers, tf.int32),
            num_frames=tf.constant(video.num_frames, tf.int32),
        )
        return Prediction.from_probabilities(
            scores[PROBABILITIES].numpy(),
            self.classes,
            pairs=video.pairs,
            num_frames=video.num_frames,
            incomplete=video.incomplete,
            plan=self.plan,
            notes=video.notes,
        )

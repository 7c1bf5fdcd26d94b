"""A trained network with all that is needed to name the action in a video."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from fstcn_keras import clips, fusion
from fstcn_keras.presets import FSTCNConfig


@dataclass(frozen=True, kw_only=True)
class ViewPlan:
    """Which views of a video are scored: M clips of 18 crops each.

    Attributes:
        num_clips: clips of a video, the paper's M.
        short_side: short side of the frames that are cropped, pixels.
        crop_size: side of the square crops, pixels.
        clip_length: frames of a clip, `l_t`.
        stride: frames between two frames of a clip, `s_t`.
        distance: frames between the two members of a difference, `d_t`.
    """

    num_clips: int
    short_side: int
    crop_size: int
    clip_length: int
    stride: int
    distance: int

    @classmethod
    def of(cls, config: FSTCNConfig, *, num_clips: int = 5) -> "ViewPlan":
        """The plan that fits a network of this configuration."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "num_clips"]
        return cls(num_clips=num_clips, **{name: getattr(config, name) for name in names})

    def pair_indices(self, num_frames: int) -> np.ndarray:
        """Frame numbers of all clip pairs of a video, int64 `(M, 2, l_t)`."""
        timing = {
            "clip_length": self.clip_length,
            "stride": self.stride,
            "distance": self.distance,
        }
        starts = clips.start_frames(num_frames, self.num_clips, **timing)
        return np.stack([clips.pair_indices(int(s), num_frames, **timing) for s in starts])


@dataclass(frozen=True)
class Prediction:
    """Scores of one video.

    Attributes:
        classes: all class names, best first.
        scores: their SCI-fused scores, float `(N,)`, best first.
        view_probabilities: float32 `(M, C, N)`, classes in the model's order.
        num_frames: frames of the video that were decoded.
    """

    classes: tuple[str, ...]
    scores: np.ndarray
    view_probabilities: np.ndarray
    num_frames: int


class ActionClassifier:
    """A network, its class names and its view plan.

    Args:
        model: from `{"clip", "clip_diff"}` to class probabilities, as `fstcn` builds it.
        classes: class names in the order of the model's outputs.
        plan: the views to score.

    Raises:
        ValueError: if the number of class names is not that of the model's outputs.
    """

    def __init__(self, model: keras.Model, *, classes: list[str], plan: ViewPlan):
        if model.output_shape[-1] != len(classes):
            raise ValueError(
                f"The model has {model.output_shape[-1]} outputs. Received: {len(classes)} classes"
            )
        self.model = model
        self.classes = tuple(classes)
        self.plan = plan

    @classmethod
    def load(cls, folder: str | Path) -> "ActionClassifier":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: if the folder lacks one of the files.
        """
        folder = Path(folder)
        plan = ViewPlan(**json.loads((folder / "views.json").read_text()))
        classes = (
            (folder / "classes.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        )
        if not (folder / "model.keras").is_file():
            raise FileNotFoundError(folder / "model.keras")
        model = keras.saving.load_model(folder / "model.keras", compile=False)
        return cls(model, classes=classes, plan=plan)

    def save(self, folder: str | Path):
        """Writes `model.keras`, `classes.txt` and `views.json`, the model last.

        The network is saved without what it was trained with: no optimiser state, no loss.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "classes.txt").write_text("\n".join(self.classes) + "\n", encoding="utf-8")
        (folder / "views.json").write_text(json.dumps(dataclasses.asdict(self.plan), indent=1))
        network = self.model.__class__.from_config(self.model.get_config())
        network.set_weights(self.model.get_weights())
        aside = folder / "model.partial.keras"
        network.save(aside)
        aside.replace(folder / "model.keras")

    def score_views(self, frames: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        """Class probabilities of every view of one video.

        Clips that touch the same frames are scored once.

        Args:
            frames: `(frames, height, width, 3)` uint8, short side `plan.short_side`.
            pairs: `(M, 2, l_t)` positions in `frames` of each clip's pairs.

        Returns:
            float32 `(M, C, N)`; the C crops in the order of `clips.crops`.
        """
        distinct, clip_of = np.unique(pairs, axis=0, return_inverse=True)
        scores = []
        for indices, later in distinct:
            clip = frames[indices]  # (l_t, height, width, 3)
            difference = clips.absolute_difference(clip, frames[later])
            views = {
                "clip": clips.crops(clip, self.plan.crop_size),
                "clip_diff": clips.crops(difference, self.plan.crop_size),
            }
            scores.append(self.model.predict_on_batch(views))
        return np.stack(scores)[clip_of.reshape(-1)]

    def predict_video(self, path: str | Path) -> Prediction:
        """Names the action in a video file.

        The file is decoded twice, to count its frames and to keep those that the views need:
        memory does not grow with the length of the video.

        Raises:
            VideoError: if the file is no video or no frame of it can be decoded.
        """
        from fstcn_keras.video import VideoReader  # PyAV is needed for files alone

        num_frames = sum(1 for _ in VideoReader(path, short_side=16))
        wanted, pairs = np.unique(self.plan.pair_indices(num_frames), return_inverse=True)
        reader = VideoReader(path, short_side=self.plan.short_side)
        kept = set(wanted.tolist())
        frames = np.stack([frame for number, frame in enumerate(reader) if number in kept])
        shape = (self.plan.num_clips, 2, self.plan.clip_length)
        probabilities = self.score_views(frames, pairs.reshape(shape))
        scores = fusion.fuse(probabilities)
        order = np.argsort(-scores, kind="stable")
        return Prediction(
            classes=tuple(self.classes[i] for i in order),
            scores=scores[order],
            view_probabilities=probabilities,
            num_frames=num_frames,
        )

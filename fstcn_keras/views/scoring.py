"""Scores the views of videos by the network, no image more than once."""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np

from fstcn_keras import clips
from fstcn_keras.acceleration import dispatch
from fstcn_keras.model import FSTCN
from fstcn_keras.parts import LOGITS
from fstcn_keras.views.arrays import Array, array_namespace, cast
from fstcn_keras.views.plan import ViewPlan

PROBABILITIES = "probabilities"  # of the outputs; the others are the features of the head
ENERGY = "energy"  # and what its logits add up to, see `with_probabilities`
# images that go through an encoder at once: enough to keep the cores busy, no more memory
_IMAGES_AT_ONCE = {"exact": 1, "shared": 9}
Clip = tuple[np.ndarray, np.ndarray]  # frames (n, h, w, 3) uint8, positions (2, l_t) in them
# which frames, and in them the position of one, or those of a difference's two
ImageKey = tuple[int, ...]
Maps = dict[ImageKey, Sequence[np.ndarray]]  # of each image those of its `C` crops, (h, w, f)
Encode = Callable[[np.ndarray], np.ndarray]  # a batch of images to their maps
Part = tuple["ImageEncoder", Encode, list[ImageKey]]  # a few images of one size


class Scorer(Protocol):
    """Scores clips as `ViewScorer` does."""

    def score(self, wanted: Sequence[Clip]) -> dict[str, np.ndarray]:
        """Returns the outputs for every crop of some clips, `(clips, C, ...)` each."""


class ViewScorer:
    """Scores the crops of clips, each of their frames and differences encoded once.

    An encoder sees one image at a time, and clips of one video share images. In the scoring mode
    `"exact"` the encoders run on each crop of an image: the scores are those of the whole network
    on every view. In the mode `"shared"` they run on the whole image and its mirror image, and the
    crops are cut from the feature maps, at the positions next to theirs: a protocol of its own, as
    borders see what is beyond them instead of zeros. Images go through the encoders in parts, of
    which a few are in work at a time.

    Any other network, such as one of a SavedModel, runs whole on every view.

    Example:
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> plan = ViewPlan.from_config(model.config, num_clips=1)
        >>> frames = np.zeros((40, 64, 80, 3), np.uint8)
        >>> scores = ViewScorer(model, plan).score([(frames, plan.pair_indices(40)[0])])
        >>> scores[PROBABILITIES].shape
        (1, 18, 2)

    Args:
        model: `FSTCN`, or another model from `{"clip", "clip_diff"}` to class probabilities.
        plan: the views.

    Attributes:
        encoders: the network's; none if it is not `FSTCN`.
        head: from their maps, by name, to features and logits; or the whole network.

    Raises:
        ValueError: if feature maps are to be shared by a network that is not `FSTCN`.
    """

    def __init__(self, model: keras.Model, plan: ViewPlan) -> None:
        self._plan = plan
        if isinstance(model, FSTCN):
            self.encoders, self.head = image_encoders(model), model.head
        elif plan.mode == "exact":
            self.encoders, self.head = [], model
        else:
            raise ValueError(
                f"`mode` must be 'exact' for a network that is not FSTCN. Received: {plan.mode!r}"
            )

    def score(self, wanted: Sequence[Clip]) -> dict[str, np.ndarray]:
        """Returns the outputs for every crop of some clips.

        Clips of the same frames are scored once.

        Args:
            wanted: the clips.

        Returns:
            `"probabilities"`, float64 `(clips, C, N)`, and of `FSTCN` `"energy"`, float64
            `(clips, C)`, and the features of its head, float `(clips, C, units)` each.
        """
        keys = [(id(frames), *pair.flat) for frames, pair in wanted]
        distinct = dict(zip(keys, wanted, strict=True))
        number = {key: number for number, key in enumerate(distinct)}
        found = self._score(list(distinct.values()))
        order = [number[key] for key in keys]
        return {name: values[order] for name, values in found.items()}

    def _score(self, wanted: Sequence[Clip]) -> dict[str, np.ndarray]:
        if not self.encoders:
            whole = np.stack([self._score_whole(*clip) for clip in wanted])
            return {PROBABILITIES: whole.astype(np.float64)}
        videos = {id(frames): frames for frames, _ in wanted}
        keys = [
            [[(id(frames), *two) for two in encoder.images(pair)] for frames, pair in wanted]
            for encoder in self.encoders
        ]
        maps = self._maps(keys, videos)
        inputs = {
            encoder.head_input: _head_input(encoder, encoder_keys, maps)
            for encoder, encoder_keys in zip(self.encoders, keys, strict=True)
        }
        shape = (len(wanted), clips.NUM_CROPS)
        outputs = with_probabilities(self.head.predict_on_batch(inputs))
        return {name: values.reshape(*shape, *values.shape[1:]) for name, values in outputs.items()}

    def _score_whole(self, frames: np.ndarray, pair: np.ndarray) -> np.ndarray:
        return self.head.predict_on_batch(self._plan.cut(frames[pair[0]], frames[pair[1]]))

    def _maps(
        self, keys: Sequence[Sequence[Sequence[ImageKey]]], videos: dict[int, np.ndarray]
    ) -> Maps:
        """Returns maps of the images of each clip of each encoder."""
        size = _IMAGES_AT_ONCE[self._plan.mode]
        parts: list[Part] = []
        for encoder, encode, encoder_keys in zip(self.encoders, self._encode, keys, strict=True):
            distinct = dict.fromkeys(key for clip_keys in encoder_keys for key in clip_keys)
            for _, alike in itertools.groupby(distinct, lambda key: videos[key[0]].shape[1:]):
                while batch := list(itertools.islice(alike, size)):
                    parts.append((encoder, encode, batch))

        def crops(part: Part) -> Iterable[Sequence[np.ndarray]]:
            encoder, encode, batch = part
            images = [encoder.image(videos[video], *numbers) for video, *numbers in batch]
            return self._crops(encoder, encode, np.stack(images))

        maps: Maps = {}
        for (*_, batch), found in zip(parts, dispatch.overlapped(crops, parts), strict=True):
            maps.update(zip(batch, found, strict=True))
        return maps

    @functools.cached_property
    def _encode(self) -> list[Encode]:
        """Returns the encoders as functions of batches of images, for threads to call."""
        size = self._plan.crop_size if self._plan.mode == "exact" else None
        return [
            dispatch.inference(encoder.network, (None, size, size, 3)) for encoder in self.encoders
        ]

    def _crops(
        self,
        encoder: "ImageEncoder",
        encode: Encode,
        images: np.ndarray,
    ) -> Iterable[Sequence[np.ndarray]]:
        """Returns the maps of each of the images `(images, h, w, 3)`, `C` arrays `(h, w, f)`."""
        size = self._plan.crop_size
        if self._plan.mode == "exact":
            crops, places = _distinct_crops(images, size)
            maps = encode(crops.reshape(-1, *crops.shape[2:]))
            maps = maps.reshape(*crops.shape[:2], *maps.shape[1:])
            return [[of_image[place] for place in places] for of_image in maps.swapaxes(0, 1)]
        whole = encode(np.concatenate([images, images[:, :, ::-1]]))
        both = whole.reshape(2, len(images), *whole.shape[1:])
        corners = clips.crop_grid(images.shape[1], images.shape[2], size)
        map_size = encoder.map_shape[:2]
        return [clips.map_crops(maps, corners, map_size) for maps in both.swapaxes(0, 1)]


@dataclass(frozen=True)
class ImageEncoder:
    """Describes one of a network's encoders, and which images of a clip it sees.

    Example:
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> encoder = image_encoders(model)[0]
        >>> encoder.head_input, encoder.map_shape
        ('frame', (3, 3, 64))

    Attributes:
        head_input: name of the head's input that takes its maps: `"frame"` or `"differences"`.
        network: from uint8 images `(batch, h, w, 3)` to maps.
        map_shape: height, width and features of the maps of one crop.
    """

    head_input: str
    network: keras.Model
    map_shape: tuple[int, int, int]

    @property
    def sees_differences(self) -> bool:
        """Tells whether it is the temporal path's; the spatial one sees a clip's middle frame."""
        return self.head_input == "differences"

    def images(self, pair: np.ndarray) -> list[tuple[int, ...]]:
        """Returns the positions of the frames of each image."""
        if self.sees_differences:
            return [tuple(two) for two in pair.T.tolist()]
        return [(int(pair[0, pair.shape[1] // 2]),)]

    def image(self, frames: np.ndarray, *numbers: int) -> np.ndarray:
        """Returns a frame, or the difference of two, uint8 `(h, w, 3)`."""
        if self.sees_differences:
            return clips.absolute_difference(*(frames[number] for number in numbers))
        return frames[numbers[0]]


def image_encoders(model: FSTCN) -> list[ImageEncoder]:
    """Returns the encoders that the network has, the spatial path's first.

    Example:
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> [encoder.head_input for encoder in image_encoders(model)]
        ['frame', 'differences']
    """
    networks = {"frame": model.frame_encoder, "differences": model.difference_encoder}
    return [
        ImageEncoder(name, network, tuple(model.head.input[name].shape[-3:]))
        for name, network in networks.items()
        if network is not None
    ]


def with_probabilities(outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Returns a head's outputs with class probabilities and energy, float64, in place of logits.

    The energy of logits is `-log sum_n exp(logit_n)`, which probabilities do not tell (Liu et al.
    2020, Energy-based out-of-distribution detection). float32 would take all probabilities under
    1e-45 for 0 and all over 1 - 3e-8 for 1, and classes among them for equally likely.

    Example:
        >>> with_probabilities({"logits": np.array([[0.0, -200.0]], np.float32)})["probabilities"]
        array([[1.00000000e+00, 1.38389653e-87]])
    """
    outputs = dict(outputs)
    logits = cast(outputs.pop(LOGITS), "float64")
    ops = array_namespace(logits)
    highest = ops.max(logits, axis=-1, keepdims=True)
    odds = ops.exp(logits - highest)
    total = ops.sum(odds, axis=-1, keepdims=True)
    energy = -(highest + ops.log(total))[..., 0]
    return {**outputs, PROBABILITIES: odds / total, ENERGY: energy}


def _distinct_crops(images: np.ndarray, size: int) -> tuple[np.ndarray, list[int]]:
    """Returns crops `(distinct, images, size, size, 3)`, and which of them each of `C` is.

    Rows of the grid are the same where images are no higher than a crop.
    """
    grid = clips.crop_grid(images.shape[1], images.shape[2], size)
    corners, places = np.unique(grid, axis=0, return_inverse=True)
    cut = np.stack(clips.windows(images, corners, (size, size)))
    crops = np.concatenate([cut, np.flip(cut, axis=-2)])
    return crops, [*places.ravel().tolist(), *(places.ravel() + len(corners)).tolist()]


def _head_input(
    encoder: ImageEncoder, keys: Sequence[Sequence[ImageKey]], maps: Maps
) -> np.ndarray:
    """Returns the maps of all clips, `(clips * C, h, w, f)` or `(clips * C, l_t, h, w, f)`."""
    shape = (len(keys), clips.NUM_CROPS, len(keys[0]), *encoder.map_shape)
    inputs = np.empty(shape, maps[keys[0][0]][0].dtype)
    for clip, clip_keys in enumerate(keys):
        for image, key in enumerate(clip_keys):
            for crop, crop_maps in enumerate(maps[key]):
                inputs[clip, crop, image] = crop_maps
    inputs = inputs.reshape(-1, *shape[2:])
    return inputs if encoder.sees_differences else inputs[:, 0]

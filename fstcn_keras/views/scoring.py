"""The views of videos through the network, no image more than once."""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from fstcn_keras import clips
from fstcn_keras.acceleration import dispatch
from fstcn_keras.backbones.registry import lower_scls
from fstcn_keras.views.plan import ViewPlan

# of a part: enough to keep the cores busy, no more memory
_IMAGES_OF_PART = {"exact": 1, "shared": 9}
Clip = tuple[np.ndarray, np.ndarray]  # frames (n, h, w, 3) uint8, positions (2, l_t) in them
# which frames, and in them the position of one, or those of a difference's two
ImageKey = tuple[int, ...]
Maps = dict[ImageKey, Sequence[np.ndarray]]  # of each image those of its `C` crops, (h, w, f)


class ViewScorer:
    """Scores the crops of clips, each of their frames and differences convolved once.

    Up to the convolution of its path, the parallel SCL for the middle frame and the SCL of the
    temporal path for a difference, an image does not depend on the others of its clip, and clips
    of one video share images. With `plan.views` `"exact"` these layers run on each crop of an
    image: the scores are those of the whole network on every view. With `"shared"` they run on the
    whole image and its mirror image, and the crops are cut from the feature maps, at the places
    next to theirs: a protocol of its own, as borders see what is beyond them instead of zeros.
    Images go through the layers in parts, of which a few are in work at a time.

    A network without these layers, such as one of a SavedModel, runs whole on every view.

    Args:
        model: from `{"clip", "clip_diff"}` to class probabilities.
        plan: the views.
        outputs: what is wanted of each view, in the form that `score` returns: outputs of
            layers after the convolutions; by default the probabilities.

    Attributes:
        paths: the network's paths that see single images; none if it has not FSTCN's layers.
        convolutions: of each path, from uint8 images `(batch, h, w, 3)` to its maps.
        head: from the maps of all paths to the outputs.

    Raises:
        ValueError: if views are to be shared by a network that `fstcn` has not built.
    """

    def __init__(self, model: keras.Model, plan: ViewPlan, outputs=None):
        self._plan = plan
        self.paths = _image_paths(model)
        if self.paths:
            inputs = [path.output for path in self.paths]
            self.head = keras.Model(inputs, model.output if outputs is None else outputs)
        elif plan.views == "exact":
            self.head = model if outputs is None else keras.Model(model.inputs, outputs)
        else:
            raise ValueError(
                "`views` must be 'exact' for a network without FSTCN's layers. "
                f"Received: {plan.views!r}"
            )
        side = plan.crop_size if plan.views == "exact" else None
        self.convolutions = [_convolutions(model, path, side) for path in self.paths]

    def score(self, wanted: Sequence[Clip]):
        """Outputs for every crop of some clips, `(clips, C, ...)` each.

        Clips of the same frames are scored once.
        """
        keys = [(id(frames), *pair.flat) for frames, pair in wanted]
        distinct = dict(zip(keys, wanted, strict=True))
        place = {key: number for number, key in enumerate(distinct)}
        found = self._score(list(distinct.values()))
        order = [place[key] for key in keys]
        return keras.tree.map_structure(lambda x: x[order], found)

    def _score(self, wanted: Sequence[Clip]):
        if not self.paths:
            each = [self._score_whole(*clip) for clip in wanted]
            return keras.tree.map_structure(lambda *x: np.stack(x), *each)
        videos = {id(frames): frames for frames, _ in wanted}
        keys = [
            [[(id(frames), *two) for two in path.images(pair)] for frames, pair in wanted]
            for path in self.paths
        ]
        maps = self._maps(keys, videos)
        inputs = [
            _path_inputs(path, of_path, maps)
            for path, of_path in zip(self.paths, keys, strict=True)
        ]
        shape = (len(wanted), clips.NUM_CROPS)
        return keras.tree.map_structure(
            lambda x: x.reshape(*shape, *x.shape[1:]), self.head.predict_on_batch(inputs)
        )

    def _score_whole(self, frames: np.ndarray, pair: np.ndarray):
        return self.head.predict_on_batch(self._plan.cut(frames[pair[0]], frames[pair[1]]))

    def _maps(
        self, keys: Sequence[Sequence[Sequence[ImageKey]]], videos: dict[int, np.ndarray]
    ) -> Maps:
        """What the convolutions give for the images of each clip of each path."""
        size = _IMAGES_OF_PART[self._plan.views]
        parts = []  # of one path, a few images of one size
        for path, convolve, of_path in zip(self.paths, self._convolve, keys, strict=True):
            distinct = dict.fromkeys(key for of_clip in of_path for key in of_clip)
            for _, alike in itertools.groupby(distinct, lambda key: videos[key[0]].shape[1:]):
                while some := list(itertools.islice(alike, size)):
                    parts.append((path, convolve, some))

        def crops(part) -> Iterable[Sequence[np.ndarray]]:
            path, convolve, some = part
            images = [path.image(videos[video], *numbers) for video, *numbers in some]
            return self._crops(path, convolve, np.stack(images))

        maps = {}
        for (*_, some), found in zip(parts, dispatch.overlapped(crops, parts), strict=True):
            maps.update(zip(some, found, strict=True))
        return maps

    @functools.cached_property
    def _convolve(self) -> list[Callable[[np.ndarray], np.ndarray]]:
        """`convolutions` as functions of batches of images, for threads to call."""
        return [dispatch.inference(network) for network in self.convolutions]

    def _crops(
        self, path: "ImagePath", convolve: Callable[[np.ndarray], np.ndarray], images: np.ndarray
    ) -> Iterable[Sequence[np.ndarray]]:
        """The maps of each of the images `(images, h, w, 3)`, `C` arrays `(h, w, f)`."""
        size = self._plan.crop_size
        if self._plan.views == "exact":
            crops = clips.crops(images, size)  # (C, images, size, size, 3)
            maps = convolve(crops.reshape(-1, *crops.shape[2:]))
            return maps.reshape(*crops.shape[:2], *maps.shape[1:]).swapaxes(0, 1)
        whole = convolve(np.concatenate([images, images[:, :, ::-1]]))
        both = whole.reshape(2, len(images), *whole.shape[1:])
        corners = clips.crop_grid(*images.shape[1:3], size)
        return [clips.map_crops(maps, corners, path.map_shape[:2]) for maps in both.swapaxes(0, 1)]


@dataclass(frozen=True)
class ImagePath:
    """The layers of one path that see one image at a time.

    Attributes:
        normalization: name of the layer that prepares the images.
        convolution: name of the layer after the lower SCLs.
        output: what that layer gives in the whole network.
    """

    normalization: str
    convolution: str
    output: keras.KerasTensor

    @property
    def sees_differences(self) -> bool:
        """True for the temporal path; the spatial one sees the middle frame of a clip."""
        return self.normalization == "difference_normalization"

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Height, width and features of the maps of one crop."""
        return self.output.shape[-3:]

    def images(self, pair: np.ndarray) -> list[tuple[int, ...]]:
        """Positions of the frames of each image."""
        if self.sees_differences:
            return [tuple(two) for two in pair.T.tolist()]
        return [(int(pair[0, pair.shape[1] // 2]),)]

    def image(self, frames: np.ndarray, *numbers: int) -> np.ndarray:
        """A frame, or the difference of two, uint8 `(h, w, 3)`."""
        if self.sees_differences:
            return clips.absolute_difference(*(frames[number] for number in numbers))
        return frames[numbers[0]]


def _image_paths(model: keras.Model) -> list[ImagePath]:
    names = {layer.name for layer in getattr(model, "layers", [])}
    layers = {
        "frame_normalization": "parallel_scl",
        "difference_normalization": "time_distributed_temporal_scl",
    }
    return [
        ImagePath(normalization, convolution, model.get_layer(convolution).output)
        for normalization, convolution in layers.items()
        if convolution in names
    ]


def _path_inputs(path: ImagePath, keys: Sequence[Sequence[ImageKey]], maps: Maps) -> np.ndarray:
    """Maps of all clips, `(clips * C, h, w, f)` or `(clips * C, l_t, h, w, f)`."""
    shape = (len(keys), clips.NUM_CROPS, len(keys[0]), *path.map_shape)
    inputs = np.empty(shape, maps[keys[0][0]][0].dtype)
    for clip, of_clip in enumerate(keys):
        for image, key in enumerate(of_clip):
            for crop, of_crop in enumerate(maps[key]):
                inputs[clip, crop, image] = of_crop
    return inputs.reshape(-1, *path.output.shape[1:])


def _convolutions(model: keras.Model, path: ImagePath, side: int | None) -> keras.Model:
    """The layers of a path that see one image, `(batch, h, w, 3)` uint8 to its maps.

    Args:
        model: the whole network.
        path: the path.
        side: of square images, pixels; `None` for images of any size.
    """
    image = keras.Input((side, side, 3), dtype="uint8")
    layer = model.get_layer(path.convolution)
    x = model.get_layer(path.normalization)(image)
    lower = lower_scls(model)
    x = (lower if side == lower.input_shape[1] else for_any_size(lower))(x)
    return keras.Model(image, getattr(layer, "layer", layer)(x))


def for_any_size(network: keras.Model) -> keras.Model:
    """A network of convolutions for images of any size, with the same weights."""
    config = network.get_config()
    config["layers"][0]["config"]["batch_shape"] = (None, None, None, 3)
    resized = network.__class__.from_config(config)
    resized.set_weights(network.get_weights())
    return resized

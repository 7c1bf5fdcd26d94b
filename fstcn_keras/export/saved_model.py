"""Makes a TensorFlow SavedModel of a trained network, which classifies whole videos by itself.

With N classes, M clips of C = 18 crops, and `l_t` frames of `s` pixels in a clip pair, its
signatures and their named inputs and outputs are

- `serving_default`: `clip`, `clip_diff`, uint8 `(batch, l_t, s, s, 3)`: clip pairs as
  `ViewPlan.cut` makes them. Output `probabilities`, float32 `(batch, N)`.
- `classify_video`: `frames`, uint8 `(T, H, W, 3)`, RGB, T, H and W at least 1. Outputs
  `probabilities`, float32 `(N)`: the SCI-fused scores in the order of the network's classes,
  which are maxima over clips and need not add up to 1; `classes`, string `(N)`: all class
  names, best first; `scores`, float32 `(N)`: theirs; `sci`, float32 `(M, C)`: the sparsity
  concentration index of each view. If the classifier refuses videos of none of the classes, also
  `novelty`, float32 `()`, see `rejection.novelty`, and `rejected`, bool `()`.
- `classify_jpegs`: `frames`, string `(T)`: JPEG, PNG, GIF (its first image) or BMP files,
  all of one size. The same outputs.
- `score_clips`, where views share feature maps or videos are refused: `frames`, uint8
  `(n, H, W, 3)`, resized to the short side of the views, and `pairs`, int32 `(clips, 2, l_t)`:
  positions of the frames of each clip. Outputs `probabilities`, float64 `(clips, C, N)`, and
  `energy`, float64 `(clips, C)`.
- `embed`: `frames` as for `classify_video`. Outputs `spatial_features`, `temporal_features`
  and `spatio_temporal_features`, those of them that the network has, float32 `(F)` each:
  means over the M x C views.

An image is resized, cut and convolved at a time, and distinct ones once, as `ViewScorer` does
it, so that memory grows with the frames given alone. Inputs that break the rules above raise
`InvalidArgumentError`.
"""

import re
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from fstcn_keras import clips, fusion
from fstcn_keras.acceleration.plain_export import plain_copy
from fstcn_keras.classifier import ActionClassifier
from fstcn_keras.description import load_description, load_rejection
from fstcn_keras.export.saved_scorer import SavedScorer
from fstcn_keras.model import FSTCN
from fstcn_keras.parts import FEATURES
from fstcn_keras.rejection import novelty
from fstcn_keras.runs import saved_model_version
from fstcn_keras.video import MAX_SIDE
from fstcn_keras.views.arrays import Array
from fstcn_keras.views.plan import ViewPlan
from fstcn_keras.views.resizing import resize, short_side_weights
from fstcn_keras.views.scoring import (
    ENERGY,
    PROBABILITIES,
    ImageEncoder,
    ViewScorer,
    with_probabilities,
)

DESCRIPTION = "assets.extra"  # folder of a SavedModel that TensorFlow leaves to its users
_BASE = 2**31  # above every frame number

Loader = Callable[[tf.Tensor], tf.Tensor]  # from a frame's number to (h, w, 3) uint8, resized
Outputs = dict[str, tf.Tensor]  # of a signature, by name


def write_saved_model(classifier: ActionClassifier, folder: Path) -> None:
    """Writes the SavedModel of a classifier, its class names and view plan in `assets.extra`.

    Raises:
        OSError: saying why it cannot be written, as when the disk is full.
        RuntimeError: see `saved_model_archive`.
    """
    archive = saved_model_archive(classifier)
    try:
        archive.write_out(folder, verbose=False)
    except tf.errors.OpError as error:
        why = re.sub(r"\{\{.*?\}\} | \[Op:\w+\]$", "", error.message).split("; ")[-1]
        raise OSError(why) from error
    classifier.save_description(folder / DESCRIPTION)


def load_saved_model(folder: Path) -> ActionClassifier:
    """Loads the classifier of a SavedModel; its network is the signature `serving_default`.

    Args:
        folder: that of a version, or the one that holds the versions: the newest is taken.

    Raises:
        FileNotFoundError: if it is neither, or was not written by `write_saved_model`.
        ValueError: if a file is damaged, or its views share feature maps in a way of old.
    """
    version = saved_model_version(folder)
    if version is None:
        raise FileNotFoundError(folder / "saved_model.pb")
    classes, plan = load_description(version / DESCRIPTION)
    shape = (plan.clip_length, plan.crop_size, plan.crop_size, 3)
    pair = {name: keras.Input(shape, dtype="uint8", name=name) for name in ("clip", "clip_diff")}
    network = keras.layers.TFSMLayer(version, call_endpoint="serving_default")
    outputs = network(pair["clip"], clip_diff=pair["clip_diff"])
    model = keras.Model(pair, outputs["probabilities"])
    rejection = load_rejection(version / DESCRIPTION)
    needs_scorer = plan.mode == "shared" or rejection is not None
    scorer = SavedScorer(version) if needs_scorer else None
    return ActionClassifier(model, classes=classes, plan=plan, scorer=scorer, rejection=rejection)


def saved_model_archive(classifier: ActionClassifier) -> keras.export.ExportArchive:
    """Makes the SavedModel of a classifier, ready for `write_out`.

    Its signatures are those at the head of this module.

    Raises:
        RuntimeError: if Keras does not run on TensorFlow.
        ValueError: if the network is not `FSTCN`.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"A SavedModel needs Keras on TensorFlow. Received: {keras.backend.backend()}"
        )
    if not isinstance(classifier.model, FSTCN):
        raise ValueError(f"The network must be FSTCN. Received: {classifier.model.name}")
    network, plan = plain_copy(classifier.model, classifier_activation="softmax"), classifier.plan
    frames = tf.TensorSpec((None, None, None, 3), tf.uint8, name="frames")
    jpegs = tf.TensorSpec((None,), tf.string, name="frames")
    shape = (None, plan.clip_length, plan.crop_size, plan.crop_size, 3)
    clip_pair = [tf.TensorSpec(shape, tf.uint8, name=name) for name in ("clip", "clip_diff")]
    scorer = ViewScorer(network, plan)

    def serving_default(clip: tf.Tensor, clip_diff: tf.Tensor) -> Outputs:
        views = {"clip": clip, "clip_diff": clip_diff}
        return {"probabilities": network(views, training=False)}

    def classify(load: Loader, num_frames: tf.Tensor) -> Outputs:
        views = score_views(scorer, plan, load, num_frames)
        answer = ranked(views[PROBABILITIES], classifier.classes)
        if classifier.rejection is None:
            return answer
        found = novelty(views[ENERGY])
        refused = classifier.rejection.rejects(found)
        return {**answer, "novelty": tf.cast(found, tf.float32), "rejected": refused}

    def classify_video(frames: tf.Tensor) -> Outputs:
        return classify(*frame_loader(frames, plan.short_side))

    def classify_jpegs(frames: tf.Tensor) -> Outputs:
        return classify(*jpeg_loader(frames, plan.short_side))

    def embed(frames: tf.Tensor) -> Outputs:
        views = score_views(scorer, plan, *frame_loader(frames, plan.short_side))
        return {
            name: tf.reduce_mean(x, axis=(0, 1)) for name, x in views.items() if name in FEATURES
        }

    def score_clips(frames: tf.Tensor, pairs: tf.Tensor) -> Outputs:
        scores = score_pairs(scorer, plan, lambda number: frames[number], pairs)
        outputs = with_probabilities(scores)
        return {name: outputs[name] for name in (PROBABILITIES, ENERGY)}

    archive = keras.export.ExportArchive()
    endpoints = {
        serving_default: clip_pair,
        classify_video: [frames],
        classify_jpegs: [jpegs],
        embed: [frames],
    }
    # others are scored by `serving_default`
    if plan.mode == "shared" or classifier.rejection is not None:
        pairs = tf.TensorSpec((None, 2, plan.clip_length), tf.int32, name="pairs")
        endpoints[score_clips] = [frames, pairs]
    for function, signature in endpoints.items():
        archive.add_endpoint(function.__name__, function, input_signature=signature)
    return archive


def frame_loader(frames: tf.Tensor, short_side: int) -> tuple[Loader, tf.Tensor]:
    """Makes a loader of frames that are pixels.

    Example:
        >>> load, num_frames = frame_loader(tf.zeros((4, 48, 64, 3), tf.uint8), 24)
        >>> tuple(load(0).shape), int(num_frames)
        ((24, 32, 3), 4)

    Args:
        frames: uint8 `(T, H, W, 3)`.
        short_side: short side of the loaded frames, pixels.

    Returns:
        The loader, and T, scalar int32.
    """
    shape = tf.shape(frames)
    shape = _checked(shape, tf.reduce_min(shape) > 0, "frames must be (T, H, W, 3), none of them 0")
    weights = _checked_weights(shape[1], shape[2], short_side)
    return lambda number: resize(frames[number], *weights), shape[0]


def jpeg_loader(files: tf.Tensor, short_side: int) -> tuple[Loader, tf.Tensor]:
    """Makes a loader of frames that are image files.

    Example:
        >>> file = tf.io.encode_jpeg(tf.zeros((48, 64, 3), tf.uint8))
        >>> load, num_frames = jpeg_loader(tf.stack([file, file]), 24)
        >>> tuple(load(1).shape), int(num_frames)
        ((24, 32, 3), 2)

    Args:
        files: string `(T)`, image files of one size.
        short_side: as for `frame_loader`.

    Returns:
        The loader, which decodes one file at a time, and T, scalar int32.
    """
    files = _checked(files, tf.size(files) > 0, "frames must hold at least one image file")

    def decode(number: tf.Tensor) -> tf.Tensor:
        file = files[number]
        image = tf.cond(
            tf.io.is_jpeg(file),
            # as other decoders: TensorFlow's own choice of DCT is off by up to 13 of 255
            lambda: tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_image(file, channels=3, expand_animations=False),
        )
        return tf.ensure_shape(image, (None, None, 3))

    first = tf.shape(decode(0))
    weights = _checked_weights(first[0], first[1], short_side)

    def load(number: tf.Tensor) -> tf.Tensor:
        image = decode(number)
        same = tf.reduce_all(tf.shape(image) == first)
        return resize(_checked(image, same, "frames must be of one size"), *weights)

    return load, tf.size(files)


def _checked(x: tf.Tensor, fine: tf.Tensor, message: str) -> tf.Tensor:
    """Returns the tensor; what is computed from it waits for the check."""
    with tf.control_dependencies([tf.debugging.Assert(fine, [message])]):
        return tf.identity(x)


def _checked_weights(height: tf.Tensor, width: tf.Tensor, short_side: int) -> tuple[Array, Array]:
    ratio = tf.maximum(height, width) / tf.minimum(height, width)
    height = _checked(
        height,
        ratio * short_side <= MAX_SIDE,
        f"frames are too long and narrow: resized, a side is over {MAX_SIDE} pixels",
    )
    return short_side_weights(height, width, short_side)


def score_views(
    scorer: ViewScorer, plan: ViewPlan, load: Loader, num_frames: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Scores the clips of a video as `ViewScorer.score` does, in a graph.

    Example:
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> plan = ViewPlan.from_config(model.config, num_clips=1)
        >>> load, num_frames = frame_loader(tf.zeros((40, 64, 64, 3), tf.uint8), 64)
        >>> views = score_views(ViewScorer(model, plan), plan, load, num_frames)
        >>> tuple(views[PROBABILITIES].shape)
        (1, 18, 2)

    Args:
        scorer: with a dictionary of outputs.
        plan: the views.
        load: gives a frame by its number, see `Loader`.
        num_frames: how many there are, scalar int32.

    Returns:
        float32 `(M, C, ...)` each, the probabilities float64.
    """
    starts, start_numbers = tf.unique(plan.start_frames(num_frames))
    pairs = plan.pairs_from(starts, num_frames)  # (starts, 2, l_t)
    scores = score_pairs(scorer, plan, load, pairs)
    return with_probabilities({name: tf.gather(x, start_numbers) for name, x in scores.items()})


def score_pairs(scorer: ViewScorer, plan: ViewPlan, load: Loader, pairs: tf.Tensor) -> Outputs:
    """Scores clips in a graph.

    Example:
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> plan = ViewPlan.from_config(model.config, num_clips=1)
        >>> load, num_frames = frame_loader(tf.zeros((40, 64, 64, 3), tf.uint8), 64)
        >>> pairs = plan.pair_indices(num_frames)
        >>> tuple(score_pairs(ViewScorer(model, plan), plan, load, pairs)["logits"].shape)
        (1, 18, 2)

    Args:
        scorer: with a dictionary of outputs.
        plan: the views.
        load: gives a frame by its number, see `Loader`.
        pairs: frame numbers int32 `(clips, 2, l_t)`.

    Returns:
        float32 `(clips, C, ...)` each.
    """
    maps = [encoder_maps(encoder, plan, load, pairs) for encoder in scorer.encoders]

    def score(clip: tf.Tensor) -> Outputs:
        inputs = {}
        for encoder, (image_maps, image_numbers) in zip(scorer.encoders, maps, strict=True):
            clip_maps = tf.gather(image_maps, image_numbers[clip])  # (images, C, h, w, f)
            swapped = tf.transpose(clip_maps, (1, 0, 2, 3, 4))
            inputs[encoder.head_input] = swapped if encoder.sees_differences else swapped[:, 0]
        return scorer.head(inputs, training=False)

    outputs = {
        name: tf.TensorSpec((clips.NUM_CROPS, *output.shape[1:]), tf.float32)
        for name, output in scorer.head.output.items()
    }
    numbers = tf.range(tf.shape(pairs)[0])
    return tf.map_fn(score, numbers, fn_output_signature=outputs, parallel_iterations=1)


def encoder_maps(
    encoder: ImageEncoder, plan: ViewPlan, load: Loader, pairs: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Encodes the distinct images that an encoder takes of some clips.

    Example:
        >>> model = FSTCN(num_classes=2, preset="small", width=0.125, crop_size=60, short_side=64)
        >>> plan = ViewPlan.from_config(model.config, num_clips=1)
        >>> load, num_frames = frame_loader(tf.zeros((40, 64, 64, 3), tf.uint8), 64)
        >>> encoder = ViewScorer(model, plan).encoders[0]  # of the middle frame of each clip
        >>> maps, image_numbers = encoder_maps(encoder, plan, load, plan.pair_indices(num_frames))
        >>> tuple(maps.shape), tuple(image_numbers.shape)
        ((1, 18, 3, 3, 64), (1, 1))

    Args:
        encoder: the encoder.
        plan: the views.
        load: gives a frame by its number.
        pairs: frame numbers int32 `(clips, 2, l_t)`.

    Returns:
        float32 `(images, C, h, w, f)`, and int32 `(clips, images of a clip)`, which of them
        belong to each clip.
    """
    middle = plan.clip_length // 2
    first, later = pairs[:, 0], pairs[:, 1]  # (clips, l_t)
    if not encoder.sees_differences:
        first = later = first[:, middle : middle + 1]
    numbers = tf.cast(first, tf.int64) * _BASE + tf.cast(later, tf.int64)  # two in one
    distinct, image_numbers = tf.unique(tf.reshape(numbers, (-1,)))

    def encode(number: tf.Tensor) -> tf.Tensor:
        image = load(tf.cast(number // _BASE, tf.int32))
        if encoder.sees_differences:
            other = load(tf.cast(number % _BASE, tf.int32))
            image = clips.absolute_difference(image, other)
        if plan.mode == "exact":
            return encoder.network(clips.crops(image, plan.crop_size), training=False)
        mirrored = tf.reverse(image, axis=[1])
        whole = encoder.network(tf.stack([image, mirrored]), training=False)
        height, width, _ = tf.unstack(tf.shape(image))
        corners = clips.crop_grid(height, width, plan.crop_size)
        return tf.stack(clips.map_crops(whole, corners, encoder.map_shape[:2]))

    signature = tf.TensorSpec((clips.NUM_CROPS, *encoder.map_shape), tf.float32)
    maps = tf.map_fn(encode, distinct, fn_output_signature=signature, parallel_iterations=1)
    return maps, tf.reshape(image_numbers, tf.shape(numbers))


def ranked(probabilities: tf.Tensor, classes: tuple[str, ...]) -> dict[str, tf.Tensor]:
    """Fuses the probabilities of all views, float `(M, C, N)`, and ranks the classes.

    Example:
        >>> views = tf.constant([[[0.25, 0.75], [0.0, 1.0]]])  # one clip of two crops
        >>> ranked(views, ("jump", "run"))["classes"].numpy().tolist()
        [b'run', b'jump']

    Returns:
        The outputs of `classify_video`, see the head of this module.
    """
    fused = fusion.fuse(probabilities)
    order = tf.argsort(fused, direction="DESCENDING", stable=True)
    return {
        "probabilities": tf.cast(fused, tf.float32),
        "classes": tf.gather(tf.constant(classes), order),
        "scores": tf.cast(tf.gather(fused, order), tf.float32),
        "sci": tf.cast(fusion.sci(probabilities), tf.float32),
    }

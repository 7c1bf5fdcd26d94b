"""What else learns encoded views: linear heads, and a head of factorised space-time convolutions.

Each learns the same maps of the same views as FSTCN's head, and answers by the mean of its
probabilities, or its features, over the views of a video. What a head leaves open is chosen by
cross-validation over whole sources of the training videos.
"""

from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from keras import layers
from sklearn.model_selection import GroupKFold

from training.baseline import svm_answers

Maps = Mapping[
    str, np.ndarray
]  # "frame" (videos, views, h, w, f), "differences" (..., l_t, h, w, f)

FOLDS = 3  # of the choice
DROPOUTS = (0.5, 0.8)
PASSES = 60  # over the training videos
RATE, DECAY, BATCH = 1e-3, 1e-2, 32
UNITS = 256  # maps of the space-time convolutions


def pooled(maps: Maps, names: Sequence[str]) -> np.ndarray:
    """Returns square roots of means over positions and time, float32 `(videos, views, features)`.

    Those of each kind and view are scaled to a mean square of 1.
    """
    kinds = []
    for name in names:
        values = maps[name].astype(np.float32)
        means = values.mean(axis=tuple(range(2, values.ndim - 1)))
        roots = np.sqrt(np.maximum(means, 0))  # features follow a ReLU
        size = np.sqrt(np.mean(np.square(roots), axis=-1, keepdims=True))
        kinds.append(roots / np.maximum(size, 1e-12))
    return np.concatenate(kinds, axis=-1)


def svm(train: np.ndarray, labels: np.ndarray, groups: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Returns the labels that a linear support vector machine gives test videos.

    Args:
        train: features of the training videos, `(videos, views, features)`; views are averaged.
        labels: of the training videos.
        groups: their sources.
        test: features of the test videos.
    """
    length = np.sqrt(train.shape[-1])
    means, unseen = train.mean(axis=1) / length, test.mean(axis=1) / length
    answers, _ = svm_answers(means, labels, groups, unseen, folds=_folds(groups))
    return answers


def softmax(
    train: np.ndarray,
    labels: np.ndarray,
    test: np.ndarray,
    *,
    dropout: float,
    seed: int,
    passes: int,
) -> np.ndarray:
    """Returns the labels that a softmax layer with dropout, trained on single views, gives.

    On frames alone it is the network of temporal segments (Wang et al. 2016) with one frame a
    segment and the mean as its consensus.

    Args:
        train: as of `svm`, and so `labels` and `test`.
        labels: of the training videos.
        test: features of the test videos.
        dropout: share of the features that a step leaves out.
        seed: of the layer and its training.
        passes: over the training videos.
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(train.shape[2:])
    logits = layers.Dense(int(labels.max()) + 1)(layers.Dropout(dropout)(inputs))
    return _answers(_trained(keras.Model(inputs, logits), train, labels, passes), test)


def best_dropout(train: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    """Returns the dropout of `softmax` that is right most often on sources that are left out.

    Args:
        train: as of `svm`, and so the others.
        labels: of the training videos.
        groups: their sources.
    """

    def right(dropout: float) -> int:
        folds = _folds(groups).split(train, labels, groups)
        return sum(
            np.sum(
                softmax(
                    train[part],
                    labels[part],
                    train[rest],
                    dropout=dropout,
                    seed=0,
                    passes=PASSES,
                )
                == labels[rest]
            )
            for part, rest in folds
        )

    return max(DROPOUTS, key=right)


def space_time(
    train: Maps, labels: np.ndarray, test: Maps, *, seed: int, passes: int
) -> np.ndarray:
    """Returns the labels that factorised convolutions over the maps give test videos.

    As a bottleneck block of R(2+1)D (Tran et al. 2018) on the differences: convolutions of 1 x 1 x
    1, of 1 x 3 x 3 and of 3 x 1 x 1, each with ReLU, and the mean over space and time; beside it
    the mean of the frame's maps; then dropout and a softmax layer.

    Args:
        train: maps of the training videos.
        labels: of the training videos.
        test: maps of the test videos.
        seed: of the layers and their training.
        passes: over the training videos.
    """
    keras.utils.set_random_seed(seed)
    inputs = {
        name: keras.Input(values.shape[2:], name=name) for name, values in sorted(train.items())
    }
    x = layers.Conv3D(UNITS, 1, activation="relu")(inputs["differences"])
    x = layers.Conv3D(UNITS, (1, 3, 3), padding="same", activation="relu")(x)
    x = layers.Conv3D(UNITS, (3, 1, 1), padding="same", activation="relu")(x)
    means = [layers.GlobalAveragePooling3D()(x)]
    if "frame" in inputs:
        means.append(layers.GlobalAveragePooling2D()(inputs["frame"]))
    joined = layers.Dropout(DROPOUTS[0])(layers.Concatenate()(means))
    model = keras.Model(inputs, layers.Dense(int(labels.max()) + 1)(joined))
    return _answers(_trained(model, train, labels, passes), test)


def _folds(groups: Sequence[str]) -> GroupKFold:
    return GroupKFold(min(FOLDS, len({*groups})))


def _trained(model: keras.Model, views, labels: np.ndarray, passes: int) -> keras.Model:
    """Trains on single views, in each pass one of each video."""
    count = len(labels)
    steps = passes * -(-count // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - steps // 4, warmup_target=RATE, warmup_steps=steps // 4
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=DECAY)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=False)
    model.fit(_Passes(views, labels), epochs=passes, verbose=0)
    return model


class _Passes(keras.utils.PyDataset):
    """Batches of a pass: every video once, one of its views."""

    def __init__(self, views, labels: np.ndarray):
        super().__init__()
        self._views, self._labels = views, labels
        self._generator = np.random.default_rng(0)
        self.on_epoch_end()

    def on_epoch_end(self):
        """Draws the order of the videos, and their views."""
        self._order = self._generator.permutation(len(self._labels))
        views = (
            next(iter(self._views.values())) if isinstance(self._views, Mapping) else self._views
        )
        self._chosen = self._generator.integers(views.shape[1], size=len(self._labels))

    def __len__(self) -> int:
        return -(-len(self._labels) // BATCH)

    def __getitem__(self, index: int):
        videos = self._order[index * BATCH : (index + 1) * BATCH]
        views = _each(self._views, lambda values: values[videos, self._chosen[videos]])
        return views, self._labels[videos]


def _answers(model: keras.Model, views) -> np.ndarray:
    """Returns the likeliest label of each video, by the mean over its views."""
    first = next(iter(views.values())) if isinstance(views, Mapping) else views
    flat = _each(views, lambda values: values.reshape(-1, *values.shape[2:]))
    probabilities = keras.ops.softmax(model.predict(flat, batch_size=256, verbose=0))
    means = keras.ops.convert_to_numpy(probabilities).reshape(*first.shape[:2], -1).mean(axis=1)
    return means.argmax(axis=-1)


def _each(views, function: Callable):
    """Applies a function to an array, or to each of several by name; as float32."""
    if isinstance(views, Mapping):
        return {name: function(values).astype(np.float32) for name, values in views.items()}
    return function(views).astype(np.float32)

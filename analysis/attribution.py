"""Which pixels the score of a class comes from, by its gradient with respect to the pixels.

The score is the logit of the class, before the softmax, as in Simonyan et al. 2014; here the mean
over the nine crops of the grid (Figure 3), so that it is a function of whole frames. A clip is a
dictionary of what the two paths look at, float32 pixels 0 to 255: `"frame"` (1, height, width, 3),
the one frame of the spatial path, and `"differences"` (l_t, height, width, 3), the absolute
differences of the temporal path. A network of one path knows only its own part.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from fstcn_keras import clips
from fstcn_keras.acceleration.plain_export import plain_copy
from fstcn_keras.model import FSTCN
from fstcn_keras.parts import LOGITS, all_layers_by_name

COMPLETENESS = 0.01  # the share of the score that integrated gradients may leave unexplained
FEWEST_STEPS, MOST_STEPS = 16, 512  # of integrated gradients

Clip = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """Whether integrated gradients explain the whole score (Sundararajan et al. 2017, section 3).

    Attributes:
        attributed: sum of the attributions over all pixels of all parts.
        difference: score of the clip minus that of the baseline; what the sum should be.
        steps: intervals on the straight line between them.
    """

    attributed: float
    difference: float
    steps: int

    @property
    def error(self) -> float:
        """`|attributed - difference| / |difference|`."""
        return abs(self.attributed - self.difference) / max(abs(self.difference), 1e-12)

    @property
    def is_reached(self) -> bool:
        """Whether the error is at most `COMPLETENESS`."""
        return self.error <= COMPLETENESS


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What each pixel does for a score.

    Attributes:
        maps: by part, float32 `(time, height, width)`, not negative.
        completeness: of integrated gradients, else `None`.
    """

    maps: Clip
    completeness: Completeness | None = None


class ClipNetwork:
    """FSTCN on whole frames of float pixels, in float32 and without its softmax.

    The network is a copy: the given one stays as it is.

    Args:
        model: the network, of any precision.
        guided: whether ReLUs, ReLU6 among them, pass on positive gradients alone (guided
            back-propagation, Springenberg et al. 2015); other non-linearities keep their gradient.

    Attributes:
        baselines: by part that the network looks at, its pixel without content, float32 `(3,)`:
            the mean colour of frames, no difference.
    """

    def __init__(self, model: FSTCN, *, guided: bool = False):
        self._network = plain_copy(model, dtype="float32", classifier_activation=None)
        if guided:
            _guide(self._network)
        encoders = {
            "frame": self._network.frame_encoder,
            "differences": self._network.difference_encoder,
        }
        self._encoders = {part: one for part, one in encoders.items() if one is not None}
        self.baselines = {
            part: np.float32(encoder.layers[0].mean) for part, encoder in self._encoders.items()
        }
        self._logits = tf.function(self._logits_of_crops)
        self._derive = tf.function(self._gradient_of_crops)

    def randomise(self, seed: int):
        """Draws all weights anew, as before any training, but from no training's seed.

        Under the seed that it was trained with, the network would be its own beginning.
        """
        keras.utils.set_random_seed(int(np.random.default_rng([seed, 1]).integers(2**31)))
        fresh = FSTCN.from_config(self._network.get_config())
        self._network.set_weights(fresh.get_weights())

    def baseline(self, clip: Clip) -> Clip:
        """A clip of the same shape without content."""
        return {part: np.broadcast_to(self.baselines[part], x.shape) for part, x in clip.items()}

    def probabilities(self, clip: Clip) -> np.ndarray:
        """Class probabilities, mean over the nine crops, float32 `(N,)`."""
        return tf.reduce_mean(tf.nn.softmax(self._logits(self._cut(clip))), axis=0).numpy()

    def score(self, clip: Clip, label: int) -> float:
        """Logit of a class, mean over the nine crops."""
        return float(tf.reduce_mean(self._logits(self._cut(clip)), axis=0)[label])

    def gradient(self, clip: Clip, label: int) -> Clip:
        """Derivative of the score by every pixel, per grey level, of the clip's shape."""
        crops = self._derive(self._cut(clip), tf.constant(label))
        gradient = {part: np.zeros(x.shape, np.float32) for part, x in clip.items()}
        for part, values in crops.items():
            for window, value in zip(self._windows(gradient[part]), values.numpy(), strict=True):
                window += value
        return gradient

    def crops_over(self, height: int, width: int) -> np.ndarray:
        """How many of the nine crops hold each pixel of a frame, int `(height, width)`."""
        counts = np.zeros((1, height, width, 1), int)
        for window in self._windows(counts):
            window += 1
        return counts[0, ..., 0]

    def _windows(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Returns views into `(time, height, width, channels)`, one for each crop of the grid."""
        size = self._network.config.crop_size
        corners = clips.crop_grid(pixels.shape[1], pixels.shape[2], size)
        return clips.windows(pixels, corners, (size, size))

    def _cut(self, clip: Clip) -> dict[str, tf.Tensor]:
        """By part, its nine crops, (9, time, size, size, 3)."""
        return {part: tf.constant(np.stack(self._windows(x))) for part, x in clip.items()}

    def _logits_of_crops(self, crops):
        """(9, N)."""
        maps = {}
        for part, encoder in self._encoders.items():
            x = crops[part]  # (9, time, size, size, 3)
            length = x.shape[1]
            x = tf.reshape(x, (-1, *x.shape[2:]))
            for layer in encoder.layers:  # one after another: as a whole they take uint8
                x = layer(x, training=False)
            maps[part] = tf.reshape(x, (-1, length, *x.shape[1:]))
        if "frame" in maps:
            maps["frame"] = maps["frame"][:, 0]
        return self._network.head(maps, training=False)[LOGITS]

    def _gradient_of_crops(self, crops, label):
        with tf.GradientTape() as tape:
            tape.watch(crops)
            score = tf.reduce_mean(self._logits_of_crops(crops), axis=0)[label]
        return tape.gradient(score, crops)


def gradient(network: ClipNetwork, clip: Clip, *, label: int) -> Attribution:
    """Back-propagation of the score: the largest `|ds/dx|` of a pixel's three channels.

    With a guided network this is guided back-propagation.

    Reference:
        Sun et al. 2015, section 4 and Figure 5; Simonyan et al. 2014, section 3.1.
    """
    return Attribution(maps=_largest_channel(network.gradient(clip, label)))


def smoothgrad(
    network: ClipNetwork,
    clip: Clip,
    *,
    label: int,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Attribution:
    """Mean gradient over noisy copies of the clip, then as `gradient`.

    Args:
        network: the network.
        clip: the clip.
        label: of the class.
        samples: number of copies.
        noise: standard deviation of the Gaussian noise, relative to the range of each part's
            pixels.
        seed: of the noise.

    Reference:
        Smilkov et al. 2017, section 3.
    """
    generator = np.random.default_rng(seed)
    deviations = {part: noise * float(np.ptp(x)) for part, x in clip.items()}

    def noisy() -> Clip:
        return {
            part: x + deviations[part] * generator.standard_normal(x.shape, np.float32)
            for part, x in clip.items()
        }

    copies = (noisy() for _ in range(samples))
    return Attribution(maps=_largest_channel(_mean_gradient(network, copies, label)))


def integrated_gradients(network: ClipNetwork, clip: Clip, *, label: int) -> Attribution:
    """Integrated gradients from the clip without content, summed over channels, `|.|`.

    ```
    a = (x - x0) * integral_0^1 ds/dx (x0 + u (x - x0)) du
    ```

    The integral is taken by the trapezoidal rule, its steps halved until the attributions add up
    to `s(x) - s(x0)` within `COMPLETENESS`, or there are `MOST_STEPS`.

    Reference:
        Sundararajan et al. 2017, equation (1).
    """
    start = network.baseline(clip)
    way = {part: x - start[part] for part, x in clip.items()}
    difference = network.score(clip, label) - network.score(start, label)
    mean = _mean_gradient(network, [start, clip], label)
    steps = 1
    while True:
        points = [(k + 0.5) / steps for k in range(steps)]
        between = ({part: start[part] + np.float32(u) * way[part] for part in way} for u in points)
        middle = _mean_gradient(network, between, label)
        mean = {part: (mean[part] + middle[part]) / 2 for part in mean}
        steps *= 2
        attributions = {part: way[part] * mean[part] for part in way}
        completeness = Completeness(
            attributed=float(sum(a.sum(dtype=np.float64) for a in attributions.values())),
            difference=difference,
            steps=steps,
        )
        if steps >= MOST_STEPS or (steps >= FEWEST_STEPS and completeness.is_reached):
            maps = {part: np.abs(a.sum(axis=-1)) for part, a in attributions.items()}
            return Attribution(maps=maps, completeness=completeness)


METHODS: dict[str, Callable[..., Attribution]] = {
    "gradient": gradient,
    "guided": gradient,
    "smoothgrad": smoothgrad,
    "integrated_gradients": integrated_gradients,
}


def _mean_gradient(network: ClipNetwork, clips: Iterable[Clip], label: int) -> Clip:
    total, number = {}, 0
    for clip in clips:
        number += 1
        for part, value in network.gradient(clip, label).items():
            total[part] = total.get(part, 0) + value
    return {part: value / number for part, value in total.items()}


def _largest_channel(gradient: Clip) -> Clip:
    return {part: np.abs(value).max(axis=-1) for part, value in gradient.items()}


def _guide(network: keras.Model):
    guided = {keras.activations.relu: _guided_relu, keras.activations.relu6: _guided_relu6}
    for _, layer in all_layers_by_name(network):
        if getattr(layer, "activation", None) in guided:
            layer.activation = guided[layer.activation]
        elif isinstance(layer, keras.layers.ReLU) and _is_plain(layer):
            layer.call = _guided_relu if layer.max_value is None else _guided_relu6


def _is_plain(relu: keras.layers.ReLU) -> bool:
    return relu.max_value in (None, 6) and not relu.negative_slope and not relu.threshold


@tf.custom_gradient
def _guided_relu(x):
    def backward(upstream):
        return tf.where(x > 0, tf.nn.relu(upstream), 0)

    return tf.nn.relu(x), backward


@tf.custom_gradient
def _guided_relu6(x):
    def backward(upstream):
        return tf.where((x > 0) & (x < 6), tf.nn.relu(upstream), 0)

    return tf.nn.relu6(x), backward

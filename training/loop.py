"""The training loop: one stage on any strategy, from any step on.

Keras' own `fit` neither trains on several machines nor starts in the middle of an epoch.
"""

import contextlib
import gc
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tensorflow.python.framework.ops import gradient_registry

from fstcn_keras.runs import RunFolder
from training.checkpoints import Checkpoints, Progress
from training.cluster import WorkerLost
from training.data.pipeline import (
    FiniteSampler,
    Sampler,
    Share,
    finite_batches,
    reading_errors_unwrapped,
    training_batches,
)
from training.distribution import is_chief, num_workers, sum_over_workers, take_from_chief
from training.ending import EXIT_CODES, answering, signals_answered
from training.errors import UserError
from training.history import History

SAVING_SPACING = 10  # between two savings, times what one takes
SEEDS_APART = 1_000_003  # between the seeds of one layer on two replicas


@dataclass(kw_only=True)
class Stage:
    """One stage of training.

    Attributes:
        name: names its checkpoints and its rows of the history.
        network: what is trained, or the layers of `model` are a part of.
        model: from the samples' inputs to class probabilities.
        optimizer: built, see `optimizers.build_optimizer`.
        sampler: of what it is trained on.
        held_out: of what chooses the best epoch; `None` keeps the last.
        epochs: passes over the training videos.
        steps_per_epoch: steps of a pass.
        batch_size: samples of a step, over all replicas.
        label_smoothing: share of the target spread evenly over all classes.
        class_weights: factor on the loss of each class's samples; `None` for 1.
    """

    name: str
    network: keras.Model
    model: keras.Model
    optimizer: keras.Optimizer
    sampler: Sampler
    held_out: FiniteSampler | None
    epochs: int
    steps_per_epoch: int
    batch_size: int
    label_smoothing: float = 0.0
    class_weights: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Returns the steps of the whole stage."""
        return self.epochs * self.steps_per_epoch


@contextlib.contextmanager
def graphs_released():
    """Lets go, at the end, of the graphs that were made within, and so of their variables.

    TensorFlow keeps the custom gradients of a graph, such as those of LRN and of a sum over
    replicas, in a registry for as long as the process lives, and with them the graph and all its
    variables: a process that trains several networks would grow by each of them.
    """
    gradients = gradient_registry._registry
    before = set(gradients)
    try:
        yield
    finally:
        for name in set(gradients) - before:
            if name.startswith("CustomGradient-"):
                del gradients[name]
        gc.collect()


@graphs_released()
def train(stage: Stage, strategy: tf.distribute.Strategy, run: RunFolder, *, minutes: float):
    """Trains the stage to its end and leaves the model as the best epoch had it.

    The state is saved after the last epoch, after every so many minutes, and on SIGTERM or Ctrl-C,
    which end the process after the step that is being done; also after each epoch, unless saving
    would then take more than a tenth of the time. Of several workers the first saves, whichever of
    them is stopped.

    Args:
        stage: what to train.
        strategy: in whose scope the stage was made.
        run: the run folder, which gets checkpoints, `history.csv` and TensorBoard logs.
        minutes: between two checkpoints within an epoch.

    Raises:
        UserError: if the loss is not finite any more, no checkpoint can be read, or a batch takes
            more memory than there is.
        SystemExit: 143 after SIGTERM, 130 after Ctrl-C.
        WorkerLost: if another worker is stopped.
    """
    checkpoints = Checkpoints(run.checkpoints, stage.name)
    progress = _restore(stage, strategy, checkpoints)
    if progress.step:
        done = progress.step / stage.steps_per_epoch
        print(f"stage {stage.name}: {done:g} of {stage.epochs} epochs are done already", flush=True)
    _draw_apart(stage.model, strategy)
    chief = is_chief(strategy)
    history = History(stage.name, stage.epochs, run if chief else None)
    if progress.history:
        history.write_csv(progress.history)
    step, validate = train_step(stage, strategy), _validation(stage, strategy)
    saved, cost, stopping = time.monotonic(), 0.0, False
    with reading_errors_unwrapped(), _memory_errors_named(stage), _stop_signal() as stopped:
        for batch in _training_data(stage, strategy, start_step=progress.step):
            *sums, stopping = step(*batch, tf.constant(float(bool(stopped)))).numpy().tolist()
            if num_workers(strategy) == 1:
                stopping = stopped
            _check_finite(sums[0], stage, progress.step, run)
            progress.step += 1
            progress.sums = [a + b for a, b in zip(progress.sums, sums, strict=True)]
            history.step(progress, stage.steps_per_epoch)
            epoch_ends = progress.step % stage.steps_per_epoch == 0
            if epoch_ends:
                _end_epoch(stage, validate, progress, checkpoints if chief else None)
                history.epoch(progress)
            spacing = min(60 * minutes, SAVING_SPACING * cost if epoch_ends else math.inf)
            now, ends = time.monotonic(), progress.step == stage.steps
            if stopping or ends or now - saved >= spacing:
                if chief:
                    checkpoints.save(stage.model, stage.optimizer, progress)
                saved = time.monotonic()
                cost = saved - now
            if stopping:
                break
    if stopped:  # also by a signal that came after the last step
        print(f"stopped after step {progress.step}; the same command goes on from here")
        sys.exit(stopped[0])
    if stopping:
        raise WorkerLost(f"one was stopped after step {progress.step}")
    sum_over_workers(strategy, 0)  # the first has written its files
    if progress.best_epoch is not None:
        checkpoints.restore_best(stage.model)


def _restore(stage: Stage, strategy: tf.distribute.Strategy, checkpoints: Checkpoints) -> Progress:
    progress = checkpoints.restore(stage.model, stage.optimizer)
    steps = sum_over_workers(strategy, progress.step)
    if steps != progress.step * num_workers(strategy):
        raise UserError(
            f"this worker would go on from step {progress.step} of stage {stage.name}, another one "
            "from another: all workers must see the same run folder"
        )
    take_from_chief(strategy, [*stage.model.variables, *stage.optimizer.variables])
    return progress


def _draw_apart(model: keras.Model, strategy: tf.distribute.Strategy):
    """Gives the random layers of each replica seeds of their own, the first one's as they are.

    A seed is a variable with a copy on each replica: frames and dropout masks would be the same
    on all. Checkpoints hold the first replica's copies, which set the others anew.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    seeds = [variable for variable in model.variables if variable.name == "seed_generator_state"]

    def replica_shift():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        for seed in seeds:
            shift = ops.cast([replica * SEEDS_APART, 0], seed.dtype)
            seed.assign(ops.add(seed, shift))

    tf.function(strategy.run, autograph=False, jit_compile=False)(replica_shift)


def _training_data(stage: Stage, strategy: tf.distribute.Strategy, *, start_step: int):
    data = strategy.distribute_datasets_from_function(
        lambda context: training_batches(
            stage.sampler,
            batch_size=stage.batch_size,
            start_step=start_step,
            share=_share(context),
        )
    )
    return itertools.islice(data, stage.steps - start_step)


def _share(context: tf.distribute.InputContext) -> Share:
    total = context.num_replicas_in_sync
    count = total // context.num_input_pipelines
    return Share(first=context.input_pipeline_id * count, count=count, total=total)


def train_step(stage: Stage, strategy: tf.distribute.Strategy):
    """Returns a function that does one step on one batch a replica of `training_batches`.

    It takes inputs, labels, weights and whether this worker is to stop, float32; it gives the
    sums that `Progress` adds up, and more than 0 if a worker said that it is stopped.
    """
    model, optimizer = stage.model, stage.optimizer
    num_classes, smoothing = model.output.shape[-1], stage.label_smoothing
    class_weights = np.ones(num_classes) if stage.class_weights is None else stage.class_weights

    def replica_step(inputs, labels, weights, stopped):
        targets = (1 - smoothing) * ops.one_hot(labels, num_classes) + smoothing / num_classes
        with tf.GradientTape() as tape:
            probabilities = model(inputs, training=True)
            losses = ops.categorical_crossentropy(targets, probabilities)
            # gradients are summed over the replicas
            shares = weights * ops.take(ops.cast(class_weights, "float32"), labels)
            objective = ops.sum(losses * shares) / stage.batch_size
            objective = optimizer.scale_loss(objective)
        gradients = tape.gradient(objective, model.trainable_variables)
        # a kernel that is still being read is copied when it is updated
        with tf.control_dependencies(gradients):
            optimizer.apply(gradients, model.trainable_variables)
        return ops.append(_sums(labels, probabilities, losses, weights), stopped)

    @tf.function(autograph=False, jit_compile=False)
    def step(inputs, labels, weights, stopped):
        sums = strategy.run(replica_step, args=(inputs, labels, weights, stopped))
        return strategy.reduce("SUM", sums, axis=None)

    return step


def _sums(labels, probabilities, losses, weights):
    """Cross entropy, right answers and samples of a batch, float32 `(3,)`."""
    right = ops.cast(ops.equal(ops.argmax(probabilities, axis=-1), labels), "float32")
    return ops.stack([ops.sum(losses * weights), ops.sum(right * weights), ops.sum(weights)])


def _end_epoch(
    stage: Stage,
    validate: Callable[[], list[float]],
    progress: Progress,
    checkpoints: Checkpoints | None,
):
    """Closes the epoch's row; keeps the network if it is the best on the held-out videos."""
    epoch = len(progress.history)
    row = {"stage": stage.name, "epoch": epoch, **_means(progress.sums)}
    if stage.held_out is not None:
        row |= _means(validate(), prefix="val_")
        best = max((other["val_top1"] for other in progress.history), default=0.0)
        if row["val_top1"] >= best:
            progress.best_epoch = epoch
            if checkpoints is not None:
                checkpoints.save_best(stage.model, progress.step)
    row["learning_rate"] = float(stage.optimizer.learning_rate)
    progress.history.append(row)
    progress.sums = Progress().sums


def _means(sums: list[float], *, prefix: str = "") -> dict[str, float]:
    return {f"{prefix}loss": sums[0] / sums[2], f"{prefix}top1": sums[1] / sums[2]}


def _validation(stage: Stage, strategy: tf.distribute.Strategy) -> Callable[[], list[float]]:
    """Returns a pass over the held-out videos; it gives the same sums as a training step."""

    def replica_step(inputs, labels, weights):
        probabilities = stage.model(inputs, training=False)
        losses = ops.sparse_categorical_crossentropy(labels, probabilities)
        return _sums(labels, probabilities, losses, weights)

    @tf.function(autograph=False, jit_compile=False)
    def step(inputs, labels, weights):
        sums = strategy.run(replica_step, args=(inputs, labels, weights))
        return strategy.reduce("SUM", sums, axis=None)

    def validate() -> list[float]:
        data = strategy.distribute_datasets_from_function(
            lambda context: finite_batches(
                stage.held_out, batch_size=stage.batch_size, share=_share(context)
            )
        )
        return np.sum([step(*batch).numpy() for batch in data], axis=0, dtype=np.float64).tolist()

    return validate


def _check_finite(loss: float, stage: Stage, step: int, run: RunFolder):
    if math.isfinite(loss):
        return
    first = step * stage.batch_size
    paths = [stage.sampler[first + number].video.path for number in range(stage.batch_size)]
    raise UserError(
        f"the loss became {loss} in step {step + 1} of stage {stage.name}: try a lower "
        f"--learning-rate, or --precision float32; the checkpoint before stays in "
        f"{run.checkpoints}; videos of the batch: {', '.join(paths)}"
    )


@contextlib.contextmanager
def _memory_errors_named(stage: Stage) -> Iterator[None]:
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"a batch of {stage.batch_size} takes more memory than there is: try a lower "
            f"--batch-size ({error.message})"
        ) from error


@contextlib.contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """Yields a list that holds an exit code once SIGTERM or Ctrl-C came; a second ends at once."""
    stopped = []

    def stop(number, frame):
        if stopped:
            sys.exit(EXIT_CODES[number])
        stopped.append(EXIT_CODES[number])
        print("stopping after this step", file=sys.stderr, flush=True)

    with answering(stop), signals_answered():
        yield stopped

"""What a run tells while it trains: lines, `history.csv`, TensorBoard."""

import csv
import io
import sys
import time

import tensorflow as tf

from fstcn_keras.files import atomic_write_text
from fstcn_keras.runs import RunFolder
from training.checkpoints import Progress

SECONDS_BETWEEN_LINES = 60
FORMS = {"loss": ".4f", "top1": ".1%", "val_loss": ".4f", "val_top1": ".1%"}


class History:
    """Reports a stage.

    Args:
        stage: its name.
        epochs: how many it has.
        run: the run folder; `None` reports nothing, for all workers but the first.
    """

    def __init__(self, stage: str, epochs: int, run: RunFolder | None):
        self._stage = stage
        self._epochs = epochs
        self._run = run
        self._writer = tf.summary.create_file_writer(str(run.logs)) if run else None
        self._epoch_began = self._told = time.monotonic()

    def step(self, progress: Progress, steps_per_epoch: int):
        """Tells how far the epoch is: always on a terminal, else every minute."""
        now = time.monotonic()
        terminal = sys.stdout.isatty()
        if self._run is None or (not terminal and now - self._told < SECONDS_BETWEEN_LINES):
            return
        self._told = now
        loss, right, count = progress.sums
        done = (progress.step - 1) % steps_per_epoch + 1
        text = (
            f"{self._stage}: epoch {len(progress.history) + 1}/{self._epochs}, "
            f"step {done}/{steps_per_epoch}, loss {loss / count:.4f}, top1 {right / count:.1%}"
        )
        print(f"\r{text}" if terminal else text, end="" if terminal else "\n", flush=True)

    def epoch(self, progress: Progress):
        """Tells the epoch that has just ended, and writes it down."""
        if self._run is None:
            return
        row = progress.history[-1]
        now = time.monotonic()
        seconds = now - self._epoch_began
        text = f"{self._stage}: epoch {row['epoch'] + 1}/{self._epochs}, {seconds:.0f} s"
        self._epoch_began = self._told = now
        for name, form in FORMS.items():
            if name in row:
                text += f", {name} {row[name]:{form}}"
        if left := self._epochs - row["epoch"] - 1:
            text += f", about {_duration(left * seconds)} left"
        print(f"\r\033[K{text}" if sys.stdout.isatty() else text, flush=True)
        self.write_csv(progress.history)
        with self._writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if isinstance(value, float):
                    tf.summary.scalar(f"{self._stage}/{name}", value)
        self._writer.flush()

    def write_csv(self, rows: list[dict]):
        """Writes all epochs of this stage, after those of the stages before it."""
        if self._run is None:
            return
        file = self._run.history
        before = []
        if file.exists():
            with file.open(newline="") as stream:
                # a damaged file is mended as far as it can be
                rows_before = csv.DictReader(stream)
                before = [row for row in rows_before if row.get("stage") and None not in row]
            before = [row for row in before if row["stage"] != self._stage]
        columns = dict.fromkeys(name for row in [*before, *rows] for name in row)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows([*before, *rows])
        atomic_write_text(file, text.getvalue())


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"

"""What it takes to learn: python -m benchmarks.learning [as fit, heads alone]

On one split or fold: processor seconds until a head is right for half of the test videos. They are
those of encoding all views of training and test videos that it sees, without the cache, and those
of training it on them. Every head is trained anew with 1, 2, 4, ... passes over the training videos
until it is right often enough; the last one counts. FSTCN's head is trained and evaluated by `fit`,
with all that it writes. The others are those of `benchmarks.heads`.
"""

import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks import peers
from benchmarks.heads import FEATURES, check_heads_alone, view_maps
from benchmarks.report import print_table, write_csv
from fstcn_keras import accelerate
from fstcn_keras.config import PATHS
from fstcn_keras.runs import RunFolder
from training import cli
from training.data.encoded_views import encode_views
from training.data.splits import decodable, open_data
from training.distribution import with_precision
from training.fitting import fit_runs
from training.options import FitOptions
from training.parts import option, part, replaced
from training.scores import read_scores
from training.stages import initial_network
from training.start import load_start

SHARE = 0.5
MAX_PASSES = 64
Learn = Callable[[int], float]  # so many passes over the training videos; share that is right


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """Which videos, which encoders, and how FSTCN's head is trained."""

    fit: FitOptions = part(FitOptions)
    name: str = option("learning", "of the table in benchmarks/results")

    def resolved(self) -> "LearningOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if it is not heads alone that are trained.
        """
        fit = self.fit.resolved()
        check_heads_alone(fit)
        return LearningOptions(fit=fit, name=self.name)


def main(options: LearningOptions):
    """Prints and writes the table."""
    fit = with_precision(options.fit.each_split()[0])  # the encoders' numbers as `fit` has them
    dataset, store = open_data(
        fit.collection, fit.split, fit.store, short_side=fit.config().short_side
    )
    fit = replaced(fit, store=store.folder)
    train, test = (decodable(dataset.side(side), store) for side in ("train", "test"))
    with own_cache() as folder:
        encoding_s = {}
        for kind, paths in (("frame", ("spatial",)), ("both", PATHS)):
            network = initial_network(replaced(fit, paths=paths), num_classes=len(dataset.classes))
            (folder / kind).mkdir()
            load_start(network, fit, RunFolder(folder / kind))
            begin = time.process_time()
            views = encode_views(
                accelerate(network),
                store,
                [*train, *test],
                num_views=fit.stages.encoded_views,
                scales=fit.optimization.scales,
            )
            encoding_s[kind] = time.process_time() - begin
        drawn = {name: maps[:, :-1] for name, maps in view_maps(train, store, views).items()}
        unseen = view_maps(test, store, views)
        labels, asked = (np.array([video.label for video in side]) for side in (train, test))
        heads = {"FSTCN, both paths": ("both", fstcn_head(fit, folder))}
        heads |= other_heads(drawn, labels, unseen, asked)
        rows = [
            row(head, encoding_s[kind], *until_right(learn))
            for head, (kind, learn) in heads.items()
        ]
    print_table(rows)
    write_csv(options.name, rows)


def fstcn_head(fit: FitOptions, folder: Path) -> Learn:
    """Returns what trains and evaluates FSTCN's head, in a new folder of this one each time."""
    numbers = itertools.count()

    def learn(passes: int) -> float:
        out = folder / f"run{next(numbers)}"
        run = replaced(fit, head_epochs=passes, min_steps=0, out=out)
        fit_runs([run], by_encoded_views=True)
        return float(read_scores(run.run_folder()).answers("sci")[0].mean())

    return learn


def other_heads(
    train: peers.Maps, labels: np.ndarray, test: peers.Maps, asked: np.ndarray
) -> dict[str, tuple[str, Learn]]:
    """Returns what trains and asks each of the other heads, and what it sees.

    Args:
        train: maps of the views of the training videos.
        labels: of the training videos.
        test: maps of the views of the test videos.
        asked: labels of the test videos.
    """

    def softmax(names: Sequence[str]) -> Learn:
        features, unseen = (peers.pooled(maps, names) for maps in (train, test))
        settings = {"dropout": peers.DROPOUTS[0], "seed": 0}

        def learn(passes: int) -> float:
            found = peers.softmax(features, labels, unseen, passes=passes, **settings)
            return float(np.mean(found == asked))

        return learn

    def block(passes: int) -> float:
        found = peers.space_time(train, labels, test, seed=0, passes=passes)
        return float(np.mean(found == asked))

    return {
        "frames averaged, softmax": ("frame", softmax(FEATURES["frame"])),
        "frames and differences averaged, softmax": ("both", softmax(FEATURES["both"])),
        "R(2+1)D block, both": ("both", block),
    }


@contextlib.contextmanager
def own_cache() -> Iterator[Path]:
    """Has everything computed anew, in a folder that is removed in the end."""
    with tempfile.TemporaryDirectory() as name, mock.patch.dict(os.environ, XDG_CACHE_HOME=name):
        yield Path(name)


def until_right(learn: Learn) -> tuple[int, float, float]:
    """Learns with more and more passes until `SHARE` is right, or `MAX_PASSES` are not enough.

    Returns:
        The passes of the last time, the share that was right and its processor seconds.
    """
    for passes in (2**n for n in itertools.count()):
        begin = time.process_time()
        right = learn(passes)
        seconds = time.process_time() - begin
        if right >= SHARE or passes >= MAX_PASSES:
            return passes, right, seconds
    raise AssertionError


def row(head: str, encoding_s: float, passes: int, right: float, training_s: float) -> dict:
    """Returns a head's row of the table."""
    return {
        "head": head,
        "passes": passes,
        "top-1": f"{100 * right:.1f}",
        "encoding, processor s": f"{encoding_s:.0f}",
        "training, processor s": f"{training_s:.1f}",
        "together": f"{encoding_s + training_s:.0f}",
    }


if __name__ == "__main__":
    cli.run(main, LearningOptions)

"""FSTCN's head beside others on the same frozen features: python -m benchmarks.heads [as fit]

The encoders, as --scl-weights has them, encode the same views of every video once
(`--encoded-views`); on the views of the training videos of each split or fold these learn, with
several seeds: FSTCN's head of both paths and of each alone, by the recipe; a linear support vector
machine and a softmax layer with dropout on mean features of the frame, of the differences and of
both; a block of R(2+1)D. All answer for the same views of the test videos. Runs and the answers of
the other heads go to --out: the same command goes on where an interrupted one stopped, and one with
more seeds or networks trains what lacks.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks import peers
from benchmarks.report import print_table, write_csv
from fstcn_keras.config import PATHS
from fstcn_keras.fusion import LABELS
from fstcn_keras.runs import RUNS
from training import cli
from training.data.collections import Video
from training.data.encoded_views import EncodedViews, encode_views
from training.data.splits import decodable, open_data
from training.data.store import FrameStore
from training.errors import UserError
from training.fitting import fit_runs
from training.networks import load_classifier
from training.options import FitOptions
from training.partial_scores import scored
from training.parts import option, part, replaced
from training.scores import read_scores
from training.statistics import paired_difference, share_of

FEATURES = {"frame": ("frame",), "differences": ("differences",), "both": ("frame", "differences")}
LAST = "R(2+1)D block, both"
FORMAT = 1  # of the kept answers; heads that learn otherwise are another format
NETWORKS = {"both": PATHS, "spatial": ("spatial",), "temporal": ("temporal",)}
Answers = tuple[np.ndarray, np.ndarray]  # whether each is right, and the source of its video


@dataclass(frozen=True, kw_only=True)
class HeadsOptions:
    """Which videos, which encoders, and how FSTCN's head is trained."""

    fit: FitOptions = part(FitOptions, out="folder of the runs (default: runs/heads-NAME)")
    networks: tuple[Literal[tuple(NETWORKS)], ...] = option(
        tuple(NETWORKS), "paths of FSTCN; both is what the others are compared with"
    )
    seeds: int = option(3, "of each head, from --seed on")
    name: str = option("heads", "of the table in benchmarks/results")

    def resolved(self) -> "HeadsOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if it is not heads alone that are trained.
        """
        fit = self.fit.resolved()
        check_heads_alone(fit)
        if "both" not in self.networks:
            raise UserError(f"--networks must name both, got {' '.join(self.networks)}")
        out = fit.run.out or RUNS / f"heads-{self.name}"
        return dataclasses.replace(self, fit=replaced(fit, out=out))

    def runs(self, network: str, seed: int) -> list[FitOptions]:
        """Returns the runs of FSTCN by the name of its paths, one of each split or fold."""
        folder = self.folder(network, seed)
        return replaced(self.fit, paths=NETWORKS[network], seed=seed, out=folder).each_split()

    def folder(self, network: str, seed: int) -> Path:
        """Returns the folder of these runs."""
        return self.fit.run.out / f"{network}-seed{seed}"

    def all_seeds(self) -> range:
        """Returns the seeds."""
        return range(self.fit.run.seed, self.fit.run.seed + self.seeds)


def check_heads_alone(fit: FitOptions):
    """Makes sure that nothing but heads is trained, on encoded views.

    Raises:
        UserError: if it is not so.
    """
    stages = fit.stages
    if stages.epochs or not (stages.head_epochs and stages.encoded_views):
        raise UserError(
            "heads alone are compared: give --epochs 0 --head-epochs N --encoded-views N"
        )


def main(options: HeadsOptions):
    """Prints and writes the table."""
    seeds, networks = options.all_seeds(), sorted(options.networks)  # both first
    runs = [run for seed in seeds for name in networks for run in options.runs(name, seed)]
    fit_runs(runs, by_encoded_views=True)
    answers = {
        f"FSTCN, {name}, {LABELS[fusion]}": [
            run_answers(options.runs(name, seed), fusion) for seed in seeds
        ]
        for name in networks
        for fusion in ("sci", "average")
    }
    for name, found in peer_answers(options).items():
        answers[name] = found
    rows = table(answers)
    print_table(rows)
    write_csv(options.name, rows)


def run_answers(runs: Iterable[FitOptions], fusion: str) -> Answers:
    """Returns the answers of one network for the test videos of all splits or folds."""
    return _joined(read_scores(run.run_folder()).answers(fusion) for run in runs)


def table(answers: dict[str, list[Answers]], *, first_name: str = "FSTCN") -> list[dict]:
    """Returns a row of each head: accuracy and its interval, and the first minus the head.

    Args:
        answers: of each head, with each seed; what the others are compared with first.
        first_name: of the first, as the column of differences has it.
    """
    rows, first = [], _joined(next(iter(answers.values())))
    for name, seeds in answers.items():
        right, sources = _joined(seeds)
        shares = [np.mean(of_seed) for of_seed, _ in seeds]
        # each video counts once, however often it was judged
        interval = share_of(np.mean([of_seed for of_seed, _ in seeds], axis=0), seeds[0][1])
        difference = ends = ""  # of the first and itself there is none
        if rows:
            paired = paired_difference(right, first[0], sources, seed=0)
            difference = f"{100 * paired.difference:+.1f}"
            ends = f"{100 * paired.low:+.1f} to {100 * paired.high:+.1f}"
        rows.append(
            {
                "head": name,
                "videos": len(right) // len(seeds),
                "sources": len({*sources}),
                "seeds": len(seeds),
                "top-1": f"{100 * np.mean(shares):.1f}",
                "over seeds": f"{100 * np.min(shares):.1f} to {100 * np.max(shares):.1f}",
                "interval": f"{100 * interval.low:.1f} to {100 * interval.high:.1f}",
                f"{first_name} minus this": difference,
                "its 95 % interval": ends,
            }
        )
    return rows


def peer_answers(options: HeadsOptions) -> dict[str, list[Answers]]:
    """Trains the other heads on every split or fold; their answers by name, with each seed."""
    seeds, found = options.all_seeds(), {}
    folder = options.folder("both", seeds[0])
    for run in options.runs("both", seeds[0]):
        dataset, store = open_data(
            run.collection, run.split, run.store, short_side=run.config().short_side
        )
        model = load_classifier(run.run_folder()).model
        sides = [decodable(dataset.side(side), store) for side in ("train", "test")]
        views = encode_views(
            model,
            store,
            [*sides[0], *sides[1]],
            num_views=run.stages.encoded_views,
            scales=run.optimization.scales,
        )
        kept = options.fit.run.out / "peers" / run.run_folder().path.relative_to(folder)
        for name, seed, labels in Peers(*sides, store, views, kept).answers(seeds):
            right = labels == np.array([video.label for video in sides[1]])
            groups = np.array([video.group for video in sides[1]])
            order = np.argsort([video.path for video in sides[1]])  # as RunScores.answers
            by_seed = found.setdefault(name, [[] for _ in seeds])
            by_seed[seed - seeds[0]].append((right[order], groups[order]))
    return {name: [_joined(parts) for parts in by_seed] for name, by_seed in found.items()}


@dataclass(frozen=True)
class Peers:
    """The other heads of one split or fold, which learn once.

    Attributes:
        train: videos to learn from.
        test: videos to answer for.
        store: facts of the videos.
        views: of all of them.
        folder: of the answers.
    """

    train: Sequence[Video]
    test: Sequence[Video]
    store: FrameStore
    views: EncodedViews
    folder: Path

    def answers(self, seeds: Sequence[int]) -> Iterator[tuple[str, int, np.ndarray]]:
        """Yields the name of each head, the seed, and its labels of the test videos."""
        vectors = self._kept("svm", FEATURES, self._svm)
        dropouts = self._kept("dropouts", FEATURES, self._best_dropout)

        def trained(head: str, seed: int) -> np.ndarray:
            train, test = self._maps
            if head == LAST:
                return peers.space_time(train, self._labels, test, seed=seed, passes=peers.PASSES)
            features, unseen = self._features(head)
            return peers.softmax(
                features,
                self._labels,
                unseen,
                dropout=float(dropouts[head]),
                seed=seed,
                passes=peers.PASSES,
            )

        networks = {
            seed: self._kept(
                f"seed{seed}", [*FEATURES, LAST], lambda head, s=seed: trained(head, s)
            )
            for seed in seeds
        }
        for kind in FEATURES:
            for seed in seeds:
                yield f"linear SVM, {kind}", seed, vectors[kind]
                yield f"softmax with dropout, {kind}", seed, networks[seed][kind]
        for seed in seeds:
            yield LAST, seed, networks[seed][LAST]

    def _svm(self, kind: str) -> np.ndarray:
        features, unseen = self._features(kind)
        return peers.svm(features, self._labels, self._groups, unseen)

    def _best_dropout(self, kind: str) -> np.ndarray:
        features, _ = self._features(kind)
        return np.array(peers.best_dropout(features, self._labels, self._groups))

    def _kept(
        self, name: str, heads: Iterable[str], learn: Callable[[str], np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Returns what each head learns; of those that the file has, without learning it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        found = scored(
            [*heads],
            lambda left: ((head, learn(head)) for head in left),
            file=self.folder / f"{name}.npz",
            key=self._key,
            description=f"other heads, {name}",
            unit="head",
            keep=True,
        )
        return dict(zip(heads, found, strict=True))

    @cached_property
    def _key(self) -> str:
        """Returns the digest of what the heads learn and are asked."""
        facts = {
            "format": FORMAT,
            "views": [
                self.views.num_views,
                *(folder.name for folder in self.views.folders.values()),
            ],
            "videos": [
                [[v.path, self.store.videos[v.path].source_sha256, v.label, v.group] for v in side]
                for side in (self.train, self.test)
            ],
        }
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @cached_property
    def _labels(self) -> np.ndarray:
        return np.array([video.label for video in self.train])

    @cached_property
    def _groups(self) -> np.ndarray:
        return np.array([video.group for video in self.train])

    @cached_property
    def _maps(self) -> tuple[peers.Maps, peers.Maps]:
        """Returns the maps of the training videos, without the centre, and of the test videos."""
        train, test = (view_maps(side, self.store, self.views) for side in (self.train, self.test))
        return {name: values[:, :-1] for name, values in train.items()}, test

    def _features(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        train, test = self._maps
        return peers.pooled(train, FEATURES[kind]), peers.pooled(test, FEATURES[kind])


def view_maps(videos: Sequence[Video], store: FrameStore, views: EncodedViews) -> peers.Maps:
    """Returns the maps of all views of the videos, the centre last, by name."""
    maps = [views.read_all(store.videos[video.path]) for video in videos]
    return {name: np.stack([one[name] for one in maps]) for name in views.shapes}


def _joined(parts) -> Answers:
    right, sources = zip(*parts, strict=True)
    return np.concatenate(right), np.concatenate(sources)


if __name__ == "__main__":
    cli.run(main, HeadsOptions)

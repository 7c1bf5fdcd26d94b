"""What scoring the 540 views of a video costs: python -m benchmarks.views [--run RUN]

For each preset, on a video of 90 and one of 30 frames: videos a second with every view through
the whole network, with each image convolved once, and with feature maps shared between the
crops, alternating, after a warm-up. With a run, also what the test videos of its split say to
exact and to shared views.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.report import alternate, print_table, write_csv
from fstcn_keras import PRESETS, ActionClassifier, ViewPlan, accelerate, fstcn
from fstcn_keras.runs import RunFolder
from fstcn_keras.video.frames import view_frames
from fstcn_keras.views.plan import SCORING_MODES
from fstcn_keras.views.scoring import PROBABILITIES, Clip, ViewScorer
from training import cli
from training.data.splits import open_data
from training.evaluation import check_test_videos
from training.networks import load_classifier
from training.options import read_config
from training.parts import option, replaced
from training.scores import all_accuracies, all_fused

ROUNDS = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewsOptions:
    """What to measure."""

    presets: tuple[Literal[tuple(PRESETS)], ...] = option(("small", "squeeze"), "which networks")
    run: Path | None = option(None, "folder of a training run whose test videos are scored")


def main(options: ViewsOptions):
    """Prints the rates, and the accuracies of the run, and writes both tables."""
    rows = [row for preset in options.presets for row in rates(preset, lengths=(90, 30))]
    print_table(rows)
    write_csv("views", rows)
    if options.run is not None:
        of_run = accuracies(RunFolder(options.run))
        print_table(of_run)
        write_csv(f"views_accuracy-{of_run[0]['data']}", of_run)


def rates(preset: str, lengths: tuple[int, ...]) -> list[dict]:
    """Videos a second of each way, one row for each length of video, in frames."""
    plan = ViewPlan.from_config(PRESETS[preset])
    model = accelerate(fstcn(num_classes=51, preset=preset))
    rows = []
    for num_frames in lengths:
        clips = random_clips(plan, num_frames)
        ways = {"every view": lambda clips=clips: every_view(model, plan, clips)}
        for views in SCORING_MODES:
            scorer = ViewScorer(model, dataclasses.replace(plan, mode=views))
            ways[views] = lambda scorer=scorer, clips=clips: scorer.score(clips)[PROBABILITIES]
        apart = np.abs(ways["every view"]() - ways["exact"]()).max()
        seconds = alternate(ways, rounds=ROUNDS)
        row = {"preset": preset, "frames": num_frames}
        row |= {f"{name}, videos/s": f"{1 / taken:.3g}" for name, taken in seconds.items()}
        for views in SCORING_MODES:
            row[f"{views}, times every view"] = f"{seconds['every view'] / seconds[views]:.2f}"
        rows.append(row | {"largest difference of exact": f"{apart:.1e}"})
    return rows


def scoring(preset: str, *, num_clips: int = 5) -> Callable[[], object]:
    """A function that scores all views of one video of noise, of 90 frames."""
    plan = ViewPlan.from_config(PRESETS[preset], num_clips=num_clips)
    scorer = ViewScorer(accelerate(fstcn(num_classes=51, preset=preset)), plan)
    clips = random_clips(plan, 90)
    return lambda: scorer.score(clips)


def random_clips(plan: ViewPlan, num_frames: int) -> list[Clip]:
    """The clips of a video of noise, of the size that the plan wants."""
    shape = (num_frames, plan.short_side, plan.short_side * 4 // 3, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    return [(frames, pair) for pair in plan.pair_indices(num_frames)]


def every_view(model, plan: ViewPlan, clips: list[Clip]) -> np.ndarray:
    """Scores all views of all clips by the whole network, a clip at a time."""
    return np.stack(
        [model.predict_on_batch(plan.cut(frames[t], frames[later])) for frames, (t, later) in clips]
    )


def accuracies(run: RunFolder) -> list[dict]:
    """Top-1 of both kinds of views on the test videos, and how often they agree."""
    options = replaced(read_config(run.config), out=run.path)
    plan = load_classifier(run).plan
    dataset, store = open_data(
        options.collection, options.split, options.store, short_side=plan.short_side
    )
    videos = check_test_videos(dataset, store, run)
    labels = np.array([video.label for video in videos])
    answers, rows = {}, []
    for views in SCORING_MODES:
        classifier = ActionClassifier.load(run.path, mode=views)
        begin = time.perf_counter()
        found = (view_frames(store.reader(video.path), classifier.plan) for video in videos)
        scores = np.stack([classifier.score_views(v.frames, v.positions) for v in found])
        fused = all_fused(scores)
        row = {"data": dataset.name, "split": dataset.split, "preset": options.backbone.preset}
        row |= {"videos": len(videos), "clips": plan.num_clips, "crops": 18, "views": views}
        for method, values in all_accuracies(fused, labels)["video"].items():
            row[f"top-1, {method}"] = f"{values['top1']:.3f}"
        answers[views] = fused["video"]["sci"].argmax(axis=-1)
        row["same answer as exact"] = f"{(answers['exact'] == answers[views]).mean():.3f}"
        rows.append(row | {"seconds": f"{time.perf_counter() - begin:.1f}"})
    return rows


if __name__ == "__main__":
    cli.run(main, ViewsOptions)

"""The options of `training.fit`, composed of parts that other commands share."""

import dataclasses
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fstcn_keras.config import PATHS, PRESETS, FSTCNConfig, preset_config
from fstcn_keras.runs import RUNS, RunFolder
from fstcn_keras.views.plan import ViewPlan
from training.errors import UserError
from training.options.collection import SPLIT_HELP, CollectionOptions
from training.options.network import BackboneOptions, NetworkOptions
from training.options.recipe import OptimizationOptions, StageOptions
from training.options.run import RunOptions
from training.options.start import INHERITED, check_alike, part_path, run_values, start_name
from training.parts import check, compose, flag, flat, option, part, replaced
from training.recipes import RECIPES, Recipe

# options that change a field of the preset of the same name
_CHANGED = ("short_side", "stride", "distance", "sampling", "initialization")
# what every run's own options hold of recipes; those of older runs lack the others
_OWN = {field.name for field in dataclasses.fields(Recipe)} - {"min_steps", "path_views"}


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Everything that decides a training run, or with `--split all` or `--fold all` several.

    The command line gives them with `None` for what preset and recipe decide; `resolved` fills
    it in.
    """

    collection: CollectionOptions = part(CollectionOptions)
    split: int | Literal["all"] | None = option(None, f"{SPLIT_HELP}; all: one after another")
    store: Path | None = option(
        None, "folder of the decoded frames (default: in the user's cache folder)"
    )
    backbone: BackboneOptions = part(BackboneOptions)
    network: NetworkOptions = part(NetworkOptions)
    optimization: OptimizationOptions = part(OptimizationOptions)
    stages: StageOptions = part(StageOptions)
    num_clips: int = option(5, "M, clips of a test video; each is scored in 18 crops")
    reject_at: float | None = option(
        None,
        "refuse videos as none of the classes, so many that of videos of the classes this share is "
        "refused, e.g. 0.05. The threshold is chosen on held-out training videos: those of "
        "--val-fraction, else a fifth, whole groups, that choose nothing else",
    )
    no_baseline: bool = option(
        False,
        "leave out the linear classifier of the features of --scl-weights, which the accuracy is "
        "compared with",
    )
    run: RunOptions = part(RunOptions)

    def __post_init__(self):
        check(self, ["num_clips"], lambda number: number > 0, "be positive")
        check(self, ["reject_at"], lambda share: 0 < share < 1, "lie between 0 and 1")
        check(self, ["split"], lambda split: split == "all" or split > 0, "be 1 or more, or all")

    def resolved(self) -> "FitOptions":
        """Returns the same with what preset and recipe decide filled in.

        Raises:
            UserError: if options contradict each other.
        """
        split, fold = self.collection.checked_split(self.split), self.collection.fold
        started = self._with_starts(split, fold)
        inherited = started._inherited(split, fold)
        preset = self.backbone.preset or inherited.get("preset", "small")
        recipe = self.optimization.recipe or ("paper" if preset == "paper" else "modern")
        defaults = {
            "split": split,
            "preset": preset,
            "paths": PATHS,
            "temporal_kernels": FSTCNConfig.temporal_kernels,
            "recipe": recipe,
            **_preset_values(preset),
            **dataclasses.asdict(RECIPES[recipe, preset]),
            **inherited,
        }
        given = {name: value for name, value in flat(started).items() if value is not None}
        if _last_epochs(given.get("epochs", defaults["epochs"])) in given:
            defaults["min_steps"] = 0
        if not {"scl_weights", "start_from"} & given.keys():
            defaults["head_epochs"] = 0  # nothing is there to be fixed
        options = compose(type(self), flat(started) | defaults | given)
        options.check_together()
        if _OWN - given.keys():  # a command's: those of a run hold all
            options._check_in_use(given)
        return options

    def check_together(self):
        """Makes sure that options agree with each other.

        Raises:
            UserError: if they do not.
        """
        crop, stages = PRESETS[self.backbone.preset].crop_size, self.stages
        check(self.network, ["short_side"], lambda s: s >= crop, f"be {crop} or more, as a crop is")
        try:
            self.plan()
        except ValueError as error:
            message = re.sub(r"`(\w+)`", lambda name: flag(name[1]), str(error))
            raise UserError(message) from error
        check(
            stages,
            ["warmup_epochs"],
            lambda epochs: 0 <= epochs <= (stages.epochs or stages.head_epochs) / 2,
            "be at most half of --epochs and not negative",
        )
        weights, start = self.network.scl_weights, self.network.start_from
        if weights is not None and start is not None:
            raise UserError(
                "--start-from takes over the layers that --scl-weights would load: give one of them"
            )
        if not (stages.epochs or stages.head_epochs):
            raise UserError(
                "there is no stage to train: give --epochs, or --head-epochs with --scl-weights or "
                "--start-from. Recipe modern of preset lite trains a head on weights alone: "
                "--scl-weights imagenet"
            )
        if stages.head_epochs and weights is None and start is None:
            raise UserError(
                "--head-epochs fixes what --scl-weights or --start-from loads: "
                "give both, or neither"
            )

    def _check_in_use(self, given: Collection[str]):
        """Makes sure that what is given of encoded views has an effect.

        Args:
            given: names of the options that the command gives.

        Raises:
            UserError: if it has none.
        """
        stages = self.stages
        if "encoded_views" in given and stages.encoded_views and not stages.head_epochs:
            raise UserError(
                f"--encoded-views {stages.encoded_views} is for epochs of the head, of which there "
                "are none: give --head-epochs with --scl-weights or --start-from, or leave it out"
            )
        encoded = stages.head_epochs and stages.encoded_views
        if "path_views" in given and stages.path_views == "independent" and not encoded:
            raise UserError(
                "--path-views independent is for encoded views, of which there are none: give "
                "--encoded-views and --head-epochs, or leave it out"
            )

    def _with_starts(self, split: int | str | None, fold: int | str | None) -> "FitOptions":
        """Returns the same, what it starts from being that of the split or fold, if of one."""
        starts = {"scl_weights": self.network.scl_weights, "start_from": self.network.start_from}
        paths = {n: part_path(p, split, fold) for n, p in starts.items() if isinstance(p, Path)}
        return compose(type(self), flat(self) | paths)

    def _inherited(self, split: int | str | None, fold: int | str | None) -> dict:
        """Returns what is not given of the network, and in a series of its first part's."""
        given, start = flat(self), self.network.start_from
        lacking = [name for name in INHERITED if given[name] is None]
        if start is None:
            return {}
        first = part_path(start, split and 1, fold and 1)
        values = run_values(first) if lacking else {}
        check_alike(first, values, given)
        known = {name: values[name] for name in lacking if name in values}
        return known | {"auxiliary_epochs": 0}

    def network_arguments(self) -> dict:
        """Returns what the network is built with; the weight decay is the optimiser's."""
        return {
            "preset": self.backbone.preset,
            "backbone": self.backbone.scl,
            **self._values([*_CHANGED, "dropout"]),
            "weight_decay": 0.0,
        }

    def config(self) -> FSTCNConfig:
        """Returns the configuration of the network."""
        return preset_config(**self.network_arguments())

    def plan(self) -> ViewPlan:
        """Returns which views of a video the network scores."""
        fps = self.collection.fps
        return ViewPlan.from_config(self.config(), num_clips=self.num_clips, fps=fps)

    def preset_text(self) -> str:
        """Returns the preset, and what of it the command changed."""
        return self._with_changes(self.backbone.preset, _preset_values(self.backbone.preset))

    def recipe_text(self) -> str:
        """Returns the recipe, and what of it the command changed."""
        recipe = self.optimization.recipe
        own = dataclasses.asdict(RECIPES[recipe, self.backbone.preset])
        last = _last_epochs(self.stages.epochs)
        if getattr(self.stages, last) != own[last]:
            own["min_steps"] = 0  # as where they are given
        return self._with_changes(recipe, {**own, "warmup_epochs": None})

    def _with_changes(self, name: str, own: dict) -> str:
        chosen = self._values(own)
        changed = [f"{field} {chosen[field]}" for field in own if chosen[field] != own[field]]
        return f"{name} with {', '.join(changed)}" if changed else name

    def _values(self, names) -> dict:
        values = flat(self)
        return {name: values[name] for name in names}

    def run_folder(self) -> RunFolder:
        """Returns `--out`, or a folder named after what distinguishes runs most."""
        if self.run.out is not None:
            return RunFolder(self.run.out)
        parts = [self.collection.dataset, self._part_name(), self.backbone.preset]
        if self.backbone.scl != PRESETS[self.backbone.preset].backbone:
            parts.append(self.backbone.scl)
        if self.network.paths != PATHS:
            parts += self.network.paths
        if self.network.start_from is not None:
            parts.append(f"from-{start_name(self.network.start_from)}")
        return RunFolder(RUNS / "-".join(parts))

    def _part_name(self) -> str:
        fold, folds = self.collection.fold, self.collection.folds
        if folds is None:
            return "all" if self.split == "all" else f"split{self.split}"
        name = f"folds{folds}" if fold == "all" else f"fold{fold}of{folds}"
        return name if self.split is None else f"split{self.split}-{name}"

    @property
    def part(self) -> str:
        """Returns which split or fold it is, e.g. `split 1`."""
        return self.collection.part(self.split)

    @property
    def is_series(self) -> bool:
        """Returns whether these are the options of several runs, one for each split or fold."""
        return "all" in (self.split, self.collection.fold)

    def each_split(self) -> list["FitOptions"]:
        """Returns the options of the runs: these, or of a series one for each split or fold.

        Their folders lie in that of the series.
        """
        folder, folds = self.run_folder(), self.collection.folds
        if not self.is_series:
            return [self]
        if folds is None:
            numbers = self.collection.split_numbers()
            return [replaced(self, split=n, out=folder.split(n).path) for n in numbers]
        return [replaced(self, fold=n, out=folder.fold(n).path) for n in range(1, folds + 1)]


def _last_epochs(epochs: int) -> str:
    """Returns the option that has the epochs of the last stage, if `--epochs` is so many."""
    return "epochs" if epochs else "head_epochs"


def _preset_values(preset: str) -> dict:
    """What a preset has for the options that change it."""
    config = PRESETS[preset]
    return {"scl": config.backbone, **{name: getattr(config, name) for name in _CHANGED}}

"""Options that several commands share, and what they stand for."""

import dataclasses
import hashlib
import math
import os
from pathlib import Path
from typing import Literal

import yaml

from fstcn_keras.backbones import BACKBONE_NAMES
from fstcn_keras.config import (
    INITIALIZATIONS,
    PATHS,
    PRESETS,
    FSTCNConfig,
    preset_config,
)
from fstcn_keras.files import atomic_write_text
from training.cli import UserError, option, parse
from training.data import collections
from training.data.collections import Dataset
from training.data.demo import DEMO_VERSION, prepare_demo
from training.data.lookalikes import clusters, near_duplicates
from training.data.preparation import FORMAT, prepare_store
from training.data.store import ENCODINGS, FrameStore
from training.recipes import RECIPES, Recipe

CONFIG = "config.yaml"  # of a run folder: its options
SPLITS = (1, 2, 3)  # the official ones of every collection
OF_PRESET = ("scl", "short_side", "initialization")  # options that change the preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollectionOptions:
    """Which videos."""

    dataset: Literal["demo", "ucf101", "hmdb51", "folder"] = option(
        "demo", "the collection; demo is rendered on first use"
    )
    data_dir: Path | None = option(None, "folder of the videos; not for demo")
    splits_dir: Path | None = option(None, "folder of the split files, if not inside --data-dir")
    split: Literal[SPLITS] = option(1, "which of the three splits into training and test videos")
    frames: Literal[ENCODINGS] = option(
        "jpeg", "how the store keeps frames: raw is faster to read and some ten times larger"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitOptions(CollectionOptions):
    """Everything that decides a training run, or with `--split all` one for each split."""

    split: Literal[(*SPLITS, "all")] = option(
        1, "which of the three splits into training and test videos; all: one after another"
    )
    store: Path | None = option(
        None, "folder of the decoded frames (default: in the user's cache folder)"
    )
    preset: Literal[tuple(PRESETS)] = option("small", "size of the network")
    paths: tuple[Literal[PATHS], ...] = option(PATHS, "paths of the network: Table 2")
    temporal_kernels: tuple[int, ...] = option((3, 5), "kernel sizes of the TCL: Table 1")
    scl: Literal[BACKBONE_NAMES] | None = option(None, "lower SCLs (default: the preset's)")
    scl_weights: Literal["imagenet"] | Path | None = option(
        None,
        "HDF5 file of pre-trained weights, of the lower SCLs or the auxiliary classifier; "
        "imagenet: those of Keras Applications, downloaded",
    )
    short_side: int | None = option(
        None, "of the frames, pixels; a crop sees the more of smaller ones (default: the preset's)"
    )
    initialization: Literal[INITIALIZATIONS] | None = option(
        None,
        "of what follows the lower SCLs: he, at random, or mean, which passes their features on "
        "and averages them over places and moments (default: the preset's)",
    )
    recipe: Literal["paper", "modern"] | None = option(
        None, "defaults of what follows (default: paper for preset paper, else modern)"
    )
    optimizer: Literal["sgd", "adam", "adamw"] | None = option(None, "sgd is with momentum 0.9")
    weight_decay: float | None = option(None, "on kernels; that of adamw stands apart")
    dropout: float | None = option(None, "after each fully-connected layer and TCL branch")
    batch_size: int | None = option(None, "samples in a batch, over all devices")
    auxiliary_epochs: int | None = option(
        None, "stage 2: passes over the training videos, one frame of each a pass; 0: no stage 2"
    )
    auxiliary_rate: float | None = option(None, "stage 2: highest learning rate")
    auxiliary_scl_rate: float | None = option(
        None, "stage 2: rate of layers loaded by --scl-weights, relative to the rest; 0: fixed"
    )
    head_epochs: int | None = option(
        None,
        "before stage 3: passes over the training videos that fix what --scl-weights loaded; "
        "0: no such stage",
    )
    head_rate: float | None = option(None, "before stage 3: highest learning rate")
    epochs: int | None = option(
        None, "stage 3: passes over the training videos, one clip of each a pass"
    )
    learning_rate: float | None = option(
        None, "stage 3: highest rate, after linear warm-up, before cosine decay"
    )
    scl_rate: float | None = option(
        None, "stage 3: rate of layers loaded by --scl-weights, relative to the rest; 0: fixed"
    )
    warmup_epochs: float | None = option(
        None,
        "epochs of linear warm-up of each stage, half of it at most (default: 2, a tenth at most)",
    )
    label_smoothing: float | None = option(None, "share of the target spread over all classes")
    scales: tuple[float, ...] | None = option(
        None, "sides of training crops relative to the frames' short side, drawn at random"
    )
    val_fraction: float = option(
        0.0,
        "share of the training videos, whole groups, held out to choose the best epoch; "
        "0 trains on all of them and keeps the last epoch",
    )
    num_clips: int = option(5, "M, clips of a test video; each is scored in 18 crops")
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = option(
        "auto",
        "number format of training; auto is mixed_bfloat16 where the processor computes in it, "
        "float32 elsewhere",
    )
    checkpoint_minutes: float = option(
        10.0, "minutes between two checkpoints within an epoch; each epoch ends with one"
    )
    seed: int = option(0, "seed of initialisation, draws and dropout")
    out: Path | None = option(None, "run folder (default: runs/DATASET-SPLIT-PRESET)")

    def __post_init__(self):
        for name in OF_PRESET:
            if getattr(self, name) is None:
                self._fill(name, preset_value(self.preset, name))
        if self.recipe is None:
            self._fill("recipe", "paper" if self.preset == "paper" else "modern")
        for name, value in dataclasses.asdict(RECIPES[self.recipe, self.preset]).items():
            if getattr(self, name) is None:
                self._fill(name, value)
        crop = PRESETS[self.preset].crop_size
        self._check("short_side", self.short_side >= crop, f"be {crop} or more, as a crop is")
        rates = "learning_rate", "auxiliary_rate", "head_rate"
        for name in ("epochs", "batch_size", "num_clips", *rates):
            self._check(name, getattr(self, name) > 0, "be positive")
        shares = "scl_rate", "auxiliary_scl_rate", "weight_decay"
        for name in ("seed", "auxiliary_epochs", "head_epochs", *shares):
            self._check(name, getattr(self, name) >= 0, "not be negative")
        for name in (*rates, *shares):
            self._check(name, math.isfinite(getattr(self, name)), "be finite")
        self._check("seed", self.seed < 2**31, "be below 2^31")
        for name in ("val_fraction", "label_smoothing", "dropout"):
            self._check(name, 0 <= getattr(self, name) < 1, "lie in [0, 1)")
        self._check("scales", all(0 < scale <= 1 for scale in self.scales), "lie in (0, 1]")
        if self.warmup_epochs is not None:
            fine = 0 <= self.warmup_epochs <= self.epochs / 2
            self._check("warmup_epochs", fine, "be at most half of --epochs and not negative")
        self._check("paths", len(set(self.paths)) == len(self.paths), "name each path once")
        self._check("temporal_kernels", min(self.temporal_kernels) > 0, "be positive")
        self._check("checkpoint_minutes", self.checkpoint_minutes >= 0, "not be negative")
        if self.head_epochs and self.scl_weights is None:
            raise UserError("--head-epochs fixes what --scl-weights loads: give both, or neither")

    def network(self) -> dict:
        """What the network is built with; the weight decay is the optimiser's."""
        chosen = {
            name: getattr(self, name)
            for name in ("preset", "short_side", "initialization", "dropout")
        }
        return {**chosen, "backbone": self.scl, "weight_decay": 0.0}

    def config(self) -> FSTCNConfig:
        """The configuration of the network."""
        return preset_config(**self.network())

    def preset_text(self) -> str:
        """The preset, and what of it the command changed."""
        own = {name: preset_value(self.preset, name) for name in OF_PRESET}
        return self._with_changes(self.preset, own)

    def recipe_text(self) -> str:
        """The recipe, and what of it the command changed."""
        own = dataclasses.asdict(RECIPES[self.recipe, self.preset])
        return self._with_changes(self.recipe, {**own, "warmup_epochs": None})

    def warmup(self, epochs: int) -> float:
        """Epochs of warm-up of a stage of so many epochs."""
        if self.warmup_epochs is None:
            return min(2.0, epochs / 10)
        return min(self.warmup_epochs, epochs / 2)

    def _with_changes(self, name: str, own: dict) -> str:
        chosen = {field: getattr(self, field) for field in own}
        changed = [f"{field} {chosen[field]}" for field in own if chosen[field] != own[field]]
        return f"{name} with {', '.join(changed)}" if changed else name

    def _fill(self, name: str, value):
        object.__setattr__(self, name, value)  # frozen: the one place that fills in defaults

    def _check(self, name: str, fine: bool, must: str):
        if not fine:
            flag = "--" + name.replace("_", "-")
            raise UserError(f"{flag} must {must}, got {getattr(self, name)}")

    def run_folder(self) -> Path:
        """`--out`, or a name made of what distinguishes runs most."""
        if self.out is not None:
            return self.out
        split = "all" if self.split == "all" else split_folder(self.split)
        name = f"{self.dataset}-{split}-{self.preset}"
        if self.scl != PRESETS[self.preset].backbone:
            name += f"-{self.scl}"
        return Path("runs") / (name if self.paths == PATHS else f"{name}-{'-'.join(self.paths)}")

    def each_split(self) -> list["FitOptions"]:
        """Options of the runs: these, or of `--split all` three whose folders lie in its own."""
        if self.split != "all":
            return [self]
        folder = self.run_folder()
        return [
            dataclasses.replace(self, split=split, out=folder / split_folder(split))
            for split in SPLITS
        ]


def preset_value(preset: str, name: str):
    """Returns what a preset has for an option of `OF_PRESET`."""
    return getattr(PRESETS[preset], {"scl": "backbone"}.get(name, name))


def split_folder(split: int) -> str:
    """Name of the folder of a split's run."""
    return f"split{split}"


def load_dataset(options: CollectionOptions) -> Dataset:
    """The chosen split of the chosen collection; renders the demo on first use.

    Raises:
        UserError: if the folder is missing, not asked for, or not laid out as expected.
    """
    if options.dataset == "demo":
        if options.data_dir is not None:
            raise UserError("--data-dir is not for --dataset demo; name another --dataset")
        if options.splits_dir is not None:
            raise UserError("--splits-dir is not for --dataset demo; name another --dataset")
        folder = cache_folder() / f"demo-{DEMO_VERSION}"
        prepare_demo(folder)
        return dataclasses.replace(collections.hmdb51(folder, split=options.split), name="demo")
    if options.data_dir is None:
        raise UserError(f"--dataset {options.dataset} needs --data-dir, the folder of its videos")
    for folder in (options.data_dir, options.splits_dir):
        if folder is not None and not folder.is_dir():
            raise UserError(f"{folder} is not a folder")
    read = {
        "ucf101": collections.ucf101,
        "hmdb51": collections.hmdb51,
        "folder": collections.folder,
    }[options.dataset]
    return read(options.data_dir, splits_dir=options.splits_dir, split=options.split)


def open_data(
    options: CollectionOptions, store_folder: Path | None, *, short_side: int
) -> tuple[Dataset, FrameStore]:
    """The chosen split and its decoded frames, prepared where they are not yet.

    Args:
        options: which videos.
        store_folder: the store, or `None` for one in the user's cache folder.
        short_side: short side of the stored frames, pixels.

    Raises:
        UserError: see `load_dataset` and `prepare_store`.
    """
    dataset = load_dataset(options)
    if store_folder is None:
        digest = hashlib.sha256(os.fsencode(dataset.root.resolve())).hexdigest()[:10]
        name = f"{dataset.name}-{short_side}-{options.frames}-{digest}-format{FORMAT}"
        store_folder = cache_folder() / "stores" / name
    paths = [video.path for video in dataset.videos if video.side != "unused"]
    store = prepare_store(
        store_folder, dataset.root, paths, short_side=short_side, encoding=options.frames
    )
    if options.dataset == "folder" and options.splits_dir is None:
        hashes = {v.path: v.perceptual_hash for v in store.videos.values() if v.num_frames}
        dataset = collections.split_by_group(dataset, clusters(paths, near_duplicates(hashes)))
    print(dataset, flush=True)
    return dataset, store


def cache_folder() -> Path:
    """Where the demo and the decoded frames are kept: `$XDG_CACHE_HOME/fstcn-keras`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "fstcn-keras"


def write_config(options: FitOptions, file: Path):
    """The options as YAML; `python -m training.fit --config FILE` repeats the run."""
    atomic_write_text(file, yaml.safe_dump(_plain(options), sort_keys=False))


def read_config(file: Path, options_class: type = FitOptions):
    """What `write_config` wrote, an instance of the class.

    Raises:
        UserError: if the file is missing or does not hold the options of a run.
    """
    if not file.is_file():
        raise UserError(f"{file.parent} is not the folder of a training run: no {file.name}")
    try:
        options = parse(options_class, ["--config", str(file)])
        written = yaml.safe_load(file.read_text())
    except (UserError, UnicodeDecodeError) as error:
        raise UserError(f"{file} does not hold the options of a run: {error}") from error
    lacking = sorted(_filled_in(options_class) - set(written))
    if lacking:  # today's preset and recipe may be others than those it was trained by
        raise UserError(
            f"{file} is of an older version and lacks {', '.join(lacking)}: add what the run was "
            "trained with, or train anew"
        )
    return options


def _filled_in(options_class: type) -> set[str]:
    """Options whose defaults are those of the preset and the recipe."""
    names = {field.name for field in dataclasses.fields(options_class)}
    return names & {*OF_PRESET, *(field.name for field in dataclasses.fields(Recipe))}


def differences(options: FitOptions, other: FitOptions) -> list[str]:
    """The options in which two runs differ, as `name: value, not other value`.

    Where the run and the store lie makes no difference; the precision `auto` is like any other.
    """
    one, two = _plain(options), _plain(other)
    alike = {"out", "store"}
    if "auto" in (one["precision"], two["precision"]):
        alike.add("precision")
    changed = [name for name in one if one[name] != two[name] and name not in alike]
    return [f"{name}: {one[name]}, not {two[name]}" for name in changed]


def _plain(options: FitOptions) -> dict:
    def plain(value):
        if isinstance(value, Path):
            return str(value.resolve())
        return list(value) if isinstance(value, tuple) else value

    return {
        field.name: plain(getattr(options, field.name)) for field in dataclasses.fields(options)
    }

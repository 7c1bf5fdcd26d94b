"""Which results are older than the code that they measure, as git has it."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]

NETWORK = (
    *("fstcn_keras/model.py", "fstcn_keras/parts.py", "fstcn_keras/layers"),
    *("fstcn_keras/acceleration", "fstcn_keras/backbones"),
)
TRAINING = (
    *NETWORK,
    *("training/loop.py", "training/optimizers.py", "training/distribution.py"),
)
SAMPLES = (
    *("training/data/pipeline.py", "training/data/samplers.py", "training/data/store.py"),
    "fstcn_keras/clips.py",
)
PREPARATION = ("training/data/preparation.py", "training/parallel.py", "fstcn_keras/video")
ANSWERS = (
    *NETWORK,
    *("fstcn_keras/classifier.py", "fstcn_keras/views", "fstcn_keras/fusion.py"),
    *("fstcn_keras/video", "fstcn_keras/clips.py"),
)
RECIPE = (
    *TRAINING,
    *("fstcn_keras/config.py", "training/recipes.py", "training/stages.py"),
    *("training/data/samplers.py", "fstcn_keras/clips.py"),
    *("fstcn_keras/views/plan.py", "fstcn_keras/views/scoring.py"),  # frames are resized already
)
HEADS = (*RECIPE, "training/data/encoded_views.py", "training/statistics.py")
STEPS = (*TRAINING, "benchmarks/keras_steps.py")
ON_CLUSTER = ("training/on_cluster.py", "training/scoring.py")  # of prepare and predict

MEASURED = {  # by the module of benchmarks
    "cluster": (*ON_CLUSTER, *PREPARATION, *ANSWERS),
    "cluster_memory": (*ON_CLUSTER, "training/predict.py", "training/prediction_table.py"),
    "costs": (*TRAINING, *SAMPLES, *ANSWERS),
    "gpu": (*NETWORK, "benchmarks/jax_steps.py"),
    "heads": (*HEADS, "benchmarks/peers.py"),
    "jobs": (*ANSWERS, "training/predict.py", "benchmarks/video_peers.py"),
    "layers": NETWORK,
    "learning": (*HEADS, "benchmarks/peers.py"),
    "linear": ("fstcn_keras/backbones", "benchmarks/linear.py", "training/baseline.py"),
    "live": (*ANSWERS, "fstcn_keras/live.py"),
    "memory": SAMPLES,
    "pipeline": (*SAMPLES, *STEPS),
    "plan": (*ON_CLUSTER, *PREPARATION, *ANSWERS),
    "prepare": PREPARATION,
    "quantized": ("fstcn_keras/export",),
    "rejection": (*HEADS, "fstcn_keras/rejection.py", "training/rejection.py"),
    "scaling": (*STEPS, *ANSWERS, *PREPARATION, "training/data/store.py"),
    "server": ("fstcn_keras/serving", *ANSWERS),
    "settings": ("fstcn_keras/process.py", "fstcn_keras/allocation.py", *STEPS),
    "start_from": (*HEADS, "training/start.py"),
    "startup": (
        *("fstcn_keras/__init__.py", "fstcn_keras/process.py", "fstcn_keras/import_log.py"),
        "training/predict.py",
    ),
    "step": (
        *STEPS,
        *(f"benchmarks/torch_{name}.py" for name in ("steps", "twin", "lite", "peers")),
    ),
    "views": ANSWERS,
}


def measured_by(circumstances: str) -> tuple[str, ...]:
    """Returns the files and folders whose code a result measures.

    Args:
        circumstances: the first line of the file of the result, which names the command.
    """
    (module,) = re.findall(r"python -m benchmarks\.(\w+)", circumstances)
    return MEASURED[module]


def has_history() -> bool:
    """Returns whether git knows all that was committed to this copy of the project."""
    try:
        return _git("rev-parse", "--is-shallow-repository") == "false"
    except (OSError, subprocess.CalledProcessError):
        return False


def is_older(result: Path, code: tuple[str, ...]) -> bool:
    """Returns whether code has changed since the result was committed.

    A result that is not committed is not older than anything.
    """
    if _git("status", "--porcelain", "--", str(result)):
        return False
    commit = _git("log", "-1", "--format=%H", "--", str(result))
    changed = _git("diff", "--name-only", commit, "--", *code)
    return bool(changed or _git("status", "--porcelain", "--", *code))  # or new files


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()

"""What the scripts in `examples/` answer, in a process without this project."""

from pathlib import Path

from tests.processes import ROOT, run_python

SCRIPT = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"tensorflow", "keras", "fstcn_keras", "training"} & sys.modules.keys()
"""


def example_scores(file: Path, video: Path) -> dict[str, float]:
    """The scores that the example prints, by class, best first."""
    example = ROOT / "examples" / "predict_on_device.py"
    printed = run_python(SCRIPT, example, file, video, cwd=file.parent, PYTHONPATH="")
    scores = (line.split(maxsplit=1) for line in printed.splitlines())
    return {name: float(score) for score, name in scores}

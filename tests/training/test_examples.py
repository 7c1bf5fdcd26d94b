"""The example clips of a run: which videos they are of, and that browsers play them."""

import av
import numpy as np

from fstcn_keras.runs import RunFolder, example_files
from tests.videos import noise, write_video
from training import examples
from training.data.collections import Dataset, Video

CLASSES = ("a/b", "run")


def test_examples_are_of_the_two_classes_that_score_best(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "LENGTH_S", 0.4)
    monkeypatch.setattr(examples, "SHORT_SIDE", 48)
    labels = {"gone.avi": 0, "weak.avi": 0, "best.avi": 1, "next.avi": 1, "good.avi": 0}
    for name in list(labels)[1:]:
        write_video(tmp_path / name, noise(15, height=97, width=129, seed=len(name)))
    videos = [Video(name, label, "test", name) for name, label in labels.items()]
    dataset = Dataset("folder", 1, tmp_path, CLASSES, (), tuple(videos), (), 0)
    scores = np.array([[0.99, 0], [0.2, 0.8], [0, 0.9], [0.1, 0.85], [0.5, 0.5]])
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    examples.write_examples(run, dataset, videos, scores)
    first, second = example_files(run.path)
    assert [first.name, second.name] == ["1-run.mp4", "2-a%2Fb.mp4"]
    for file in (first, second):
        with av.open(file) as container:
            stream = container.streams.video[0]
            assert stream.codec_context.name == "h264"
            assert (stream.height, stream.width) == (48, 64)
            assert sum(1 for _ in container.decode(stream)) == 10  # of 25 in a second


def test_a_run_without_files_has_no_examples(tmp_path):
    videos = [Video("gone.avi", 0, "test", "x")]
    dataset = Dataset("folder", 1, tmp_path, CLASSES, (), tuple(videos), (), 0)
    run = RunFolder(tmp_path)
    examples.write_examples(run, dataset, videos, np.array([[1.0, 0.0]]))
    assert example_files(run.path) == []

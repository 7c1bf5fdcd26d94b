"""What notebooks show of predictions and runs."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from fstcn_keras import html
from fstcn_keras.prediction import VideoResult
from fstcn_keras.runs import RunFolder
from tests.networks import clear_classifier
from tests.videos import grey_ramp, write_video

HOSTILE = "<script>alert('x')</script> & \"y\" \udc80"


class Page(HTMLParser):
    """The tags, pictures and text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.pictures, self.text = [], [], ""
        self._open = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            kind, data = dict(attributes)["src"].split(",")
            assert kind == "data:image/png;base64"
            self.pictures.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
        else:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def prediction():
    return clear_classifier().predict_video(grey_ramp(61, height=66, width=88))


def test_a_prediction_shows_the_middle_frame_and_its_scores(prediction):
    page = prediction._repr_html_()
    found = Page(page)
    middle = prediction.pairs[1, 0, 2]  # of the second of three clips of five frames
    np.testing.assert_array_equal(found.pictures, [np.full((66, 88, 3), 10 + 4 * middle)])
    for name, score in zip(prediction.classes, prediction.scores, strict=True):
        assert f"{name}{score:.3f}" in found.text
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", page)]
    np.testing.assert_allclose(widths, 100 * prediction.scores, atol=0.06)
    json.dumps(page)  # as notebooks keep it


def test_a_large_frame_is_made_small(prediction):
    frames = np.zeros((30, 480, 640, 3), np.uint8)
    classifier = clear_classifier()
    assert classifier.predict_video(frames).middle_frame.shape == (66, 88, 3)
    assert prediction.middle_frame.base is None  # it keeps no other frame in memory


def test_names_are_text():
    scores = {HOSTILE: 0.5, "b": 0.25}
    page = html.bars(scores.items())
    found = Page(page)
    assert "script" not in found.tags
    assert "<script>alert('x')</script> & \"y\" ?" in found.text
    result = VideoResult(source=HOSTILE, reason=HOSTILE)
    assert set(Page(result._repr_html_()).tags) == {"div", "b"}
    page.encode("utf-8")


def test_of_many_classes_the_best_are_shown():
    found = Page(html.bars([(f"class{number}", 0.5) for number in range(25)]))
    assert found.tags.count("tr") == 10
    assert found.text.endswith("and 15 more")


def test_a_run_shows_its_accuracy_and_the_classes(tmp_path):
    run = RunFolder(tmp_path / "<i>run")
    assert "&lt;i&gt;run: not evaluated yet" in run._repr_html_()
    rows = [{"recall": recall, "support": n} for recall, n in ((1.0, 3), (0.25, 4), (0.0, 0))]
    judged = {
        "chance": 1 / 3,
        "interval": [0.25, 0.875],
        "baseline": {"top1": 0.5},
        "per_class": rows,
    }
    metrics = {
        "video": {"sci": {"top1": 4 / 7}},
        "classes": ["a", HOSTILE, "unseen"],
        "judgement": judged,
    }
    run.examples.mkdir(parents=True)
    run.metrics.write_text(json.dumps(metrics))
    write_video(run.examples / "1-a.mp4", grey_ramp(9), codec="mpeg4")
    (run.examples / "2-b.mp4").write_bytes(b"no video")
    found = Page(run._repr_html_())
    assert (
        "<i>run: accuracy 57.1 %, 95 % interval 25.0 % to 87.5 %, chance 33.3 %, "
        "linear baseline 50.0 %" in found.text
    )
    assert found.text.index("0.250") < found.text.index("1.000")
    assert "unseen" not in found.text
    np.testing.assert_allclose(found.pictures, [np.full((48, 64, 3), 10 + 4 * 4)], atol=3)
    run.metrics.write_text("[]")
    assert "not evaluated yet" in run._repr_html_()

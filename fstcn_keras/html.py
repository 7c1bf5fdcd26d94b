"""Shows predictions and runs in notebooks: a frame, and bars of scores.

All names are text to the page: what is special in HTML is escaped.
"""

import base64
import html
import io
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

MOST_BARS = 10
_BAR = (
    '<div style="background:#4477aa;height:.8em;width:{width:.1f}%;min-width:1px" '
    'title="{value}"></div>'
)
_CELL = '<td style="text-align:left{more}">{content}</td>'


def text(value: object) -> str:
    """Returns a value as text of a page.

    Example:
        >>> text("a <b> & 'c'")
        'a &lt;b&gt; &amp; &#x27;c&#x27;'
    """
    printable = str(value).encode("utf-8", "replace").decode()  # file names need not be
    return html.escape(printable)


def picture(frame: np.ndarray, name: str) -> str:
    """Returns a frame as an image that is part of the page.

    Example:
        >>> picture(np.zeros((48, 64, 3), np.uint8), "middle frame")[:33]
        '<img alt="middle frame" src="data'

    Args:
        frame: uint8 `(height, width, 3)`, RGB.
        name: what it is.
    """
    from PIL import Image  # which the network itself does without

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return f'<img alt="{text(name)}" src="{address}" style="max-height:12em">'


def bars(values: Iterable[tuple[str, float]]) -> str:
    """Returns a table of names, bars and values from 0 to 1; of many, the first ones.

    Example:
        >>> bars([("jump", 0.25)]).count("width:25.0%")
        1
    """
    values = list(values)
    rows = []
    for name, value in values[:MOST_BARS]:
        bar = _BAR.format(width=100 * min(max(value, 0), 1), value=f"{value:.3f}")
        cells = (("", text(name)), (";width:15em", bar), ("", f"{value:.3f}"))
        line = "".join(_CELL.format(more=more, content=content) for more, content in cells)
        rows.append(f"<tr>{line}</tr>")
    left_out = len(values) - MOST_BARS
    more = f"<div>and {left_out} more</div>" if left_out > 0 else ""
    return f"<table>{''.join(rows)}</table>{more}"


def beside(*parts: str) -> str:
    """Returns parts of a page side by side.

    Example:
        >>> beside("a", "", "b").count("<div>")
        2
    """
    inner = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:center">{inner}</div>'


def run_summary(name: str, metrics: Mapping[str, Any], frame: np.ndarray | None = None) -> str:
    """Returns what the evaluation of a run found: its accuracy, and the recall of each class.

    Example:
        >>> metrics = {"video": {"sci": {"top1": 0.5}}, "classes": ["jump", "run"]}
        >>> run_summary("runs/<small>", metrics)[:53]
        '<div><b>runs/&lt;small&gt;</b>: accuracy 50.0 %</div>'

    Args:
        name: of the run.
        metrics: of its `metrics.json`.
        frame: of a video, uint8 `(height, width, 3)`.
    """
    words = [f"accuracy {_percent(metrics['video']['sci']['top1'])}"]
    judged = metrics.get("judgement")  # older runs are without it
    chart = ""
    if judged:
        low, high = map(_percent, judged["interval"])
        words += [f"95 % interval {low} to {high}", f"chance {_percent(judged['chance'])}"]
        if judged["baseline"]:
            words.append(f"linear baseline {_percent(judged['baseline']['top1'])}")
        recalls = zip(metrics["classes"], judged["per_class"], strict=True)
        tested = [(name, row["recall"]) for name, row in recalls if row["support"]]
        worst_first = sorted(tested, key=lambda item: item[1])
        chart = f"<div>recall, the worst first</div>{bars(worst_first)}"
    head = f"<div><b>{text(name)}</b>: {text(', '.join(words))}</div>"
    shown = "" if frame is None else picture(frame, "middle frame of a test video")
    return head + beside(shown, chart)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"

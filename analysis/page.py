"""Self-contained HTML pages: pictures travel inside, nothing is fetched, names are escaped."""

import base64
import io
import mimetypes
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.markers import MarkerStyle
from PIL import Image

from fstcn_keras.files import atomic_write_text

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("analysis"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(file: Path, template: str, **values):
    """Fills a template of `analysis/templates` and writes it.

    All values are text to the page: what is special in HTML or scripts is escaped.
    """
    atomic_write_text(file, _TEMPLATES.get_template(template).render(**values))


def embedded_file(file: Path) -> str:
    """A picture file as a `data:` address."""
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return _data_address(kind, file.read_bytes())


def embedded_thumbnail(frame: np.ndarray, *, height: int = 96) -> str:
    """A frame, uint8 `(height, width, 3)`, as a `data:` address of a JPEG so high, pixels."""
    image = Image.fromarray(frame)
    image.thumbnail((4 * height, height))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return _data_address("image/jpeg", buffer.getvalue())


def marker_path(marker: str) -> str:
    """A marker of matplotlib as the path of an SVG, about 2 wide and high around 0, 0."""
    style = MarkerStyle(marker)
    outlines = style.get_path().transformed(style.get_transform()).to_polygons()
    flipped = [" L".join(f"{2 * x:.3g} {-2 * y:.3g}" for x, y in outline) for outline in outlines]
    return " ".join(f"M{outline}Z" for outline in flipped)


def _data_address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

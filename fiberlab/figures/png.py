"""PNG: a figure as a small picture, drawn once and cropped to what is seen of it.

The rule kept here: nothing is measured beforehand. matplotlib's ``bbox_inches="tight"`` draws a
figure twice, first to ask each text how large it is. Here it is drawn once on a larger page, and
the rows and columns of pixels that stayed blank are cut off.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

_AROUND = 4.0  # inches of page on each side, for what stands out of the figure
_MARGIN = 0.1  # inches that are left around what is seen
_COLOURS = 256  # as many as a byte names; a third of the size of full colours


def to_png(figure: Figure, dpi: float | None = None) -> bytes:
    """Return `figure` as a PNG, cropped as a notebook does; dpi: None is the figure's own.

    Where something reaches over the page's edge, the figure is transparent, or a legend is at the
    figure's own edge, which a larger page would move, it is as matplotlib makes it.
    """
    dpi = figure.dpi if dpi is None else dpi
    if figure.legends:
        return _as_matplotlib(figure, dpi)
    page = _on_a_page(figure, dpi)
    seen = page.view(np.uint32)[..., 0] != page.view(np.uint32)[0, 0, 0]
    rows, columns = (np.nonzero(seen.any(axis=axis))[0] for axis in (1, 0))
    whole = len(rows) and rows[0] and columns[0]
    whole = whole and rows[-1] < len(page) - 1 and columns[-1] < page.shape[1] - 1
    if not whole or (page[..., 3] != 255).any():
        return _as_matplotlib(figure, dpi)
    margin = round(_MARGIN * dpi)
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    part = page[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1, :3]
    return _in_few_colours(Image.fromarray(np.ascontiguousarray(part)), dpi)


def _as_matplotlib(figure: Figure, dpi: float) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi, bbox_inches="tight")
    return file.getvalue()


def _on_a_page(figure: Figure, dpi: float) -> Any:
    """Return the pixels of `figure` and of the page around it, RGBA."""
    columns, rows = (math.ceil((inches + 2 * _AROUND) * dpi) for inches in figure.get_size_inches())
    # Half a pixel more, since matplotlib rounds down.
    right, top = ((pixels + 0.5) / dpi - _AROUND for pixels in (columns, rows))
    file = BytesIO()
    box = Bbox([[-_AROUND, -_AROUND], [right, top]])
    figure.savefig(file, format="rgba", dpi=dpi, bbox_inches=box)
    return np.frombuffer(file.getvalue(), np.uint8).reshape(rows, columns, 4)


def _in_few_colours(image: Image.Image, dpi: float) -> bytes:
    few = image.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    # The page keeps its colour exactly, or it would stand out from the notebook's.
    palette = np.array(few.getpalette(), np.uint8).reshape(-1, 3)
    palette[np.asarray(few)[0, 0]] = np.asarray(image)[0, 0]
    few.putpalette(palette.tobytes())
    file = BytesIO()
    few.save(file, "png", dpi=(dpi, dpi))
    return file.getvalue()

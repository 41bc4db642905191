"""Marks: what stands on a figure for a look, as bars, as merged pixels and in a legend.

The rule kept here: a look is drawn by `style` wherever it is drawn, so that a legend shows what the
rows show.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.patches import Patch, Rectangle
from matplotlib.path import Path
from matplotlib.transforms import Bbox

from .palette import BROAD_HATCH, FRAMED, UNWATCHED, Look
from .window import Numbers


def style(look: Look, hatched: bool = True) -> dict[str, Any]:
    """Return how a patch is drawn that has `look`, in a row as in a legend.

    hatched: False for a bar too narrow for its hatch.
    """
    drawn: dict[str, Any] = {"facecolor": look.colour, "edgecolor": look.edge, "linewidth": 0.0}
    if look in FRAMED:
        drawn["linewidth"] = 1.2
    elif look.colour == "none" and not look.hatch:
        drawn |= {"linewidth": 0.8, "linestyle": "dashed"}
    elif look.colour == "none" and not hatched:
        drawn |= {"facecolor": look.edge, "alpha": 0.6}
    if look.hatch and hatched:
        drawn["hatch"] = look.hatch
    return drawn


def broaden(patch: Any, look: Look) -> Any:
    """Draw the hatch of `patch` with broader lines if its look has such; return `patch`."""
    if look is UNWATCHED and hasattr(patch, "set_hatch_linewidth"):  # matplotlib 3.10
        patch.set_hatch_linewidth(BROAD_HATCH)
    return patch


def solid(look: Look) -> str:
    return look.edge if look.colour == "none" else look.colour


def bars(y: Numbers, left: Numbers, right: Numbers, height: float, **look: Any) -> PathCollection:
    """Return bars as one path: a hatch is then made once, and not for each of them.

    look: as `style` gives it.
    """
    low, high = y - height / 2, y + height / 2
    x = np.stack([left, right, right, left, left], axis=1)
    corners = np.stack([x, np.stack([low, low, high, high, low], axis=1)], axis=2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    outline = Path(corners.reshape(-1, 2), np.tile(np.array(codes, Path.code_type), len(y)))
    return PathCollection([outline], **look)


class Pixels(Artist):
    """A picture of RGBA bytes that lies over a part of an Axes; its first row is on top.

    As `imshow`, but each pixel shows the nearest of the picture and nothing is interpolated:
    that is a tenth of the work.
    """

    def __init__(self, picture: Numbers, left: float, right: float, top: float, bottom: float):
        super().__init__()
        self.picture = picture
        self.place = Bbox([[left, bottom], [right, top]])

    def draw(self, renderer: Any) -> None:
        """Draw it in the pixels of `renderer`; called by matplotlib."""
        if not self.get_visible():
            return
        axes: Any = self.axes
        box = axes.transData.transform_bbox(self.place)
        fine = renderer.get_image_magnification()
        # A user may have turned an axis round: then its size is negative.
        corner, end = np.floor(box.min).astype(int), np.ceil(box.max).astype(int)
        sides = (
            (corner[0], end[0], box.x0, box.width, self.picture.shape[1]),
            (corner[1], end[1], box.y0, box.height, self.picture.shape[0]),
        )
        # For each pixel, from below: which column and which row of the picture is there.
        x, y = (
            (((low + (np.arange((high - low) * fine) + 0.5) / fine) - at) / size * count)
            .clip(0, count - 1).astype(np.int64)
            for low, high, at, size, count in sides
        )  # fmt: skip
        context = renderer.new_gc()
        context.set_clip_rectangle(axes.bbox)
        renderer.draw_image(context, *corner, self.picture[len(self.picture) - 1 - y][:, x])
        context.restore()


def swatch(look: Look, label: str) -> Patch:
    """Return a patch that stands for `look` in a legend of matplotlib's."""
    return cast(Patch, broaden(Patch(label=label, **style(look)), look))


class Key(NamedTuple):
    """What stands in a legend for looks that lie over each other: a piece of a row."""

    looks: tuple[Look, ...]

    @staticmethod
    def legend_artist(_legend: Any, key: Key, _size: float, box: Any) -> Any:
        """Draw `key` into its box; called by matplotlib."""
        for look in key.looks:
            high = look.height * box.height
            corner = (-box.xdescent, -box.ydescent + (box.height - high) / 2)
            piece = Rectangle(corner, box.width, high, **style(look))
            box.add_artist(broaden(piece, look))
        return piece

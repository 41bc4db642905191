"""Looks: how states are told apart in figures, and how names are made fit to be drawn.

The rule kept here: each state differs from the others in colour, height and hatch; a test holds
the colours against simulated colour blindness.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.patches import Patch

from .columns import PARKED, READY, RECV, RUNNING, SEND, SLEEP
from .pixels import Numbers
from .trace import printable


class Look(NamedTuple):
    """How a state is told from the others: colour, height of its bar, hatch and its colour."""

    colour: str
    height: float
    hatch: str = ""
    edge: str = "none"


LOOKS: dict[int, Look] = {
    RUNNING: Look("#1B4F8A", 0.80),
    READY: Look("#E69F00", 0.55),
    RECV: Look("#8CCBF0", 0.35, "///", "#3F86B5"),
    SEND: Look("#3FA98C", 0.35, "\\\\\\", "#17604C"),
    SLEEP: Look("#D9D9D9", 0.15, "...", "#8C8C8C"),
    PARKED: Look("none", 0.15, "", "#707070"),
}
STALLED = Look("none", 0.90, "xx", "#A50026")
UNWATCHED = Look("none", 0.35, "\\\\\\\\", "#E69F00")
ARRIVED = Look("#E69F00", 0.35)  # ready, had anybody looked
POLLING = Look("#C4C4C4", 0.45)
MERGED = 0.80  # the height of pixels that hold several spans

MARKED = PRINTED = "#000000"  # signs are told apart by shape; black stands out from every bar

FONT = 10
SMALL = 8
HATCHED_FROM = 12  # pixels; hatching narrower bars costs much and shows nothing
MOST_HATCHED = 600
MOST_BARS = 10_000  # more are merged, narrowest first
MOST_LABELS = 12
STALL_WIDTH = 3  # pixels, at least
NAME_LENGTH = 24
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}


def cut(name: str, most: int = NAME_LENGTH) -> str:
    """Return a name as it can be drawn: harmless, short, only with signs the font has."""
    line = printable(name[: most + 1]).replace("\t", " ")
    line = line if len(line) <= most else line[: most - 3] + "..."
    return "".join(c if ord(c) < 128 or _in_font(c) else "\u25a1" for c in line)


def _in_font(char: str) -> bool:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    families = FontProperties().get_family()
    return any(
        get_font(findfont(FontProperties(family=[family]))).get_char_index(ord(char))
        for family in families
    )


def corners(y: Numbers, left: Numbers, right: Numbers, height: float) -> Any:
    """Return four corners for each bar."""
    low, high = y - height / 2, y + height / 2
    x = np.stack([left, right, right, left], axis=1)
    return np.stack([x, np.stack([low, low, high, high], axis=1)], axis=2)


def solid(look: Look) -> str:
    return look.edge if look.colour == "none" else look.colour


def swatch(look: Look, label: str) -> Patch:
    dashed = look.colour == "none" and not look.hatch
    return Patch(
        facecolor=look.colour, edgecolor=look.edge, hatch=look.hatch or None, label=label,
        linewidth=0.8 if look.colour == "none" else 0.0, linestyle="--" if dashed else "-",
    )  # fmt: skip

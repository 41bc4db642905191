"""Looks: how states differ in figures, and how names are made fit to be drawn.

The rule kept here: each state differs from the others in colour, height and hatch; a test holds
the colours against simulated colour blindness.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..states import FiberState


class Look(NamedTuple):
    """How a state is drawn: colour, height of its bar, hatch and its colour."""

    colour: str
    height: float
    hatch: str = ""
    edge: str = "none"


_LOOKS = {
    FiberState.RUNNING: Look("#1B4F8A", 0.80),
    FiberState.READY: Look("#E69F00", 0.55),
    FiberState.RECV: Look("#8CCBF0", 0.35, "///", "#3F86B5"),
    FiberState.SEND: Look("#3FA98C", 0.35, "\\\\\\", "#17604C"),
    FiberState.SLEEP: Look("#D9D9D9", 0.15, "...", "#8C8C8C"),
    FiberState.PARKED: Look("none", 0.15, "", "#707070"),
    FiberState.UNKNOWN: Look("#F2E6F2", 0.35, "xxx", "#9A7D9A"),
}
LOOKS: dict[int, Look] = {state.code: look for state, look in _LOOKS.items()}
"""How each state looks, by its code; in the order of the legend."""

STACKED = tuple(sorted(LOOKS, key=lambda code: -LOOKS[code].height))
"""The states that share a pixel, from its bottom to its top: the tallest bars are lowest."""

STALLED = Look("none", 0.90, "xx", "#A50026")
UNBLAMED = Look("none", 0.90, "", "#4D4D4D")  # as long, but the program cannot be blamed
# Brown: at least 3 : 1 against every wait that it lies on. The orange of ready vanished on recv.
UNWATCHED = Look("none", 0.35, "\\\\\\\\", "#7D3500")
FRAMED = (STALLED, UNBLAMED)  # an outline around a step, and no bar of its own
HIDDEN = Look("#E69F00", 0.35)  # ready, if the loop had looked
POLLING = Look("#C4C4C4", 0.45)
BILLED = {
    "computing": LOOKS[FiberState.RUNNING.code],
    "waiting": LOOKS[FiberState.SLEEP.code],
    "ready": LOOKS[FiberState.READY.code],
    "unwatched": Look("#FBE3B3", 0.55, UNWATCHED.hatch, UNWATCHED.edge),
    "late": Look("#F6CF73", 0.55, "ooo", "#7A5300"),
    "machine": Look("#F0F0F0", 0.55, "---", "#606060"),
    "unknown": LOOKS[FiberState.UNKNOWN.code],
}
"""How the parts of a bill look, by their names: what others took is orange, with its own hatch."""

MERGED = 0.80  # the height of pixels that hold several spans

MARKED = PRINTED = "#000000"  # signs differ by shape; black stands out from every bar

SMALLEST, FONT = 8, 11  # points; which of them: see `page.letters`
BROAD_HATCH = 1.8  # points; its lines are to be seen over another hatch
HATCHED_FROM = 12  # pixels; hatching narrower bars costs much and shows nothing
MOST_HATCHED = 600
MOST_BARS = 10_000  # more are merged, narrowest first
MOST_LABELS, MOST_TRIED = 12, 100  # the longest steps come first
STALL_WIDTH = 3  # pixels, at least
NAME_LENGTH = 24
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}

DARK = {
    "running": ("#5AA0E6", "none"),
    "recv": ("#2B6485", "#8CCBF0"),
    "send": ("#1D6551", "#6FD3B4"),
    "sleep": ("#6E6E6E", "#3A3A3A"),
    "parked": ("none", "#A8A8A8"),
    "stalled": ("none", "#FF6B7D"),
    "unblamed": ("none", "#C8C8C8"),
    "unwatched": ("none", "#FFC04D"),
    "polling": ("#6A6A6A", "none"),
}
"""Colour and edge on a dark page, where those above would not stand out; by the state's word."""

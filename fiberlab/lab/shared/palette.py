"""The colours of the lessons' figures.

The rule kept here: what a timeline shows too has the timeline's colour. A colour is chosen here or
in ``figures.palette``; a lesson only takes one by its name.
"""

from __future__ import annotations

from ...figures.palette import LOOKS, STALLED
from ...states import READY, RUNNING, SLEEP, FiberState

BLUE = LOOKS[RUNNING].colour
"""What runs; also lines and points, where there is nothing to tell apart."""
ORANGE = LOOKS[READY].colour
"""What is ready and has to wait for its turn."""
PALE_BLUE, PALE_BLUE_EDGE = LOOKS[FiberState.RECV.code].colour, LOOKS[FiberState.RECV.code].edge
"""What waits for data, or holds it; and its hatching."""
GREEN = LOOKS[FiberState.SEND.code].colour
"""What waits for room, or is still to be sent."""
GREY, GREY_EDGE = LOOKS[SLEEP].colour, LOOKS[SLEEP].edge
"""What only waits; and its hatching."""
RED = STALLED.edge
"""What went wrong: a lost update, a client that came because another one had to wait."""

BROWN = "#B35900"
"""What the reader is to look at among the rest."""
LIGHT_GREY = "#E6E6E6"
"""What lies around: the kernel, a part of the loop that is not the point."""
BAND_GREY = "#DDDDDD"
"""A stretch of time, behind what happens in it."""
MIDDLE_GREY = "#BDBDBD"
"""A poll that waits."""
DARK_GREY = "#5A5A5A"
"""A poll that only looks."""
PALE_GREEN, PALE_RED = "#DDEFE8", "#F6D5D0"
"""How a fiber ended: by a return, by an error."""

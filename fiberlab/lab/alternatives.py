"""Figures in a notebook: each that IPython shows carries its alternative text, and is small.

The text is stored with the figure as ``metadata["image/png"]["alt"]``, where nbconvert looks for
it. Where runs are kept, those of timelines stand beside it (see ``viewer.notebook``). The picture
is drawn once and has few colours (see ``figures.png``); IPython's own is three times as large, and
draws twice. This module does not know what a figure shows (see ``figures.alternative``).
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from ..figures.alternative import alternative, runs_drawn
from ..viewer.notebook import kept_runs


def show_alternatives_in(shell: Any) -> None:
    """Let IPython's `shell` store the alternative text of figures; None: there is no IPython."""
    if shell is not None:
        display = shell.display_formatter
        display.mimebundle_formatter.for_type_by_name(
            "matplotlib.figure", "Figure", partial(_bundle, display.formatters["image/png"])
        )


def _bundle(formatter: Any, figure: Any, include: Any = None, exclude: Any = None) -> Any:
    """Return no data, which other formatters make, and the metadata of it.

    formatter: the one for PNG. IPython registers its own drawing when it pleases, so ours takes
    its place here, just before a figure is shown; a user's choice of SVG or "retina" stands.
    """
    kind = sys.modules["matplotlib.figure"].Figure  # it is loaded, since there is a figure
    drawing = formatter.type_printers.get(kind)
    if getattr(drawing, "keywords", {}).get("fmt") == "png":
        formatter.for_type(kind, _png)
    runs, alone = runs_drawn(figure)
    return {}, {"image/png": {"alt": alternative(figure), **kept_runs(runs, alone=alone)}}


def _png(figure: Any) -> bytes | None:
    """Return the picture of `figure`; None for an empty one, as IPython has it."""
    from ..figures.png import to_png

    return to_png(figure) if figure.axes or figure.lines else None

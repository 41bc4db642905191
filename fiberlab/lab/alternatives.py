"""Alternative text in a notebook: every figure that IPython shows carries it as metadata.

It is stored with the figure as ``metadata["image/png"]["alt"]``, where nbconvert looks for it.
This module does not know what a figure shows (see ``figures.alternative``).
"""

from __future__ import annotations

from typing import Any

from ..figures.alternative import alternative


def show_alternatives_in(shell: Any) -> None:
    """Let IPython's `shell` store the alternative text of figures; None: there is no IPython."""
    if shell is not None:
        formatter = shell.display_formatter.mimebundle_formatter
        formatter.for_type_by_name("matplotlib.figure", "Figure", _bundle)


def _bundle(figure: Any, include: Any = None, exclude: Any = None) -> tuple[Any, Any]:
    """Return no data, which other formatters make, and the metadata of it."""
    return {}, {"image/png": {"alt": alternative(figure)}}

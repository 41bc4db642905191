"""What can stand for a figure: words for a reader who does not see it, and the runs that it shows.

The rule kept here: a figure of this package tells what its ``describe_`` function tells. Any
other tells what is written on it, and from where to where its lines and bars go.

matplotlib is not loaded here: a figure comes with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..spans.spans import Spans


class Drawn(NamedTuple):
    """A run that an Axes shows, and from when to when, in nanoseconds.

    whole: whether a viewer of the run shows all that the Axes does. title: of the run.
    """

    spans: Spans
    begin: int
    end: int
    whole: bool = True
    title: str = ""


_WORDS: WeakKeyDictionary[Any, Callable[[], str]] = WeakKeyDictionary()
_RUNS: WeakKeyDictionary[Any, list[Drawn]] = WeakKeyDictionary()
_MOST_POINTS = 12
"""Up to so many points of a line are told one by one."""


def with_words(ax: Axes, words: Callable[[], str]) -> Axes:
    """Let `words` say what `ax` shows, when they are asked for; return `ax`."""
    _WORDS[ax] = words
    return ax


def with_run(ax: Axes, run: Drawn) -> None:
    """Keep beside `ax` a run that it shows, for who asks for `runs_drawn`."""
    _RUNS.setdefault(ax, []).append(run)


def runs_drawn(figure: Figure) -> tuple[list[Drawn], bool]:
    """Return the runs that `figure` shows, and whether viewers of them would show all of it.

    A run that it shows twice is returned once; the title of the only one says nothing.
    """
    kept = [(ax, run) for ax in figure.axes for run in _RUNS.get(ax, ())]
    runs = {id(run.spans): run._replace(title=run.title or _title(ax)) for ax, run in kept}
    found = list(runs.values()) if len(runs) > 1 else [run for _, run in kept[:1]]
    return found, all(ax in _RUNS for ax in figure.axes) and all(run.whole for _, run in kept)


def alternative(figure: Figure) -> str:
    """Return what `figure` shows, one paragraph for each of its Axes."""
    told = (_WORDS[ax]() if ax in _WORDS else _seen(ax) for ax in figure.axes)
    return "\n\n".join(filter(None, told))


def _seen(ax: Axes) -> str:
    """Say what stands on an Axes: title, axes, lines, bars and texts."""
    return " ".join(part for part in _parts(ax) if part)


def _parts(ax: Axes) -> Iterator[str]:
    title = _title(ax)
    yield f"Chart: {title}." if title else "Chart."
    if ax.axison:
        for name, axis in (("across", ax.xaxis), ("up", ax.yaxis)):
            label = _flat(axis.get_label_text())
            yield f"{name.capitalize()}: {label}." if label else ""
        rows = [_flat(tick.get_text()) for tick in ax.get_yticklabels()]
        if any(re.search(r"[^\W\d]", row) for row in rows):  # names, not numbers
            yield f"Rows, from below: {', '.join(filter(None, rows))}."
    for line in ax.lines:
        label = str(line.get_label())
        if not label.startswith("_"):
            yield f"{_flat(label)}: {_points(line.get_xdata(), line.get_ydata())}."
    for bars in ax.containers:
        label, patches = str(bars.get_label()), list(getattr(bars, "patches", ()))
        if patches and not label.startswith("_"):
            yield f"{_flat(label)}: {len(patches)} bars."
    texts = [_flat(text.get_text()) for text in ax.texts]
    texts = list(dict.fromkeys(filter(None, texts)))
    yield f"Written on it: {'; '.join(texts)}." if texts else ""


def _title(ax: Axes) -> str:
    return _flat(ax.get_title() or ax.get_title("left"))


def _points(across: Any, up: Any) -> str:
    points = [f"{_short(x)}, {_short(y)}" for x, y in zip(across, up, strict=True)]
    if len(points) <= _MOST_POINTS:
        return "; ".join(points)
    return f"{len(points)} points from {points[0]} to {points[-1]}, up to {_short(max(up))}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(text: str) -> str:
    return " ".join(text.split())

"""play: a picture that is drawn anew when a slider is moved.

The rule kept here: what is drawn is a plain function of its values, which the lesson has called
once without any slider; so a reader that moves nothing misses nothing, and the function
is compared like any other. What it prints and draws replaces the old in one piece, so nothing
flickers and the page does not jump. This is the only module that needs ipywidgets.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import traceback
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any

import ipywidgets
from IPython.core.displaypub import DisplayPublisher
from IPython.core.getipython import get_ipython
from IPython.display import display
from ipywidgets.widgets.interaction import show_inline_matplotlib_plots

from .tracebacks import in_short


def play(draw: Callable[..., Any], **choices: Sequence[Any]) -> None:
    """Show a slider for each of `choices`, and call `draw` with what they are set to.

    choices: by the name of a parameter of `draw`, the values it may take. Numbers are sorted. A
    slider starts at the parameter's default, without one at the first value given. `draw` is
    called while a slider is dragged, as often as it can keep up.
    Raises TypeError for what is no function or no list, ValueError for one without values.
    """
    if not callable(draw):
        raise TypeError(f"play() needs a function that draws, got {draw!r}")
    for name, values in choices.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"play({name}=) needs a list of values, got {values!r}")
    starts = _defaults(draw)
    sliders = {name: _slider(name, list(values), starts) for name, values in choices.items()}
    picture = ipywidgets.Output()

    def redraw(_change: Any = None) -> None:
        values = {name: slider.value for name, slider in sliders.items()}
        picture.outputs = _outputs(draw, values)

    for slider in sliders.values():
        slider.observe(redraw, names="value")
    redraw()
    display(ipywidgets.VBox([*sliders.values(), picture]))  # type: ignore[no-untyped-call]


def _defaults(draw: Callable[..., Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(draw).parameters.values()
    except ValueError:  # some functions in C
        return {}
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def _slider(name: str, values: list[Any], starts: dict[str, Any]) -> ipywidgets.SelectionSlider:
    if not values:
        raise ValueError(f"play({name}=) needs at least one value to choose from")
    start = starts.get(name, values[0])
    if start not in values:
        raise ValueError(
            f"play({name}=) starts at {start!r}, the default of that parameter, which is not among "
            f"{values!r}"
        )
    if all(isinstance(value, Real) for value in values):
        values.sort()
    # A description that is cut off would hide which of two sliders this is.
    style, layout = {"description_width": "initial"}, {"width": "30em"}
    return ipywidgets.SelectionSlider(
        options=values, value=start, description=name.replace("_", " "), style=style, layout=layout
    )


# -- What a call prints and shows ----------------------------------------------


def _outputs(draw: Callable[..., Any], values: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return what a call prints, shows, returns and raises, as the outputs of a cell."""
    found: list[dict[str, Any]] = []
    with contextlib.redirect_stdout(_Printed(found)), _shown_in(found):
        try:
            result = draw(**values)
            show_inline_matplotlib_plots()
            if result is not None:
                display(result)  # type: ignore[no-untyped-call]
        except Exception as error:
            lines = traceback.format_exception(in_short(error))
            name, message = type(error).__name__, str(error)
            found.append(
                {"output_type": "error", "ename": name, "evalue": message, "traceback": lines}
            )
    return tuple(found)


class _Printed(io.TextIOBase):
    """Adds what is printed to `found`."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        self._found = found

    def write(self, text: str) -> int:
        last = self._found[-1] if self._found else {}
        if last.get("output_type") == "stream":
            last["text"] += text
        else:
            self._found.append({"output_type": "stream", "name": "stdout", "text": text})
        return len(text)


class _Publisher(DisplayPublisher):
    """Adds what is shown to `found`."""

    found: list[dict[str, Any]]

    def publish(self, data: Any, metadata: Any = None, *_: Any, **__: Any) -> None:
        self.found.append({"output_type": "display_data", "data": data, "metadata": metadata or {}})


@contextlib.contextmanager
def _shown_in(found: list[dict[str, Any]]) -> Any:
    """Have IPython show in `found`; outside of IPython nothing changes."""
    shell = get_ipython()
    if shell is None:
        yield
        return
    before, shell.display_pub = shell.display_pub, _Publisher()  # type: ignore[no-untyped-call]
    shell.display_pub.found = found
    try:
        yield
    finally:
        shell.display_pub = before

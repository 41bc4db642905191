"""play: a picture that is drawn anew when a slider is moved.

The rule kept here: what is drawn is a plain function of its values, which the lesson has called
once without any slider; so a reader that moves nothing misses nothing, and the function
is compared like any other. This is the only module that needs ipywidgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets


def play(draw: Callable[..., Any], **choices: Sequence[Any]) -> None:
    """Show a slider for each of `choices`, and call `draw` with what they are set to.

    choices: by the name of a parameter of `draw`, the values it may take; the first is shown to
    begin with. `draw` is called again when a slider is let go, so it may take a second or two.
    Raises TypeError for what is no function or no list, ValueError for one without values.
    """
    if not callable(draw):
        raise TypeError(f"play() needs a function that draws, got {draw!r}")
    for name, values in choices.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"play({name}=) needs a list of values, got {values!r}")
    sliders = {name: _slider(name, list(values)) for name, values in choices.items()}
    ipywidgets.interact(draw, **sliders)


def _slider(name: str, values: list[Any]) -> ipywidgets.SelectionSlider:
    if not values:
        raise ValueError(f"play({name}=) needs at least one value to choose from")
    # A description that is cut off would hide which of two sliders this is.
    style, layout = {"description_width": "initial"}, {"width": "30em"}
    return ipywidgets.SelectionSlider(
        options=values, description=name, continuous_update=False, style=style, layout=layout
    )

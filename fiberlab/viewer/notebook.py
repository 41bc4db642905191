"""The viewer in a notebook: a widget where there is one, else the still picture.

The rule kept here: the output of a cell holds all forms at once, the widget, the picture and the
words, and whatever shows the notebook takes the best that it can. So a notebook on a web site
has its picture.

anywidget is loaded when a run is shown; without it the picture and the words are left.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..diagnosis.finding import counted
from ..figures.alternative import Drawn
from ..figures.timeline import describe_timeline, timeline_png
from ..spans.build import Story, build_spans
from ..trace.trace import Trace
from .feed import Feed
from .page import part, script
from .picture import pack

KEEP_RUNS = "FIBERLAB_KEEP_RUNS"
"""The variable of the environment by which `make site` asks pictures to keep their runs."""

_RENDER = """
async function render({ model, el }) {
  // A picture comes as a view into a message.
  const bytes = (each) => new Uint8Array(each.buffer, each.byteOffset, each.byteLength);
  const named = (name) => [name, model.get(name)];
  const options = Object.fromEntries(["stepping", "asking", "live"].map(named));
  const root = document.createElement("div");
  el.append(root);
  const viewer = await mount(root, model.get("pictures").map(bytes), options);
  model.on("change:pictures", async () => {
    viewer.renew(await (await readRun(bytes(model.get("pictures")[0]))).complete());
  });
  model.on("change:live", () => viewer.ended());
  return () => viewer.close();
}
export default { render };
"""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PICTURE = "image/png"
_PAUSE = 0.1  # seconds between two pictures of a run that goes on


class Shown:
    """A run to be shown as the value of a cell; made by `show` and `step`.

    Its `str` tells in words what it shows. Its `repr` is the same in every run of a lesson.
    """

    def __init__(
        self, trace: Story, other: Story | None, *, stepping: bool = False, asking: bool = False
    ) -> None:
        self.trace = trace
        self.asking = asking
        self.runs = [build_spans(each) for each in (trace, other) if each is not None]
        self.stepping = stepping

    def __str__(self) -> str:
        return "\n\n".join(map(describe_timeline, self.runs))

    def __repr__(self) -> str:
        fibers = " and ".join(counted(len(spans.lives), "fiber") for spans in self.runs)
        return f"<a timeline to zoom and step through: {fibers}>"

    def _repr_mimebundle_(self, **_options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        png = b64encode(timeline_png(self.runs[0])).decode()
        data: dict[str, Any] = {"text/plain": repr(self), _PICTURE: png}
        if importlib.util.find_spec("anywidget") is not None:
            view = self.widget()._repr_mimebundle_()
            # anywidget gives data, or a pair of data and metadata.
            data[_WIDGET] = (view[0] if isinstance(view, tuple) else view)[_WIDGET]
        drawn = [Drawn(spans, spans.begin, spans.finish) for spans in self.runs]
        kept = kept_runs(drawn, stepping=self.stepping, asking=self.asking)
        return data, {_PICTURE: {"alt": str(self), **kept}}

    def widget(self) -> Any:
        """Return the widget, an anywidget with the runs in it; it grows with one that goes on."""
        pictures = [pack(spans, source=True) for spans in self.runs]
        trace = self.trace
        live = isinstance(trace, Trace) and trace.under_way is not None and len(self.runs) == 1
        widget = _widget_class()(
            pictures=pictures, stepping=self.stepping, asking=self.asking, live=live
        )
        if live:
            follow = threading.Thread(
                target=_follow, args=(widget, trace), name="fiberlab live widget", daemon=True
            )
            follow.start()
        return widget


def show(trace: Story, other: Story | None = None) -> Shown:
    """Show a run in a notebook, to zoom, search and step through; the last value of a cell.

    other: a second run, below on the same axis. Where no widget can be shown, and without
    anywidget, it is the picture of `plot_timeline`. A run that goes on, such as the trace of a
    server in the background, is shown live. The lines of source that the run names are in
    the widget.
    """
    return Shown(trace, other)


def step(trace: Story, other: Story | None = None, *, ask: bool = False) -> Shown:
    """Show a run in a notebook as `show` does, with the stepper open.

    ask: let it ask which fiber runs next, and wait for an answer, before each step that it shows.
    """
    return Shown(trace, other, stepping=True, asking=ask)


def kept_runs(drawn: Sequence[Drawn], *, alone: bool = True, **options: bool) -> dict[str, Any]:
    """Return what a picture's metadata keep of the runs that it shows; nothing unless asked to.

    So a page made of the notebook can have the viewer in place of the picture; if the
    runs stand alone there, and else beside it. options: as the viewer's `mount` takes them. The
    environment asks, since a run in each picture would make every notebook larger.
    """
    if not drawn or KEEP_RUNS not in os.environ:
        return {}
    pictures = [pack(each.spans, title=each.title, source=True, level=9) for each in drawn]
    between = [min(each.begin for each in drawn), max(each.end for each in drawn)]
    held = [b64encode(each).decode() for each in pictures]
    return {"runs": held, "alone": alone, "options": {**options, "between": between}}


def _follow(widget: Any, trace: Trace) -> None:
    """Give a widget new pictures while a run goes on, and one of the whole run at its end.

    At most a third of the time is spent on it.
    """
    feed = Feed(trace)
    while trace.under_way is not None:
        began = time.monotonic()
        widget.pictures = [feed.picture()]
        threading.Event().wait(max(_PAUSE, 2 * (time.monotonic() - began)))
    widget.pictures = [pack(trace, source=True)]
    widget.live = False


@cache
def _widget_class() -> Any:
    import anywidget
    import traitlets

    parts = {
        "_esm": script() + _RENDER,
        "_css": part("viewer.css"),
        "pictures": traitlets.List().tag(sync=True),
        "stepping": traitlets.Bool().tag(sync=True),
        "asking": traitlets.Bool().tag(sync=True),
        "live": traitlets.Bool().tag(sync=True),
    }
    return type("Viewer", (anywidget.AnyWidget,), parts)

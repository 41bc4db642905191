"""What the lessons use: live servers, clients, facts, predictions and exercises.

    serving         a server in the background, for as long as a ``with`` lasts
    load            clients against a server that runs; what each request took
    record          a whole experiment in one call: server, clients, and the trace of it
    story, stories  what fibers did, in words that are the same in every run
    predict, reveal a prediction, and what the recording says to it
    show_predictions    all of them at the end; gather_predictions: those of a class
    check, examine  an exercise's answer, held to properties of a trace
    keep, kept      the scheduler that a student builds, from lesson to lesson
    show_source     the source of what runs here
    play            a picture that is drawn anew when a slider is moved

The names are loaded when they are first used. No module here is called like a function that it
holds: importing the module would hide the function. In IPython, the lab's own errors are shown
without its frames from then on (see ``tracebacks``), and figures get their alternative text (see
``alternatives``).
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra

if TYPE_CHECKING:
    from .background import Server, serving
    from .clients import ClientError, Recording, load, record
    from .crowd import Record
    from .exercises import (
        Exercise,
        Judgement,
        Question,
        check,
        examine,
    )
    from .facts import Step, culprits, longest_step, printed, stories, story
    from .handed_on import keep, kept
    from .misconceptions import gather_predictions
    from .predictions import Predictions, predict, reveal, show_predictions
    from .source import Source, show_source
    from .widgets import play

_HOMES = {
    "background": ("Server", "serving"),
    "clients": ("ClientError", "Record", "Recording", "load", "record"),
    "exercises": (
        "Exercise",
        "Judgement",
        "Question",
        "check",
        "examine",
    ),
    "facts": ("Step", "culprits", "longest_step", "printed", "stories", "story"),
    "handed_on": ("keep", "kept"),
    "misconceptions": ("gather_predictions",),
    "predictions": ("Predictions", "predict", "reveal", "show_predictions"),
    "source": ("Source", "show_source"),
    "widgets": ("play",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ClientError",
    "Exercise",
    "Judgement",
    "Predictions",
    "Question",
    "Record",
    "Recording",
    "Server",
    "Source",
    "Step",
    "check",
    "culprits",
    "examine",
    "gather_predictions",
    "keep",
    "kept",
    "load",
    "longest_step",
    "play",
    "predict",
    "printed",
    "record",
    "reveal",
    "serving",
    "show_predictions",
    "show_source",
    "stories",
    "story",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'fiberlab.lab' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f".{home}", __name__), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == __name__.partition(".")[0]:
            raise
        raise MissingExtra.of(name, error.name, "lessons") from None
    globals()[name] = value
    # Not imported here: IPython has been imported by its user.
    if (ipython := sys.modules.get("IPython")) is not None:
        from .alternatives import show_alternatives_in
        from .tracebacks import shorten_in

        shorten_in(ipython.get_ipython())
        show_alternatives_in(ipython.get_ipython())
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

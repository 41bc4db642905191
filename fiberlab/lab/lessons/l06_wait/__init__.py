"""Lesson 06, WAIT: for seconds, for a turn, or for another fiber."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import beats, drifting, returns, steady, visit_museum, visit_ours
from .figures import draw_drift, draw_visits, draw_waits
from .old_loop import OldLoop
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "OldLoop",
    "beats",
    "draw_drift",
    "draw_visits",
    "draw_waits",
    "drifting",
    "returns",
    "steady",
    "visit_museum",
    "visit_ours",
]

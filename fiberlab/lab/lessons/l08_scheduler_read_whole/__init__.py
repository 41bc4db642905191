"""Lesson 08, the scheduler, read whole: each line of it is for something that can be seen."""

from __future__ import annotations

from ...shared.stepper import at_event
from . import fibers
from .exercises import EXERCISES, mystery
from .experiment import (
    ROWS,
    change_line,
    longest_gap,
    longest_slice,
    quiet,
    three_recordings,
)
from .fibers import four_fibers
from .figures import draw_picture, draw_states, transitions
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "ROWS",
    "at_event",
    "change_line",
    "draw_picture",
    "draw_states",
    "fibers",
    "four_fibers",
    "longest_gap",
    "longest_slice",
    "mystery",
    "quiet",
    "three_recordings",
    "transitions",
]

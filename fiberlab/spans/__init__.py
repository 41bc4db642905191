"""Spans: a trace's events, turned into the stretches of time that each fiber spent in one state.

`spans` keeps them in columns, `build` makes them, and `check` holds them against the laws. `wakes`
says which fiber woke which, `stalls` which line held a step, and `numbers` has the measures that
reports and figures share.

This folder knows no scheduler, and draws nothing.
"""

from .build import build_spans
from .check import check_story
from .spans import Span, Spans

__all__ = ["Span", "Spans", "build_spans", "check_story"]

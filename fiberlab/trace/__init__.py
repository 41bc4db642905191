"""The trace: one event for everything that the scheduler does, kept in memory and on disk.

`events` says which kinds there are, `trace` keeps them, `file` writes and reads them, and `line`
is one event as a line of JSON.

This folder knows no scheduler, and nothing of what is made of a trace.
"""

from .events import EventKind, TraceEvent
from .trace import Trace

__all__ = ["EventKind", "Trace", "TraceEvent"]

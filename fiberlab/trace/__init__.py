"""The trace: one event for everything that the scheduler does, kept in memory and on disk.

`events` says which kinds there are, `trace` keeps them, `file` writes and reads them, `line` is
one event as a line of JSON, and `packed` holds those of a loaded trace in little room.

This folder knows no scheduler, and does not know what is made of a trace.
"""

from .events import EventKind, TraceEvent
from .trace import Trace

__all__ = ["EventKind", "Trace", "TraceEvent"]

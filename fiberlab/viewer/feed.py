"""The feed: what of a run that goes on is shown, as a picture at any moment.

The rule kept here: only the trace is read, and whoever asks pays. The scheduler that is watched
does nothing for it, so a fiber that holds the loop is seen while it holds it. A picture is of the
newest events, so it is bounded however long the run goes on.
"""

from __future__ import annotations

from collections import deque
from itertools import chain
from operator import itemgetter

from ..spans.build import build_spans
from ..spans.spans import Spans
from ..trace.events import EV, FID, Row, T
from ..trace.trace import Trace
from .picture import pack

MOST_EVENTS = 4_000  # that are shown; packing them takes some 20 ms


class Feed:
    """What of a run is shown: its newest events, and where each fiber was before them."""

    def __init__(self, trace: Trace, most: int = MOST_EVENTS) -> None:
        self.trace = trace
        self.most = most
        self._forget()

    def _forget(self) -> None:
        self.seen = 0  # how many events were taken, or dropped before
        self.recent: deque[Row] = deque()
        self.began: Row | None = None
        self.named: dict[int, Row] = {}  # fiber -> its spawn, if that is not among the recent
        self.moved: dict[int, Row] = {}  # fiber -> its last change of state, likewise

    def spans(self) -> Spans:
        """Return the spans of what is shown now."""
        ahead = self.trace.under_way
        now, stalls, cpu = (0, [], None) if ahead is None else ahead()
        self._catch_up()
        # A step that has ended meanwhile has its stalls recorded.
        stalls = [row for row in stalls if row not in self.recent]
        first = [] if self.began is None else [self.began]
        parts = chain(first, self.named.values(), self.moved.values(), self.recent, stalls)
        shown = Trace()
        shown.rows = sorted(parts, key=itemgetter(T))
        return build_spans(shown, until=now, cpu=cpu)

    def picture(self, title: str = "") -> bytes:
        """Return what is shown now, packed; title: what the run is called."""
        return pack(self.spans(), title=title, source=True, billed=False)

    def _catch_up(self) -> None:
        """Take the events that are new."""
        kept, first, rows = self.trace.rows_since(self.seen)
        if first > self.seen:  # what follows those that were seen is dropped
            self._forget()
            self.recent.extend(kept)
        self.seen = first + len(rows)
        self.recent.extend(rows)
        while len(self.recent) > self.most:
            self._settle(self.recent.popleft())

    def _settle(self, row: Row) -> None:
        """Keep of an event that is no longer shown what the others depend on."""
        ev, fid = row[EV], row[FID]
        if ev == "start":
            self.began = row
        elif ev == "spawn":
            self.named[fid] = row
        elif ev in ("wake", "resume", "yield"):
            self.moved[fid] = row
        elif ev == "exit":
            self.named.pop(fid, None)
            self.moved.pop(fid, None)

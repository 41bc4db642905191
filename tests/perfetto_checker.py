"""Holds a file to the "Trace Event Format" and to what Perfetto makes of it.

    python tests/perfetto_checker.py FILE...      say what is wrong with each

Written from the format's description and from what Perfetto was seen to do, and not from
fiberlab's writer: it shares no code with it. Numbers are read as decimals, so that a nanosecond
lost to a float would be seen.
"""

from __future__ import annotations

import gzip
import json
import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

Event = dict[str, Any]
Number = int | Decimal

NEEDED = {
    "M": {"name", "pid", "args"},
    "X": {"name", "pid", "tid", "ts", "dur"},
    "C": {"name", "pid", "ts", "args"},
    "s": {"name", "cat", "pid", "tid", "ts", "id"},
    "f": {"name", "cat", "pid", "tid", "ts", "id"},
    "b": {"name", "cat", "pid", "tid", "ts", "id"},
    "e": {"name", "cat", "pid", "tid", "ts", "id"},
    "i": {"name", "pid", "tid", "ts", "s"},
}
METADATA = {"process_name": "name", "thread_name": "name", "thread_sort_index": "sort_index"}
ORDER = {"X": 0, "s": 1, "f": 2, "C": 3, "b": 4, "e": 4, "i": 5}
STATES = {"running", "ready", "recv", "send", "sleep", "parked"}
YEAR = 365 * 24 * 3600 * 1_000_000  # microseconds


def read(path: Path) -> list[Event]:
    """Return the events of a file; ValueError if it is no JSON of the right shape."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    told = json.loads(data.decode(), parse_float=Decimal, parse_constant=_refuse)
    if not isinstance(told, dict) or not isinstance(told.get("traceEvents"), list):
        raise ValueError('expected {"traceEvents": [...]}')
    return told["traceEvents"]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def problems(events: list[Event]) -> list[str]:
    """Return a sentence for everything that is wrong."""
    shape = [each for number, event in enumerate(events) for each in _shape(number, event)]
    if shape:
        return shape
    return [*_order(events), *_tracks(events), *_slices(events), *_arrows(events),
            *_brackets(events)]  # fmt: skip


def _shape(number: int, event: Event) -> Iterator[str]:
    """Hold one event to the fields that its phase needs."""
    where = f"event {number}"
    needed = NEEDED.get(event.get("ph", ""))
    if needed is None:
        yield f"{where} has an unknown phase {event.get('ph')!r}"
        return
    if missing := needed - set(event):
        yield f"{where} lacks {sorted(missing)}"
        return
    for key in ("ts", "dur"):
        value = event.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, Number) or value < 0:
            yield f"{where}: {key} is {value!r}"
        elif isinstance(value, Decimal) and value.as_tuple().exponent < -3:
            yield f"{where}: {key} has more than three decimals: {value}"
    if isinstance(event.get("ts", 0), Number) and event.get("ts", 0) > YEAR:
        yield f"{where}: ts {event['ts']} is not relative to the run"
    for key in ("pid", "tid"):
        value = event.get(key, 0)
        if type(value) is not int or not 0 <= value < 2**31:
            yield f"{where}: {key} is {value!r}"
    if not isinstance(event["name"], str) or any(ord(char) < 32 for char in event["name"]):
        yield f"{where}: name is {event['name']!r}"
    if event["ph"] == "M" and set(event["args"]) != {METADATA.get(event["name"])}:
        yield f"{where}: metadata {event['name']} with {event['args']}"
    if event["ph"] == "C" and not all(type(n) is int for n in event["args"].values()):
        yield f"{where}: a counter counts {event['args']}"
    if event["ph"] == "i" and event["s"] not in ("g", "p", "t"):
        yield f"{where}: scope {event['s']!r}"


def _order(events: list[Event]) -> Iterator[str]:
    """Names first; then by time; at one time slices, then arrows, counters, and notes last."""
    timed = [event for event in events if event["ph"] != "M"]
    if events[len(events) - len(timed) :] != timed:
        yield "metadata stands among the events"
    keys = [(event["ts"], ORDER[event["ph"]]) for event in timed]
    for number, (before, after) in enumerate(pairwise(keys)):
        if before > after:
            yield f"timed event {number + 1} is out of order: {before}, then {after}"


def _tracks(events: list[Event]) -> Iterator[str]:
    """Each track has one name and its own place in the order."""
    names, places = defaultdict(list), defaultdict(list)
    for event in events:
        if event["name"] == "thread_name":
            names[event["tid"]].append(event["args"]["name"])
        if event["name"] == "thread_sort_index":
            places[event["args"]["sort_index"]].append(event["tid"])
    yield from (f"track {tid} has names {found}" for tid, found in names.items() if len(found) > 1)
    yield from (f"tracks {tids} share a place" for tids in places.values() if len(tids) > 1)
    used = {event["tid"] for event in events if event["ph"] != "M"}
    yield from (f"track {tid} has no name" for tid in sorted(used - set(names)))


def _slices(events: list[Event]) -> Iterator[str]:
    """The slices of a track do not overlap, and none is empty; states have bare names."""
    ends: dict[int, Number] = {}
    for event in events:
        if event["ph"] != "X":
            continue
        tid, start = event["tid"], event["ts"]
        if event["dur"] <= 0:
            yield f"an empty slice {event['name']!r} at {start} on track {tid}"
        if start < ends.get(tid, 0):
            yield f"slices overlap at {start} on track {tid}"
        ends[tid] = start + event["dur"]
        if event.get("cat") == "state" and event["name"] not in STATES:
            yield f"a state is called {event['name']!r}"


def _arrows(events: list[Event]) -> Iterator[str]:
    """Each arrow begins and ends once, in this order, and each time inside a slice."""
    slices = defaultdict(list)
    ends: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            slices[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] in "sf":
            ends[event["id"]].append(event)
    # Perfetto takes what was pushed last, a note too, whether or not it is over.
    top: dict[int, Event] = {}
    for event in events:
        if event["ph"] in "Xi":
            top[event["tid"]] = event
        elif event["ph"] in "sf" and top.get(event["tid"], event)["ph"] == "i":
            yield f"arrow {event['id']} is caught by the note {top[event['tid']]['name']!r}"
    inside = {tid: _Inside(spans) for tid, spans in slices.items()}
    for number, found in ends.items():
        if [event["ph"] for event in found] != ["s", "f"]:
            yield f"arrow {number} is {[event['ph'] for event in found]}"
            continue
        left, came = found
        if (left["name"], left["cat"]) != (came["name"], came["cat"]):
            yield f"arrow {number} changes its name"
        if left["ts"] > came["ts"]:
            yield f"arrow {number} flies back in time"
        if came.get("bp") != "e":
            yield f"arrow {number} ends at the next slice, not at the one around it"
        for event in found:
            if event["tid"] not in inside or not inside[event["tid"]].holds(event["ts"]):
                yield f"arrow {number}: {event['ph']} at {event['ts']} is in no slice"


class _Inside:
    """Tells whether a moment is inside one of the slices of a track."""

    def __init__(self, spans: list[tuple[Number, Number]]) -> None:
        self.spans = sorted(spans)
        self.starts = [start for start, _ in self.spans]

    def holds(self, moment: Number) -> bool:
        at = bisect_right(self.starts, moment) - 1
        return at >= 0 and moment < self.spans[at][1]


def _brackets(events: list[Event]) -> Iterator[str]:
    """Each bracket begins and ends once, under the same name."""
    found: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in "be":
            found[event["cat"], event["id"]].append(event)
    for key, pair in found.items():
        if [event["ph"] for event in pair] != ["b", "e"] or len({e["name"] for e in pair}) > 1:
            yield f"bracket {key} is {[(event['ph'], event['name']) for event in pair]}"


if __name__ == "__main__":
    wrong = [(path, each) for path in sys.argv[1:] for each in problems(read(Path(path)))]
    for path, each in wrong:
        print(f"{path}: {each}")
    sys.exit(bool(wrong))

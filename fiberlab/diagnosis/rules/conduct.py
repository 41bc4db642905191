"""Conduct: the rules about what fibers did or failed to do, whatever it cost others.

Busy waiting, lost fiber, deadlock, socket pitfalls, crash; and events that the trace has lost.
The rule kept here: what the other side may have caused, or just the end of the run, is reported
but not blamed on the program.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise

from ...spans.spans import Life, Spans, readable
from ...states import ON_SOCKETS, PARKED, READY, RUNNING, STATES, WAITING
from ...trace.events import EV, FID, STOP, WAKE, YIELD, T, place
from ..finding import Finding, counted, listed, more, shown
from ..limits import Limits
from ..words import is_ours, words_of

_SOCKET_ERRORS = ("SocketBusy", "SocketClosed")
# The other side went away, or was slow.
_OUTSIDE = (
    "ConnectionResetError", "ConnectionAbortedError", "BrokenPipeError", "ConnectionError",
    "FiberTimeout", "TimeoutError",
)  # fmt: skip


def busy_waiting(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Find the fibers that ask again and again instead of waiting."""
    for life in spans.lives:
        mine = spans.indexes(life.id)
        wakes = [i for i in mine if spans.state[i] == READY]
        own = sum(spans.rows[spans.first[i]][4] == "yield" for i in wakes if _is_wake(spans, i))
        steps = [i for i in mine if spans.state[i] == RUNNING]
        ran = sum(spans.end[i] - spans.start[i] for i in steps)
        lived = sum(spans.totals(life.id).values()) / 1e9
        if own <= limits.self_wakes or own <= limits.self_wake_share * len(wakes):
            continue
        if own <= limits.self_wakes * lived or ran >= limits.self_wake_step * 1e9 * len(steps):
            continue
        words = words_of(spans, life)
        waits = sum(spans.state[i] in WAITING for i in mine)
        slept = f"waited for something {counted(waits, 'time')}" if waits else "waited for nothing"
        text = (
            f"{shown(life.name)} woke itself {own:,} times ({100 * own / len(wakes):.0f} % of "
            f"its wakes are after {words.wait}(0)) and {slept}. Let it wait for what it looks for"
        )
        yield Finding(
            kind="busy waiting",
            text=f"{text}: {words.instead}." if words.instead else f"{text}.",
            fiber=life.id,
            name=life.name,
            src=_last_wait_zero(spans, life.id),
            cost=ran,
            spans=tuple(spans[i] for i in steps[:100]),
            numbers={"self_wakes": own, "wakes": len(wakes), "ran": ran},
        )  # fmt: skip


def _is_wake(spans: Spans, i: int) -> bool:
    return bool(spans.rows[spans.first[i]][1] == "wake")


def _last_wait_zero(spans: Spans, fiber: int) -> str | None:
    rows = (row for row in reversed(spans.rows) if row[FID] == fiber and row[EV] == "yield")
    zero = (row for row in rows if row[YIELD.OP] == "WAIT" and row[YIELD.DT] == 0)
    return next((place(row[YIELD.SRC]) for row in zero), None)


# -- Fibers that were not woken -----------------------------------------------


def never_woken(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Find a deadlock, or else the fibers that were parked when the run ended."""
    words = words_of(spans)
    waiting = dict(_left_waiting(spans))
    reason = _reason(spans)
    if reason == "deadlock":
        yield _deadlock(spans, waiting)
        return
    for fiber, i in waiting.items() if reason not in (None, "left") else ():
        # asyncio and others cancel what is left at the end of a run: that is how it ends.
        if spans.state[i] == PARKED and (is_ours(spans) or spans.last[i] < 0):
            life, span = spans.life(fiber), spans[i]
            yield Finding(
                kind="lost fiber",
                text=f"{shown(life.name)} {words.parked} at {span.src or '?'} from "
                f"{readable(span.start)} on, for {readable(span.length)}, and was not woken before "
                f"the run ended. If it should go on, another {words.fiber} must "
                f"{'run after it has parked' if words.wait == 'WAIT' else 'wake it'}.",
                fiber=fiber,
                name=life.name,
                src=span.src,
                spans=(span,),
                numbers={"parked": span.length},
                certainty="unclear",
                blames=False,
            )  # fmt: skip


def _left_waiting(spans: Spans) -> Iterator[tuple[int, int]]:
    """Yield each fiber that still waited when the run ended, and the index of that wait."""
    for life in spans.lives:
        mine = spans.indexes(life.id)
        waits = [i for i in mine if spans.state[i] in WAITING]
        if not waits:
            continue
        i = waits[-1]
        last = spans.rows[spans.last[i]] if spans.last[i] >= 0 else None
        closed = last is None or (
            last[EV] == "wake" and last[WAKE.WHY] == "cancel" and last[WAKE.BY] == 0
        )
        if closed:
            yield life.id, i


def _reason(spans: Spans) -> str | None:
    last = spans.rows[-1] if spans.rows else None
    return last[STOP.REASON] if last is not None and last[EV] == "stop" else None


def _deadlock(spans: Spans, waiting: dict[int, int]) -> Finding:
    names = [f"{spans.life(fiber).name} at {spans[i].src or '?'}" for fiber, i in waiting.items()]
    sockets = any(spans.state[i] in ON_SOCKETS for i in waiting.values())
    how = "parked or waiting on sockets on which nothing will arrive" if sockets else "parked"
    noun = words_of(spans).fiber
    all_of_them = f"All {len(waiting)} {noun}s are" if len(waiting) != 1 else f"The only {noun} is"
    return Finding(
        kind="deadlock",
        text=f"{all_of_them} {how}; nothing can wake them ({listed(names, 5)}). "
        f"At least one {noun} must be able to run: let one of them wait for a socket or a time.",
        fiber=next(iter(waiting), 0),
        name=spans.life(next(iter(waiting))).name if waiting else "",
        src=spans[next(iter(waiting.values()))].src if waiting else None,
        cost=sum(spans.end[i] - spans.start[i] for i in waiting.values()),
        spans=tuple(spans[i] for i in waiting.values()),
        numbers={"fibers": len(waiting)},
        severity="error",
    )


# -- Errors -------------------------------------------------------------------


def crashes(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Find the fibers that ended with an error; one finding for each error and line."""
    groups: dict[tuple[str, str | None], list[Life]] = {}
    for life in spans.lives:
        if life.how == "error":
            error = (life.err or "an error").partition(":")[0].strip()
            groups.setdefault((error, life.last_src), []).append(life)
    for (error, src), lives in groups.items():
        yield _crash(spans, error, src, lives)


def _crash(spans: Spans, error: str, src: str | None, lives: list[Life]) -> Finding:
    first = lives[0]
    died = first.died or 0
    others = sum(
        life.id not in {each.id for each in lives}
        and (life.born or life.known or 0) <= died
        and (life.died is None or life.died > died)
        for life in spans.lives
    )
    pitfall, outside = error in _SOCKET_ERRORS, error in _OUTSIDE
    at = f" at {src}" if src else ""
    message = shown((first.err or "").partition(":")[2].strip(), 160)
    text = f"{listed([life.name for life in lives])} ended with {shown(error)}{at}"
    text += f" ({message})" if message else ""
    noun = f"other {words_of(spans).fiber}"
    rest = f"{counted(others, noun)} went on" if others else f"no {noun} was left"
    text += f"; {rest}."
    if outside:
        text += " The other side was slow or went away; catch the error where that can happen."
    return Finding(
        kind="fd pitfalls" if pitfall else "crash",
        text=text,
        fiber=first.id,
        name=first.name,
        src=src,
        spans=tuple(spans[i] for life in lives[:100] for i in spans.indexes(life.id)[-1:]),
        numbers={"fibers": len(lives), "others": others},
        severity="warning" if outside else "error",
        blames=not outside,
    )


def shared_sockets(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Find two fibers that waited for the same direction of the same socket at once."""
    waits: dict[tuple[int, int], array[int]] = {}
    for i in range(len(spans)):
        if spans.state[i] in ON_SOCKETS and spans.end[i] > spans.start[i]:
            fileno = spans.rows[spans.first[i]][4]
            if isinstance(fileno, int) and fileno >= 0:
                waits.setdefault((fileno, spans.state[i]), array("i")).append(i)
    for (fileno, state), among in waits.items():
        overlapping = [
            (one, other)
            for one, other in pairwise(among)
            if spans.start[other] < spans.end[one] and spans.row[one] != spans.row[other]
        ]
        if overlapping:
            yield _shared(spans, fileno, state, overlapping)


def _shared(spans: Spans, fileno: int, state: int, overlapping: list[tuple[int, int]]) -> Finding:
    one, other = overlapping[0]
    first, second = (spans.lives[spans.row[i]] for i in (one, other))
    again = f" So they did {more(len(overlapping) - 1, 'time')}." if len(overlapping) > 1 else ""
    return Finding(
        kind="fd pitfalls",
        text=f"Two {words_of(spans).fiber}s wait for {STATES[state].name} on fd {fileno} "
        f"({listed([first.name, second.name])}); only one of them gets what comes.{again} "
        "Give each its own socket, or let one of them hand the data on.",
        fiber=second.id,
        name=second.name,
        src=spans[other].src,
        cost=min(spans.end[one], spans.end[other]) - spans.start[other],
        spans=(spans[one], spans[other]),
        numbers={"fd": fileno, "times": len(overlapping)},
        certainty="likely",
    )


# -- The trace ----------------------------------------------------------------


def dropped_events(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Report that the trace has lost its beginning."""
    if not spans.dropped:
        return
    known = next((row[T] for row in spans.rows if row[EV] not in ("start", "spawn")), 0)
    yield Finding(
        kind="tracer",
        text=f"{counted(spans.dropped, 'event')} {'was' if spans.dropped == 1 else 'were'} "
        f"dropped; the picture before {readable(known)} is incomplete. Record with a larger "
        "Trace(limit).",
        numbers={"dropped": spans.dropped, "known_from": known},
        blames=False,
    )

"""Evidence: what a long step was doing, and which fibers paid for it.

The rule kept here: a program is blamed only for what was seen. A step may be long because it
blocked, because it computed, or because the machine was busy elsewhere. Its processor time and
what the watchdog saw decide between these; if they do not, the verdict is UNCLEAR.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from enum import Enum
from typing import NamedTuple

from ..spans.spans import Spans, readable
from ..spans.stalls import BLOCKING, called, last_part
from ..states import READY, RUNNING, UNTIL_POLLED
from ..trace.events import EV, FID, POLL, WAKE, Row, T, printable
from .limits import Limits


class Verdict(Enum):
    """What made a step long."""

    BLOCKED = "blocking call"
    COMPUTED = "CPU hog"
    PREEMPTED = "OS preemption"
    UNCLEAR = "long step"


class Victim(NamedTuple):
    """A fiber that could have gone on while another one ran.

    waited: nanoseconds, within that step. how: "ready", "late" (its deadline passed) or "data"
    (the first look at the sockets after the step found some for it). exact: False if it may
    have been less: when the data came is not known.
    """

    fiber: int
    name: str
    waited: int
    how: str
    exact: bool = True


# On a fiber's own sockets these return at once; on another socket they may not.
_ON_SOCKETS = {"recv", "recv_into", "recvfrom", "send", "sendto", "accept"}


def judge(spans: Spans, step: int, limits: Limits) -> Verdict:
    """Decide what made the step at `step` long."""
    span, looks = spans[step], spans.looks(step)
    calls = [name for look in looks if (name := called(look.func)) is not None]
    blocking = any(last_part(name) in BLOCKING for name in calls)
    if span.cpu is None:
        return Verdict.BLOCKED if blocking else Verdict.UNCLEAR
    if span.cpu >= limits.cpu_high * span.length:
        return Verdict.COMPUTED
    if blocking:
        return Verdict.BLOCKED
    if span.cpu >= limits.step * 1e9:
        return Verdict.COMPUTED
    if span.cpu >= limits.cpu_low * span.length or not looks:
        return Verdict.PREEMPTED if looks else Verdict.UNCLEAR
    # A step that blocks uses no processor; one that computes on a busy machine does, if little.
    some = span.cpu >= 0.1 * limits.cpu_low * span.length
    if len(calls) < len(looks):
        # What has no call's name may block too, such as an operator or an import.
        moved = len(looks) < 2 or len({look.src for look in looks}) > 1
        return Verdict.PREEMPTED if some or moved else Verdict.BLOCKED
    # Two looks found a call, the second ten times as late: that is not chance.
    doubtful = some or all(last_part(name) in _ON_SOCKETS for name in calls)
    return Verdict.PREEMPTED if doubtful and len(looks) < 2 else Verdict.BLOCKED


def blames(spans: Spans, step: int, verdict: Verdict, limits: Limits) -> bool:
    """Whether the program is to blame for the long step at `step`; verdict: what `judge` said."""
    if verdict in (Verdict.BLOCKED, Verdict.COMPUTED) or simulated(spans):
        return True
    return verdict is not Verdict.PREEMPTED and endless(spans, step, limits)


_EXCUSES = {Verdict.PREEMPTED: "machine busy?", Verdict.UNCLEAR: "cause not seen"}


def excuse(spans: Spans, step: int, limits: Limits) -> str | None:
    """Say in a word or two why no fiber is blamed for the long step at `step`; None: one is."""
    verdict = judge(spans, step, limits)
    return None if blames(spans, step, verdict, limits) else _EXCUSES[verdict]


def long_steps_shown(spans: Spans, stalled: float | None) -> tuple[dict[int, str], dict[int, str]]:
    """Return the steps that a picture marks, by index, each with the words that stand beside it.

    The first held the loop; the second are as long, and no fiber is to blame for them.
    stalled: seconds from which a step is long; None or math.inf: only those that were looked into.
    """
    shortest = math.inf if stalled is None else stalled
    steps = {*(spans.steps(shortest) if shortest < math.inf else ())}
    steps |= {stall.step for stall in spans.stalls}
    limits = Limits() if stalled is None else Limits(step=stalled)
    held, unblamed = {}, {}
    for step in sorted(steps):
        length = readable(spans.end[step] - spans.start[step])
        why = excuse(spans, step, limits)
        if why is not None:
            unblamed[step] = f"{length}, {why}"
            continue
        at = (spans.held_at(step).text or "") if spans.looks(step) else ""
        at = at if len(at) <= 40 else at[:37] + "..."
        held[step] = f"{printable(at)}  {length}".strip()
    return held, unblamed


def endless(spans: Spans, step: int, limits: Limits) -> bool:
    """Whether the step is so long that its fiber was not going to yield: it never has."""
    length = spans.end[step] - spans.start[step]
    return only_step(spans, step) and length >= 1e9 * limits.first_step


def only_step(spans: Spans, step: int) -> bool:
    """Whether the fiber's whole life was this one step: it ended, or is at it still."""
    life = spans.lives[spans.row[step]]
    ended = spans.last[step] < 0 or spans.rows[spans.last[step]][EV] == "exit"
    codes = (spans.state[i] for i in spans.indexes(life.id))
    return ended and life.known == life.born and sum(code == RUNNING for code in codes) == 1


def simulated(spans: Spans) -> bool:
    """Whether the clock was simulated: then no machine was busy, and a step's length is its own."""
    return spans.header.get("clock") == "simulated"


def victims_of(spans: Spans, step: int) -> list[Victim]:
    """Return the fibers that could have run during the step at `step`; the longest wait first."""
    begun, ended = spans.start[step], spans.end[step]
    found_data = _first_poll_after(spans, step)
    victims = []
    for life in spans.lives:
        mine = spans.indexes(life.id)
        if life.id == spans.lives[spans.row[step]].id or not mine:
            continue
        at = max(0, bisect_right(mine, begun, key=spans.start.__getitem__) - 1)
        found = [
            victim
            for i in mine[at : at + 3]
            if spans.start[i] < ended and spans.end[i] >= begun
            if (victim := _victim(spans, i, begun, ended, found_data)) is not None
        ]
        victims += [max(found, key=_waited)] if found else []
    return sorted(victims, key=_waited, reverse=True)


def _waited(victim: Victim) -> int:
    return victim.waited


def _victim(
    spans: Spans, i: int, begun: int, ended: int, found_data: dict[int, Row]
) -> Victim | None:
    """Return how a step from `begun` to `ended` delayed the fiber of the span at `i`, if it did."""
    life, state = spans.lives[spans.row[i]], spans.state[i]
    since = max(begun, spans.start[i])
    if state == READY:
        waited = min(ended, spans.end[i]) - since
        return Victim(life.id, life.name, waited, "ready") if waited > 0 else None
    if state not in UNTIL_POLLED or spans.end[i] < ended or spans.last[i] < 0:
        return None
    row = spans.rows[spans.last[i]]
    if row[WAKE.WHY] == "timer":
        late = row[WAKE.LATE]
        due = spans.start[i] + (spans[i].duration or 0) if late is None else row[T] - late
        waited = ended - max(due, since)
        return Victim(life.id, life.name, waited, "late") if waited > 0 else None
    if found_data.get(life.id) != row:
        return None
    hidden = row[WAKE.HIDDEN]
    arrived = since if hidden is None else max(since, row[T] - hidden)
    if arrived >= ended:
        return None
    return Victim(life.id, life.name, ended - arrived, "data", hidden is not None)


def _first_poll_after(spans: Spans, step: int) -> dict[int, Row]:
    """Return the wakes of the first poll after a step, by fiber, unless that poll had to wait.

    Those before it are of the poll before the step: another scheduler may come to them later.
    """
    wakes: dict[int, Row] = {}
    asked: Row | None = None
    answered = False
    for number in range(spans.last[step], len(spans.rows)) if spans.last[step] >= 0 else ():
        row = spans.rows[number]
        if row[EV] == "poll":
            if answered:
                break
            asked = row
        elif row[EV] == "polled":
            # A poll that blocked found what came while it waited, not what came before.
            if asked is None or (asked[POLL.TIMEOUT] != 0 and row[T] - asked[T] > 1_000_000):
                break
            answered = True
        elif row[EV] == "wake" and row[WAKE.WHY] == "io" and (answered or asked is None):
            wakes[row[FID]] = row
        elif answered and row[EV] == "resume":
            break
    return wakes

"""Delays: the rules about fibers that went on too late, and what kept them.

Starved, late timer, hidden ready, slow turn. The rule kept here: a fiber is blamed only for time
in which it was seen at work or blocked: a long step by its verdict, a short one by its processor
time. The rest is put down to the machine.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...spans.numbers import Holders
from ...spans.spans import Spans, readable
from ...states import READY, RUNNING, SLEEP
from ...trace.events import EV, RESUME, WAKE, T, cpu_of
from ..evidence import Verdict, judge, simulated
from ..finding import Finding, listed, shown
from ..limits import Limits
from ..words import is_ours, words_of

Stretch = tuple[int, int]

MOST_DELAYS = 100  # so many delays of each kind, the longest, are looked into


class Cause(NamedTuple):
    """The fiber that ran most during some stretches of time: `held` of `whole` nanoseconds.

    proven: in how much of `whole` steps of any fiber were at work or blocked. known: whether that
    was measured. long: whether the longest step of this fiber there held the loop. sampled:
    whether most of the looks into steps there found one that was at work or blocked; None: there
    was no look, though a long turn of the loop is looked into there.
    """

    fiber: int
    name: str
    src: str | None
    held: int
    whole: int
    proven: int
    known: bool
    long: bool
    sampled: bool | None

    @property
    def blames(self) -> bool:
        """Whether the program can be blamed: for half the time at least."""
        return self.whole > 0 and (2 * self.proven >= self.whole or self.sampled is True)

    @property
    def alone(self) -> bool:
        """Whether one fiber accounts for half the time at least."""
        return self.fiber > 0 and 2 * self.held >= self.whole

    def __str__(self) -> str:
        # Steps that filled that time and used no processor may have blocked, if nobody looked.
        unclear = self.sampled is None and 2 * self.held >= self.whole and not self.long
        if not self.blames and (self.known or not self.held) and not unclear:
            return "The machine was probably busy. Not your code."
        if not self.alone:
            return f"Many short steps filled that time, most of it those of {shown(self.name)}."
        unseen = "" if self.blames else "; what it did was not measured"
        at = f" ({self.src})" if self.src else ""
        return f"{shown(self.name)} alone accounts for {readable(self.held)} of it{at}{unseen}."

    def certainty(self) -> str:
        """Say how sure it is."""
        return ("certain" if self.alone else "likely") if self.blames else "unclear"


class Causes:
    """Finds the causes of delays in one run; looks at each step once."""

    def __init__(self, spans: Spans, limits: Limits) -> None:
        self.spans, self.limits = spans, limits
        self.holders = Holders(spans)
        self._known = simulated(spans)
        # Sums up to each step, so that a stretch of many steps costs two look-ups.
        self._proofs, self._unknown = array("q", [0]), array("i", [0])
        self._looks = array("i", [0])  # one more for a look that blames, one less for another
        self._looked = array("i", [0])
        for step in self.holders.steps:
            part = self._proven(step)
            self._proofs.append(self._proofs[-1] + (part or 0))
            self._unknown.append(self._unknown[-1] + (part is None))
            look = self._look(step)
            self._looks.append(self._looks[-1] + look)
            self._looked.append(self._looked[-1] + abs(look))

    def of(self, stretches: Iterable[Stretch]) -> Cause:
        """Return the cause of what happened in `stretches`, which do not overlap."""
        stretches = list(stretches)
        held: dict[int, int] = {}
        whole = proven = unknown = looks = looked = 0
        for begin, end in stretches:
            whole += end - begin
            first, last = self.holders.range(begin, end)
            self.holders.add_up(begin, end, held)
            unknown += self._unknown[last] - self._unknown[first]
            looks += self._looks[last] - self._looks[first]
            looked += self._looked[last] - self._looked[first]
            proven += self._proofs[last] - self._proofs[first]
            for at in {first, last - 1} if first < last else ():
                part = self._proofs[at + 1] - self._proofs[at]
                proven -= part - min(part, self.holders.overlap(at, begin, end))
        if not held:
            return Cause(0, "", None, 0, whole, 0, True, False, None)
        most = max(held, key=held.__getitem__)
        life, step = self.spans.lives[most], self._longest(most, stretches)
        src, long = self.spans.held_at(step).text, self._is_long(step)
        known = not unknown
        sampled = looks > 0 if looked or is_ours(self.spans) else None
        return Cause(life.id, life.name, src, held[most], whole, proven, known, long, sampled)

    def _longest(self, owner: int, stretches: list[Stretch]) -> int:
        """Return the step of `owner` that took most of `stretches`."""
        holders = self.holders
        lengths = (
            (holders.overlap(at, begin, end), holders.steps[at])
            for begin, end in stretches
            for at in range(*holders.range(begin, end))
            if holders.owners[at] == owner
        )
        return max(lengths)[1]

    def _look(self, step: int) -> int:
        """Return 1 if the look into a step blames it, -1 if it does not, 0 without a look."""
        if not self.spans.stalls or not self.spans.looks(step):
            return 0
        verdict = judge(self.spans, step, self.limits)
        return 1 if verdict in (Verdict.BLOCKED, Verdict.COMPUTED) else -1

    def _is_long(self, step: int) -> bool:
        return self.spans.end[step] - self.spans.start[step] >= self.limits.step * 1e9

    def _proven(self, step: int) -> int | None:
        """Return for how long the step was at work or blocked; None if that is not known."""
        length = self.spans.end[step] - self.spans.start[step]
        if self._known:
            return length
        if not self._is_long(step):
            number = self.spans.last[step]
            row = self.spans.rows[number]
            cpu = cpu_of(row) if number >= 0 else None
            return None if cpu is None else min(length, cpu)
        verdict = judge(self.spans, step, self.limits)
        if verdict is Verdict.UNCLEAR:
            return None
        return length if verdict in (Verdict.BLOCKED, Verdict.COMPUTED) else 0


class Delay(NamedTuple):
    """A delay that a rule has found: its fiber, its length, and the words for it."""

    fiber: int
    length: int
    text: str
    stretches: list[Stretch]
    span: int


def delays(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Find the fibers that were starved, woken late, or had data that the loop did not look for."""
    causes = Causes(spans, limits)
    for kind, rule in (("starved", _starved), ("late timer", _late), ("hidden ready", _hidden)):
        groups: dict[tuple[int, bool], list[tuple[Delay, Cause]]] = {}
        worst = sorted(rule(spans, limits), key=lambda delay: -delay.length)
        for delay in worst[:MOST_DELAYS]:
            cause = causes.of(delay.stretches)
            key = (cause.fiber if cause.alone else 0, cause.blames)
            groups.setdefault(key, []).append((delay, cause))
        yield from (_finding(spans, kind, members) for members in groups.values())


def _finding(spans: Spans, kind: str, members: list[tuple[Delay, Cause]]) -> Finding:
    """Make one finding of the delays of one kind and one cause; it describes the worst."""
    delay, cause = max(members, key=lambda member: member[0].length)
    fibers = {member.fiber: None for member, _ in members}
    life = spans.life(delay.fiber)
    numbers: dict[str, float] = {"longest": delay.length, "fibers": len(fibers)}
    numbers |= {"delays": len(members), "held": cause.held, "culprit": cause.fiber}
    return Finding(
        kind=kind,
        text=_sentence(spans, kind, delay, cause, list(fibers)),
        fiber=life.id,
        name=life.name,
        src=cause.src if cause.alone else None,
        cost=sum(member.length for member, _ in members),
        spans=tuple(spans[member.span] for member, _ in members[:100]),
        numbers=numbers,
        certainty=cause.certainty(),
        severity="note" if cause.long else "warning",
        blames=cause.blames,
    )


def _sentence(spans: Spans, kind: str, delay: Delay, cause: Cause, fibers: list[int]) -> str:
    text = f"{delay.text} {cause}"
    others = [spans.life(fiber).name for fiber in fibers if fiber != delay.fiber]
    if others:
        did = {"starved": "was starved", "late timer": "woke late"}.get(kind, "had data waiting")
        did = did.replace("was", "were") if len(others) > 1 else did
        text += f" {listed(others)} {did} too."
    return f"{text} {_remedy(spans, cause)}" if cause.blames and cause.alone else text


def _remedy(spans: Spans, cause: Cause) -> str:
    name, words = shown(cause.name), words_of(spans, spans.life(cause.fiber))
    if cause.long:
        return f"Fix the long step of {name}."
    if words.wait == "WAIT":
        return f"Let {name} do less, or {words.sleep.format('seconds')} between its steps."
    return f"Let {name} do less in each step."


def _starved(spans: Spans, limits: Limits) -> Iterator[Delay]:
    """Yield the fibers that were ready too long, at once or in all."""
    for life in spans.lives:
        ready = [i for i in spans.indexes(life.id) if spans.state[i] == READY]
        times = spans.totals(life.id)
        whole, total = sum(times.values()), sum(spans.end[i] - spans.start[i] for i in ready)
        if not total:
            continue
        worst = max(ready, key=lambda i: spans.end[i] - spans.start[i])
        length = spans.end[worst] - spans.start[worst]
        often = total > limits.ready_share * whole and total >= limits.ready_least * 1e9
        if length >= limits.ready * 1e9 or often:
            text = (
                f"{shown(life.name)} was ready for {readable(total)} in total "
                f"({total / whole:.0%} of its life)".replace("%", " %")
                + "."
            )
            yield Delay(
                life.id, total, text, [(spans.start[i], spans.end[i]) for i in ready], worst
            )


def _late(spans: Spans, limits: Limits) -> Iterator[Delay]:
    """Yield the sleeps that ended too late."""
    for i in range(len(spans)):
        if spans.state[i] != SLEEP or spans.last[i] < 0:
            continue
        row, asked = spans.rows[spans.last[i]], spans.rows[spans.first[i]][5]
        if row[WAKE.WHY] != "timer" or asked is None:
            continue
        late = row[WAKE.LATE]
        if late is None:
            late = max(0, row[T] - spans.start[i] - asked)
        if late >= max(limits.late * 1e9, limits.late_share * asked):
            life = spans.lives[spans.row[i]]
            wait = f"{words_of(spans).wait}({asked / 1e9:g})"
            text = f"{wait} in {shown(life.name)} woke {readable(late)} late."
            yield Delay(life.id, late, text, [(row[T] - late, row[T])], i)


def _hidden(spans: Spans, limits: Limits) -> Iterator[Delay]:
    """Yield the waits whose data had lain in the kernel; only what was measured."""
    for i, hidden in spans.hidden:
        if hidden >= limits.hidden * 1e9:
            life, end = spans.lives[spans.row[i]], spans.end[i]
            text = (
                f"The data for {shown(life.name)} lay in the kernel for at least "
                f"{readable(hidden)} before the loop polled."
            )
            yield Delay(life.id, hidden, text, [(end - hidden, end)], i)


# -- Slow passes --------------------------------------------------------------


def slow_passes(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Find the passes of the loop that took long, though no single step did."""
    slow = []
    for steps in _passes(spans):
        lengths = [spans.end[i] - spans.start[i] for i in steps]
        if sum(lengths) >= limits.turn * 1e9 and max(lengths) < limits.step * 1e9:
            slow.append((sum(lengths), steps))
    if not slow:
        return
    length, steps = max(slow)
    cause = Causes(spans, limits).of((spans.start[i], spans.end[i]) for i in steps)
    blames = cause.blames or cause.proven >= limits.turn * 1e9
    begun, noun = spans.start[steps[0]], words_of(spans).fiber
    text = (
        f"One pass of the loop took {readable(length)} in {len(steps):,} short steps, from "
        f"{readable(begun)} on; no single {noun} is to blame."
    )
    if others := len(slow) - 1:
        text += f" {others:,} more {'pass was' if others == 1 else 'passes were'} slow too."
    if blames:
        seen = Counter(spans.seen_at(i) for i in steps if spans.looks(i))
        if cause.alone and seen:
            line = max(seen, key=seen.__getitem__)
            text += f" Most of it was {shown(cause.name)}, seen at {line}."
        text += f" Do less in each step, or have fewer {noun}s at work at once."
    elif cause.known:
        text += f" {cause}"
    yield Finding(
        kind="slow turn",
        text=text,
        cost=sum(took for took, _ in slow),
        spans=tuple(spans[i] for i in steps[:100]),
        numbers={"took": length, "steps": len(steps), "turns": len(slow)},
        certainty="certain" if blames else "unclear",
        blames=blames,
    )


def _passes(spans: Spans) -> Iterator[list[int]]:
    """Yield the steps of each pass: one of each fiber that was ready when the pass began.

    Another scheduler than ours polls once in each pass, and may call a callback more than once.
    """
    ours = is_ours(spans)
    running = (i for i, code in enumerate(spans.state) if code == RUNNING)  # one for each resume
    steps: list[int] = []
    left: int | None = 0
    for row in spans.rows:
        if row[EV] == "resume":
            step = next(running)
            again = any(spans.row[i] == spans.row[step] for i in steps[:1])
            if left == 0 or (ours and again):
                if steps:
                    yield steps
                steps, left = [], None if row[RESUME.Q] is None or not ours else row[RESUME.Q] + 1
            steps.append(step)
            left = None if left is None else left - 1
        elif row[EV] == "poll":
            left = 0
    if steps:
        yield steps

"""Diagnosis: what went wrong in a run, in sentences.

The rule kept here: each sentence tells fact, line, victims, cost, remedy and how sure it is, and
carries the numbers it was made of. One rule is one function in RULES; a new one is added there.
A machine that was busy is never blamed on the program (see ``evidence``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from itertools import chain

from .columns import Span, Spans, readable
from .evidence import (
    Limits,
    Verdict,
    Victim,
    called,
    judge,
    last_part,
    simulated,
    stalls_of,
    victims_of,
)
from .spans import Story, build_spans
from .trace import printable

__all__ = ["Diagnoses", "Diagnosis", "Victim", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """One finding; its `str` is the sentence.

    kind: the name of the rule. fiber, name, src: whom and which line it is about, where there
    is one. cost: nanoseconds it took from others. spans: where it can be seen. numbers: what
    the sentence says, in nanoseconds and counts. certainty: certain, likely or unclear.
    blames: whether it says that the program, and not the machine, did wrong.
    """

    kind: str
    text: str
    fiber: int = 0
    name: str = ""
    src: str | None = None
    cost: int = 0
    victims: tuple[Victim, ...] = ()
    spans: tuple[Span, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict, hash=False)
    certainty: str = "certain"
    severity: str = "warning"
    blames: bool = True

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.kind)}</b> ({self.certainty}): {escape(self.text)}</p>"


class Diagnoses(tuple[Diagnosis, ...]):
    """What `diagnose` found, worst first; its `str` is one line for each."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self) or "<p>Nothing was found.</p>"


def diagnose(
    trace: Story,
    *,
    most: int | None = 5,
    step: float = 0.05,
    cpu_low: float = 0.2,
    cpu_high: float = 0.8,
) -> Diagnoses:
    """Say what went wrong in a run, worst first.

    most: how many findings; None: all. step: seconds from which a step is long; ten times that
    is an error. cpu_low, cpu_high: the share of a long step's time that the processor worked
    for it, below which it was waiting and from which it was computing.
    """
    spans = build_spans(trace)
    limits = Limits(step=step, cpu_low=cpu_low, cpu_high=cpu_high)
    found = chain.from_iterable(rule(spans, limits) for rule in RULES)
    return Diagnoses(sorted(found, key=_badness)[:most])


def _badness(finding: Diagnosis) -> tuple[bool, bool, int]:
    return (not finding.blames, finding.severity != "error", -finding.cost)


# -- Long steps ---------------------------------------------------------------


def long_steps(spans: Spans, limits: Limits) -> Iterator[Diagnosis]:
    """Find the steps that held the loop; one finding for each line, with its worst step."""
    groups: dict[tuple[Verdict, str | None], list[int]] = {}
    for step in spans.steps(limits.step):
        verdict = judge(spans, step, limits)
        groups.setdefault((verdict, _line_of(spans, step)), []).append(step)
    for (verdict, src), steps in groups.items():
        worst = max(steps, key=lambda step: spans.end[step] - spans.start[step])
        yield _long_step(spans, worst, verdict, src, steps, limits)


def _long_step(
    spans: Spans, step: int, verdict: Verdict, src: str | None, steps: list[int], limits: Limits
) -> Diagnosis:
    span, life = spans[step], spans.lives[spans.row[step]]
    victims = tuple(victims_of(spans, step))
    total = sum(spans.end[i] - spans.start[i] for i in steps)
    longest = victims[0].waited if victims else 0
    cpu = {} if span.cpu is None else {"cpu": span.cpu}
    known = simulated(spans)
    unclear = verdict in (Verdict.UNCLEAR, Verdict.PREEMPTED) and not known
    text = _FACTS[verdict](spans, step, src)
    # Whoever did it, the others waited; but when nobody is to blame there is nothing to mend.
    text += " " + _victims_in_words(victims)
    if len(steps) > 1:
        text += f" {_more(len(steps) - 1, 'step')} held there, {readable(total)} in all."
    text += " " + _remedy(spans, step, verdict)
    return Diagnosis(
        kind=verdict.value,
        text=text.strip(),
        fiber=life.id,
        name=life.name,
        src=src,
        cost=total,
        victims=victims,
        spans=tuple(spans[i] for i in steps[:100]),
        numbers={"ran": span.length, "longest_wait": longest, "steps": len(steps), **cpu},
        certainty="unclear"
        if unclear
        else "likely"
        if span.cpu is None and not known
        else "certain",
        severity="error" if span.length >= 10e9 * limits.step else "warning",
        blames=not unclear,
    )


def _line_of(spans: Spans, step: int) -> str | None:
    """Return the line that was seen to hold the loop, else between which lines that was."""
    looks = stalls_of(spans, step)
    for look in looks:
        if called(look.func) is not None:
            return look.src
    return looks[-1].src if looks else None


def _ran(spans: Spans, step: int) -> str:
    span, life = spans[step], spans.lives[spans.row[step]]
    still = " and had not yielded when the trace ended" if span.unfinished else " without yielding"
    return f"{shown(life.name)} ran {readable(span.length)}{still}"


def _between(spans: Spans, step: int) -> str:
    """Say where a step was that nobody looked into: between its first and its last line."""
    first, last = spans.resumed_at(step), spans[step].src
    if first is None or last is None or first == last:
        return f" after {first}" if first is not None else ""
    return f" between {first} and {last}"


def _blocked(spans: Spans, step: int, src: str | None) -> str:
    looks = [look for look in stalls_of(spans, step) if called(look.func) is not None]
    cpu = spans[step].cpu
    used = "" if cpu is None else f" (CPU {readable(cpu)})"
    return f"{_ran(spans, step)}; at {src} it was inside {shown(looks[0].func, 60)}{used}."


def _computed(spans: Spans, step: int, src: str | None) -> str:
    span = spans[step]
    at = f" at {src}" if src else _between(spans, step)
    return f"{_ran(spans, step)}, computing{at} (CPU {readable(span.cpu or 0)})."


def _preempted(spans: Spans, step: int, src: str | None) -> str:
    span, looks = spans[step], len(stalls_of(spans, step))
    name = shown(spans.lives[spans.row[step]].name)
    return (
        f"{name}'s step took {readable(span.length)} but used {readable(span.cpu or 0)} of CPU, "
        f"and no blocking call was seen ({looks} {'look' if looks == 1 else 'looks'}); "
        "the machine was probably busy. Not your code."
    )


def _unclear(spans: Spans, step: int, src: str | None) -> str:
    span, at = spans[step], f" at {src}" if src else _between(spans, step)
    if simulated(spans):
        return f"{_ran(spans, step)}{at}."
    cpu = "CPU not measured" if span.cpu is None else f"CPU {readable(span.cpu)}"
    return f"{_ran(spans, step)}{at} ({cpu}); what it did there was not seen."


_FACTS: dict[Verdict, Callable[[Spans, int, str | None], str]] = {
    Verdict.BLOCKED: _blocked,
    Verdict.COMPUTED: _computed,
    Verdict.PREEMPTED: _preempted,
    Verdict.UNCLEAR: _unclear,
}


def _victims_in_words(victims: tuple[Victim, ...]) -> str:
    if not victims:
        return "Nobody else was ready or due meanwhile."
    names = [shown(victim.name, 30) for victim in victims[:3]]
    if len(victims) > 3:
        names.append(f"{len(victims) - 3} more")
    who = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    up_to = "" if victims[0].exact else "up to "
    waited = f"{up_to}{readable(victims[0].waited)}"
    if len(victims) == 1:
        return f"1 fiber was ready or due meanwhile ({who}); it waited {waited}."
    return (
        f"{len(victims)} fibers were ready or due meanwhile ({who}); the longest waited {waited}."
    )


_REMEDIES = (
    ({"recv", "recv_into", "recvfrom", "accept"}, "Use `yield RECV(sock)` before it."),
    ({"send", "sendto", "sendall"}, "Use `yield from send_all(sock, data)`."),
    ({"connect", "create_connection"}, "Use `yield from connect(address)`."),
)


def _remedy(spans: Spans, step: int, verdict: Verdict) -> str:
    if verdict is Verdict.PREEMPTED:
        return ""
    if verdict is Verdict.COMPUTED:
        return "Add `yield WAIT(0)` inside the loop."
    if verdict is Verdict.UNCLEAR:
        if simulated(spans):
            return (
                "Use `yield WAIT(seconds)` to wait, or `yield WAIT(0)` between parts of the work."
            )
        return "Record with Trace(cpu=True), which tells blocking from computing."
    func = next(look.func or "" for look in stalls_of(spans, step) if called(look.func))
    name = last_part(called(func) or "")
    if name == "sleep":
        number = re.search(r"sleep\(\s*([\d.]+)\s*\)", func)
        return f"Use `yield WAIT({number[1] if number else 'seconds'})`."
    for names, remedy in _REMEDIES:
        if name in names:
            return remedy
    return f"Use `yield from in_thread({shown(called(func), 40)}, ...)`."


# -- Words --------------------------------------------------------------------


def shown(text: object, most: int = 40) -> str:
    """Return a name for a sentence: on one line, harmless on a terminal, not too long."""
    line = printable(str(text)[: most + 1]).replace("\t", " ")
    return line if len(line) <= most else line[: most - 3] + "..."


def _more(count: int, noun: str) -> str:
    return f"1 more {noun}" if count == 1 else f"{count:,} more {noun}s"


RULES: tuple[Callable[[Spans, Limits], Iterable[Diagnosis]], ...] = (long_steps,)
"""The rules, each a function that yields what it finds."""

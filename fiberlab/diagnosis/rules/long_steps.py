"""Long steps: the rule that finds which steps held the loop, where, and what others paid for it.

The rule kept here: a machine that was busy is never blamed on the program (see ``evidence``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from ...spans.spans import Spans, readable
from ...spans.stalls import HeldAt, called, last_part
from ..evidence import Verdict, Victim, blames, endless, judge, only_step, simulated, victims_of
from ..finding import Finding, listed, more, shown
from ..limits import Limits
from ..words import Words, words_of


def long_steps(spans: Spans, limits: Limits) -> Iterator[Finding]:
    """Find the steps that held the loop; one finding for each line, with its worst step."""
    groups: dict[tuple[Verdict, str | None], list[int]] = {}
    for step in spans.steps(limits.step):
        verdict = judge(spans, step, limits)
        groups.setdefault((verdict, spans.seen_at(step)), []).append(step)
    for (verdict, src), steps in groups.items():
        worst = max(steps, key=lambda step: spans.end[step] - spans.start[step])
        yield _long_step(spans, worst, verdict, src, steps, limits)


def _long_step(
    spans: Spans, step: int, verdict: Verdict, src: str | None, steps: list[int], limits: Limits
) -> Finding:
    span, life = spans[step], spans.lives[spans.row[step]]
    victims = tuple(victims_of(spans, step))
    total = sum(spans.end[i] - spans.start[i] for i in steps)
    longest = victims[0].waited if victims else 0
    cpu = {} if span.cpu is None else {"cpu": span.cpu}
    known = simulated(spans)
    never = verdict is not Verdict.PREEMPTED and endless(spans, step, limits)
    blamed = blames(spans, step, verdict, limits)
    text = _FACTS[verdict](spans, step, src)
    text += " " + _victims_in_words(victims, words_of(spans).fiber)
    if len(steps) > 1:
        text += f" {more(len(steps) - 1, 'step')} held there, {readable(total)} in all."
    text += " " + _remedy(spans, step, verdict, words_of(spans, life))
    return Finding(
        kind="never yielded" if never else verdict.value,
        text=text.strip(),
        fiber=life.id,
        name=life.name,
        src=src,
        cost=total,
        victims=victims,
        spans=tuple(spans[i] for i in steps[:100]),
        numbers={"ran": span.length, "longest_wait": longest, "steps": len(steps), **cpu},
        certainty=_certainty(not blamed, span.cpu is None and not known),
        severity="error" if span.length >= 10e9 * limits.step else "warning",
        blames=blamed,
    )


def _certainty(unclear: bool, unmeasured: bool) -> str:
    return "unclear" if unclear else "likely" if unmeasured else "certain"


def _ran(spans: Spans, step: int) -> str:
    span, life = spans[step], spans.lives[spans.row[step]]
    still = " without yielding"
    if span.unfinished:
        still = (
            " so far, without yielding"
            if spans.goes_on
            else " and had not yielded when the trace ended"
        )
    if only_step(spans, step):
        still = " and has not yielded once"
    return f"{shown(life.name)} ran {readable(span.length)}{still}"


def _between(held: HeldAt) -> str:
    """Say where a step was: at a line, or between two if it was never seen."""
    if held.seen:
        return f" at {held.text}"
    if held.first is None:
        return ""
    return f" after {held.first}" if held.line else f" between {held.first} and {held.last}"


def _blocked(spans: Spans, step: int, src: str | None) -> str:
    cpu = spans[step].cpu
    used = "" if cpu is None else f" (CPU {readable(cpu)})"
    at = "" if src is None else f"at {src} "
    return f"{_ran(spans, step)}; {at}it was inside {shown(_inside(spans, step), 60)}{used}."


def _inside(spans: Spans, step: int) -> str:
    """Return what a blocked step was inside of: a call if one was seen, else what stands there."""
    seen = [look.func or "" for look in spans.looks(step)]
    return next((func for func in seen if called(func) is not None), seen[0])


def _computed(spans: Spans, step: int, src: str | None) -> str:
    span = spans[step]
    at = _between(spans.held_at(step))
    return f"{_ran(spans, step)}, computing{at} (CPU {readable(span.cpu or 0)})."


def _preempted(spans: Spans, step: int, src: str | None) -> str:
    span, looks = spans[step], len(spans.looks(step))
    name = shown(spans.lives[spans.row[step]].name)
    return (
        f"{name}'s step took {readable(span.length)} but used {readable(span.cpu or 0)} of CPU, "
        f"and no blocking call was seen ({looks} {'look' if looks == 1 else 'looks'}); "
        "the machine was probably busy. Not your code."
    )


def _unclear(spans: Spans, step: int, src: str | None) -> str:
    span, at = spans[step], _between(spans.held_at(step))
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


def _victims_in_words(victims: tuple[Victim, ...], fiber: str) -> str:
    if not victims:
        return f"Meanwhile no other {fiber} could have run."
    names = listed([victim.name for victim in victims])
    up_to = "" if victims[0].exact else "up to "
    waited = f"{up_to}{readable(victims[0].waited)}"
    if len(victims) == 1:
        return f"Meanwhile 1 other {fiber} could have run ({names}); it waited {waited}."
    return (
        f"Meanwhile {len(victims)} other {fiber}s could have run ({names}); "
        f"the longest waited {waited}."
    )


_REMEDIES = (
    ({"recv", "recv_into", "recvfrom", "accept"}, "receive"),
    ({"send", "sendto", "sendall"}, "send"),
    ({"connect", "create_connection"}, "connect"),
)


def _remedy(spans: Spans, step: int, verdict: Verdict, words: Words) -> str:
    if verdict is Verdict.PREEMPTED:
        return ""
    if verdict is Verdict.COMPUTED:
        return (
            f"Add {words.pause} inside the loop." if words.pause else _use(words.thread, "function")
        )
    if verdict is Verdict.UNCLEAR:
        return _remedy_if_unclear(spans, step, words)
    func = _inside(spans, step)
    name = last_part(called(func) or "")
    if name == "sleep":
        number = re.search(r"sleep\(\s*(\d[\d.]*|\.\d+)\s*\)", func)
        return _use(words.sleep, number[1] if number else "seconds")
    for names, remedy in _REMEDIES:
        if name in names and (use := _use(getattr(words, remedy))):
            return use
    return _use(words.thread, shown(called(func) or "function", 40))


def _remedy_if_unclear(spans: Spans, step: int, words: Words) -> str:
    if not simulated(spans):
        if spans[step].cpu is not None or not words.measured:
            return ""
        return "Record with Trace(cpu=True): that shows whether a step blocks or computes."
    if not words.sleep or not words.pause:
        return ""
    wait = words.sleep.format("seconds")
    return f"Use {wait} to wait, or {words.pause} between parts of the work."


def _use(phrase: str, *values: object) -> str:
    return f"Use {phrase.format(*values)}." if phrase else ""

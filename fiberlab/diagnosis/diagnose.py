"""Diagnosis: what went wrong in a run, in sentences.

The rule kept here: each sentence gives fact, line, victims, cost and remedy, says how sure it is,
and carries its numbers. One rule is one function in RULES; a new one is added there.
A machine that was busy is never blamed on the program (see ``evidence``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine, Iterable
from itertools import chain

from ..spans.build import Story, build_spans
from ..spans.spans import Spans
from ..trace.trace import Trace
from .evidence import Verdict
from .finding import Diagnosis, Finding
from .limits import Limits
from .rules.conduct import busy_waiting, crashes, dropped_events, never_woken, shared_sockets
from .rules.delays import delays, slow_passes
from .rules.long_steps import long_steps

RULES: tuple[Callable[[Spans, Limits], Iterable[Finding]], ...] = (
    long_steps,
    delays,
    slow_passes,
    busy_waiting,
    never_woken,
    crashes,
    shared_sockets,
    dropped_events,
)
"""The rules, each a function that yields what it finds."""

_OF_THREADS = (crashes, dropped_events)
"""The rules for threads: none of them holds up the others by running long."""


def diagnose(
    trace: Story,
    *,
    most: int | None = 5,
    limits: Limits = Limits(),  # noqa: B008 - it cannot be changed
) -> Diagnosis:
    """Say what went wrong in a run, worst first.

    most: how many findings; None: all, also those that only follow from a long step that is
    reported itself (their severity is note). limits: the thresholds.
    """
    spans = build_spans(trace)
    rules = RULES if spans.in_turns else _OF_THREADS
    found = sorted(chain.from_iterable(rule(spans, limits) for rule in rules), key=_badness)
    if most is not None:
        found = [finding for finding in found if finding.severity != "note"][:most]
    return Diagnosis(found)


def _badness(finding: Finding) -> tuple[bool, int, int]:
    severity = ("error", "warning", "note").index(finding.severity)
    return (not finding.blames, severity, -finding.cost)


def assert_no_stall(trace: Story | Callable[[Trace], object], milliseconds: float = 50) -> None:
    """Fail, with the sentence as its message, if a step held the loop too long; for tests.

    trace: a run, best recorded with ``Trace(cpu=True)``; or a function that is given a Trace to
    record one with: ``assert_no_stall(lambda trace: Scheduler(trace=trace).run(), 20)``.
    As a fixture that watches every test that uses it::

        @pytest.fixture
        def trace():
            trace = Trace(cpu=True, stall_after=0.01)
            yield trace
            assert_no_stall(trace, 20)

    For asyncio the fixture has ``with watching(trace):`` of `fiberlab.elsewhere` around its yield.

    A busy machine makes no test fail, if the trace has processor times. Without them a long step
    fails the test even if what it did was not seen: it may have been the machine or the step.
    Raises AssertionError; TypeError or ValueError for a test that would test nothing.
    """
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, (int, float)):
        raise TypeError(f"assert_no_stall(milliseconds) needs a number, got {milliseconds!r}")
    if not 0 < milliseconds < math.inf:
        raise ValueError(f"assert_no_stall(milliseconds) needs more than 0, got {milliseconds!r}")
    if not isinstance(trace, Trace) and callable(trace):
        function, trace = trace, Trace(cpu=True, stall_after=milliseconds / 2000)
        _refuse_what_has_not_run(function(trace))
    _refuse_what_has_not_run(trace)
    spans = build_spans(trace)
    steps = long_steps(spans, Limits(step=milliseconds / 1000)) if spans.in_turns else ()
    found = sorted(steps, key=_badness)
    unmeasured = Verdict.UNCLEAR.value
    held = [f for f in found if f.blames or (f.kind == unmeasured and "cpu" not in f.numbers)]
    if held:
        raise AssertionError("\n".join(map(str, held)))


def _refuse_what_has_not_run(run: object) -> None:
    """Refuse what would pass since nothing has run, or nothing of it was recorded."""
    if isinstance(run, Coroutine):
        run.close()
        raise TypeError(f"{run!r} has not run: use assert_no_stall(lambda trace: run(it, trace))")
    if isinstance(run, Trace) and not len(run):
        raise ValueError("nothing was recorded in this trace; give it to what runs")

"""Diagnosis: what went wrong in a run, in sentences.

The rule kept here: each sentence tells fact, line, victims, cost, remedy and how sure it is, and
carries the numbers it was made of. One rule is one function in RULES; a new one is added there.
A machine that was busy is never blamed on the program (see ``evidence``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from ..spans.build import Story, build_spans
from ..spans.spans import Spans
from ..trace.trace import Trace
from .evidence import Limits, Verdict, Victim
from .finding import Diagnoses, Diagnosis
from .rules.conduct import busy_waiting, crashes, dropped_events, never_woken, shared_sockets
from .rules.delays import delays, slow_turns
from .rules.long_steps import long_steps

__all__ = ["Diagnoses", "Diagnosis", "Victim", "assert_no_stall", "diagnose"]

RULES: tuple[Callable[[Spans, Limits], Iterable[Diagnosis]], ...] = (
    long_steps,
    delays,
    slow_turns,
    busy_waiting,
    never_woken,
    crashes,
    shared_sockets,
    dropped_events,
)
"""The rules, each a function that yields what it finds."""


def diagnose(
    trace: Story,
    *,
    most: int | None = 5,
    step: float = 0.05,
    cpu_low: float = 0.2,
    cpu_high: float = 0.8,
    first_step: float = 1.0,
    ready: float = 0.05,
    ready_share: float = 0.5,
    ready_least: float = 0.05,
    hidden: float = 0.05,
    late: float = 0.01,
    late_share: float = 0.5,
    turn: float = 0.1,
    self_wakes: float = 100.0,
    self_wake_share: float = 0.5,
    self_wake_step: float = 0.001,
) -> Diagnoses:
    """Say what went wrong in a run, worst first.

    most: how many findings; None: all, and those too that only follow from a long step told
    already (their severity is note). step: seconds from which a step is long; ten times that
    is an error. cpu_low, cpu_high: the share of a long step's time that the processor worked
    for it, below which it was waiting and from which it was computing. first_step: seconds
    after which a fiber that has not yielded once is called so.

    ready: seconds ready at once, or ready_share: share of its life (and ready_least seconds),
    from which a fiber is starved. hidden: seconds data lay in the kernel. late: seconds, and
    late_share of what it asked for, that a WAIT ends too late. turn: seconds that the short
    steps of one pass take together. self_wakes: WAIT(0) in all and a second, self_wake_share:
    of all its wakes, above which a fiber waits busily, if its steps take less than
    self_wake_step seconds on average.
    """
    limits = Limits(
        step, cpu_low, cpu_high, first_step, ready, ready_share, ready_least, hidden, late,
        late_share, turn, self_wakes, self_wake_share, self_wake_step,
    )  # fmt: skip
    spans = build_spans(trace)
    found = sorted(chain.from_iterable(rule(spans, limits) for rule in RULES), key=_badness)
    if most is not None:
        found = [finding for finding in found if finding.severity != "note"][:most]
    return Diagnoses(found)


def _badness(finding: Diagnosis) -> tuple[bool, int, int]:
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

    A machine that was busy makes no test fail. A trace without processor times does, if a step
    was long and what it did was not seen: it cannot tell one from the other.
    Raises AssertionError.
    """
    if not isinstance(trace, Trace) and callable(trace):
        function, trace = trace, Trace(cpu=True, stall_after=milliseconds / 2000)
        function(trace)
    spans = build_spans(trace)
    found = sorted(long_steps(spans, Limits(step=milliseconds / 1000)), key=_badness)
    unmeasured = Verdict.UNCLEAR.value
    held = [f for f in found if f.blames or (f.kind == unmeasured and "cpu" not in f.numbers)]
    if held:
        raise AssertionError("\n".join(map(str, held)))

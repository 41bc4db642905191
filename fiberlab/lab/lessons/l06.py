"""Lesson 06, WAIT: its question, its pictures, and a visit to the museum.

Its exercises stand in l06_exercises: what they judge is a subject of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...fiber import FiberGenerator
from ...figures.palette import LOOKS
from ...scheduler import Scheduler
from ...simulation.network import SimulatedClock, SimulatedNetwork
from ...spans.build import build_spans
from ...spans.spans import Spans
from ...states import RUNNING, SLEEP
from ...trace.trace import Trace
from ...waits import WAIT
from ..exercises import Question
from .l06_exercises import EXERCISES
from .museum_visits import Visit, visit_museum, visit_ours
from .rows import FONT, draw_bars, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "Visit",
    "beats",
    "draw_drift",
    "draw_visits",
    "draw_waits",
    "returns",
    "visit_museum",
    "visit_ours",
]

# -- Four waits ---------------------------------------------------------------


def returns(trace: Trace, fiber: str = "asker") -> list[float]:
    """Return when a fiber was resumed after each of its waits, in ms since the run began."""
    spans = build_spans(trace)
    return [start / 1e6 for start in _steps(spans, fiber)[1:]]


def _steps(spans: Spans, fiber: str) -> list[int]:
    """Return when each step of a fiber began, also of those that took no time at all."""
    [life] = [life for life in spans.lives if life.name == fiber]
    return [spans.start[i] for i in spans.indexes(life.id) if spans.state[i] == RUNNING]


def draw_waits(ax: Axes, traces: Mapping[str, Trace]) -> None:
    """Draw what an asker waited in each run, and the steps of the walker beside it.

    traces: simulated ones, by what the asker yielded; it steps when the walker does or later.
    """
    bottom = len(traces)
    for row, trace in enumerate(traces.values()):
        spans = build_spans(trace)
        [life] = [life for life in spans.lives if life.name == "asker"]
        for code in (SLEEP, SLEEP + 1):
            mine = [each for each in spans.of(life.id) if each.state.value == _WORDS[code]]
            look = LOOKS[code]._replace(height=0.34)
            draw_bars(ax, row, [(each.start, each.end) for each in mine], look)
        _back(ax, row, returns(trace))
    steps = [start / 1e6 for start in _steps(build_spans(next(iter(traces.values()))), "walker")]
    ax.plot(steps, [bottom] * len(steps), "s", color=LOOKS[RUNNING].colour, markersize=11)
    for row, trace in enumerate(traces.values()):
        if "None" in list(traces)[row]:
            for moment in returns(trace):
                ax.annotate(
                    "", (moment, row + 0.2), (moment, bottom - 0.2),
                    arrowprops={"arrowstyle": "-|>", "linestyle": ":", "lw": 1.4},
                )  # fmt: skip
    ax.set_yticks(range(bottom + 1), [*traces, "the walker's steps"], fontsize=FONT)
    ax.set_ylim(bottom + 0.5, -0.6)
    ax.set_xlim(-15, 345)
    ax.set_xlabel("time (ms)", fontsize=FONT)
    ax.tick_params(labelsize=FONT, left=False)
    ax.spines[["top", "left", "right"]].set_visible(False)


_WORDS = {SLEEP: "sleep", SLEEP + 1: "parked"}


def _back(ax: Axes, row: int, moments: list[float]) -> None:
    ax.plot(moments, [row] * len(moments), "o", color=LOOKS[RUNNING].colour, markersize=10)
    ax.text(moments[-1] + 7, row, f"back after {moments[-1]:.0f} ms", size=FONT, va="center")


# -- The question -------------------------------------------------------------


def when_zero_returns(trace: Trace) -> str:
    """Return the choice that a recording bears out: when a WAIT(0) of the asker returned."""
    events = [event for event in trace if event.ev in ("yield", "wake", "resume")]
    fid = next(event.fid for event in trace if event.ev == "spawn" and event.name == "asker")
    asked = next(n for n, e in enumerate(events) if e.ev == "yield" and e.fid == fid)
    later = [event for event in events[asked + 1 :] if event.fid == fid]
    resumed = next((event for event in later if event.ev == "resume"), None)
    if resumed is None:
        return "d"
    if later[0].ev != "wake":
        return "a"
    return "b" if later[0].why == "yield" else "c"


QUESTIONS = (
    Question(
        id="l06-q1",
        text="A fiber yields WAIT(0). Does it return, and when?",
        choices={
            "a": "at once: zero seconds are no wait, so it just goes on",
            "b": "in the next pass: it goes to the end of the run queue, and takes its turn there",
            "c": "when another fiber has run: here the walker, after 100 ms",
            "d": "never: it has no deadline that could come",
        },
        wrong={
            "a": "Then a fiber that yields WAIT(0) in a loop would never let anybody run. Look at\n"
            "the order above: ann and ben take turns.",
            "c": "That is WAIT(None). In the picture only those rows have an arrow from the\n"
            "walker. An old scheduler mixed the two up: see the museum in section 4.",
            "d": "It needs none: it never stops being ready. Look at the first row of the\n"
            "picture: back after 0 ms.",
        },
        outcome=when_zero_returns,
    ),
)

# -- Drift --------------------------------------------------------------------

PERIOD = 0.1
BEATS = 7


def _drifting(clock: SimulatedClock, work: float) -> FiberGenerator:
    for _ in range(BEATS):
        clock.burn(work)
        yield WAIT(PERIOD)


def _steady(clock: SimulatedClock, work: float) -> FiberGenerator:
    due = clock.now()
    for _ in range(BEATS):
        clock.burn(work)
        due += PERIOD
        yield WAIT(max(0.0, due - clock.now()))


def _heart(function: Any, work: float) -> Spans:
    network, trace = SimulatedNetwork(), Trace(stall_after=None)
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    scheduler.add(function(network.clock, work), "heart")
    scheduler.run()
    return build_spans(trace)


_HEARTS = {"after the work": _drifting, "until the deadline": _steady}


def beats(work: float) -> dict[str, list[int]]:
    """Return when two hearts beat, in whole ms: by how they sleep. work: seconds for each beat."""
    return {
        words: [round(start / 1e6) for start in _steps(_heart(function, work), "heart")[:BEATS]]
        for words, function in _HEARTS.items()
    }


def draw_drift(axes: Sequence[Axes], work: float) -> None:
    """Draw, on two Axes, two hearts that are to beat every 100 ms; a beat takes `work` seconds."""
    for ax, (words, function) in zip(axes, _HEARTS.items(), strict=True):
        spans = _heart(function, work)
        draw_rows(ax, spans, {"heart": "heart"})
        last = _steps(spans, "heart")[BEATS - 1] / 1e6
        late = round(last - (BEATS - 1) * PERIOD * 1000)
        ax.vlines([n * PERIOD * 1000 for n in range(BEATS)], -0.7, 0.7, color="black", ls=":")
        ax.set_title(f"sleep {words}: the last beat is {late} ms late", loc="left", fontsize=FONT)
        ax.set_ylim(0.8, -0.8)
        ax.set_yticks([])
    axes[1].set_xlabel("time (ms); dotted: when it should beat", fontsize=FONT)
    axes[1].set_xlim(-20, 1150)


# -- The museum ---------------------------------------------------------------


def draw_visits(ax: Axes, visits: Mapping[str, Visit]) -> None:
    """Draw how long ann waited for her answer in each visit, and when ben came."""
    came = [visit.ben * 1000 for visit in visits.values() if visit.ben is not None]
    for row, visit in enumerate(visits.values()):
        wait = LOOKS[2]._replace(height=0.4)
        draw_bars(ax, row, [(0, visit.answered * 1e9)], wait)
        ax.plot(visit.answered * 1000, row, "o", color=LOOKS[RUNNING].colour, markersize=10)
        ax.text(visit.answered * 1000 + 8, row, "answer", size=FONT, va="center")
        if visit.ben is not None:
            ax.plot([visit.ben * 1000] * 2, [row - 0.45, row + 0.45], color="#A50026", lw=2.5)
    if came:
        first = next(row for row, visit in enumerate(visits.values()) if visit.ben is not None)
        place = (came[0], first - 0.5)
        ax.text(*place, "ben connects", size=FONT, color="#A50026", ha="center", va="bottom")
    ax.set_yticks(range(len(visits)), list(visits), fontsize=FONT)
    ax.set_ylim(len(visits) - 0.4, -1.0)
    ax.set_xlim(-5, max(came, default=300) + 90)
    ax.set_xlabel("ms since ann asked", fontsize=FONT)
    ax.tick_params(labelsize=FONT, left=False)
    ax.spines[["top", "left", "right"]].set_visible(False)

"""The workloads: which sizes of which kind, and who takes part.

The rule kept here: a workload is data, so that the table, the JSON and the figure are made of
it, and a new one is one entry.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass

from . import kinds
from .fibers import ALL_SWITCHERS, SLEEPERS, SWITCHERS
from .kinds import Bench, Sample
from .machine import PEERS
from .servers import ALL_SERVERS, SERVERS, WATCHED

Measure = Callable[[Bench, str, int], Sample]

OURS = ("plain", "hoisted", "timeout", "traced")
"""The servers that are fiberlab."""

MICROSECONDS, BYTES, SECONDS = "µs", "bytes", "s"


@dataclass(frozen=True)
class Case:
    """One size of a workload: what is told of it, and how it is measured."""

    label: str
    measure: Measure
    size: int


@dataclass(frozen=True)
class Workload:
    """A workload. limit: whose cost the ratios are of. quick: the cases of a short try."""

    title: str
    unit: str
    servers: tuple[str, ...]
    cases: tuple[Case, ...]
    quick: tuple[Case, ...]
    limit: str = "limit"


def _cases(label: str, measure: Measure, *sizes: int) -> tuple[Case, ...]:
    return tuple(Case(label.format(size), measure, size) for size in sizes)


_NETWORK = tuple(SERVERS)
_SWITCH = tuple(SWITCHERS)
_SLEEP = tuple(SLEEPERS)

WORKLOADS: dict[str, Workload] = {
    "switch": Workload(
        "a switch between fibers",
        MICROSECONDS,
        _SWITCH,
        _cases("{:,} fibers", kinds.switch, 2, 1000, 100_000),
        _cases("{:,} fibers", kinds.switch, 2, 1000),
    ),
    "echo": Workload(
        "an echo of 64 bytes",
        MICROSECONDS,
        _NETWORK,
        _cases("{:,} connections", kinds.echo, 1, 100, 1000),
        _cases("{:,} connections", kinds.echo, 1, 100),
    ),
    "http": Workload(
        "a page over HTTP, keep-alive",
        MICROSECONDS,
        _NETWORK,
        _cases("{:,} connections", kinds.http, 100),
        _cases("{:,} connections", kinds.http, 100),
    ),
    "idle": Workload(
        "an echo of 10 active connections beside idle ones",
        MICROSECONDS,
        _NETWORK,
        _cases("{:,} idle", kinds.idle, 10_000),
        _cases("{:,} idle", kinds.idle, 500),
    ),
    "sleep": Workload(
        "a sleep",
        MICROSECONDS,
        _SLEEP,
        _cases("{:,} sleepers", kinds.sleep, 100_000),
        _cases("{:,} sleepers", kinds.sleep, 2000),
    ),
    "memory": Workload(
        "memory",
        BYTES,
        tuple(dict.fromkeys((*_NETWORK, *_SLEEP))),
        (
            *_cases("an idle connection", kinds.idle_memory, 5000),
            *_cases("a sleeping fiber", kinds.asleep_memory, 100_000),
        ),
        (
            *_cases("an idle connection", kinds.idle_memory, 500),
            *_cases("a sleeping fiber", kinds.asleep_memory, 10_000),
        ),
    ),
    "trace": Workload(
        "what the trace costs",
        MICROSECONDS,
        ("no-sites", "plain", "stalls", "traced"),
        (
            *_cases("switch, {:,} fibers", kinds.switch, 1000),
            *_cases("echo, {:,} connections", kinds.echo, 100),
        ),
        _cases("switch, {:,} fibers", kinds.switch, 1000),
        limit="no-sites",
    ),
    "watched": Workload(
        "what it costs to watch an asyncio server",
        MICROSECONDS,
        tuple(WATCHED),
        _cases("echo, {:,} connections", kinds.echo, 100),
        _cases("echo, {:,} connections", kinds.echo, 10),
        limit="asyncio-streams",
    ),
    "events": Workload(
        "memory of an event in a trace",
        BYTES,
        ("plain",),
        _cases("{:,} events", kinds.computed("events"), 1_000_000),
        _cases("{:,} events", kinds.computed("events"), 10_000),
        limit="plain",
    ),
    "draw": Workload(
        "spans to a PNG",
        SECONDS,
        ("limit", "plain"),
        _cases("{:,} spans", kinds.computed("draw"), 1_000, 10_000, 100_000, 1_000_000),
        _cases("{:,} spans", kinds.computed("draw"), 10_000),
    ),
    "file": Workload(
        "a trace to disk and back",
        SECONDS,
        ("limit", "plain"),
        (
            *_cases("saving {:,} events", kinds.computed("save"), 1_000_000),
            *_cases("loading {:,} events", kinds.computed("load"), 1_000_000),
        ),
        (
            *_cases("saving {:,} events", kinds.computed("save"), 10_000),
            *_cases("loading {:,} events", kinds.computed("load"), 10_000),
        ),
    ),
    "growth": Workload(
        "how cost grows",
        MICROSECONDS,
        ("limit", "plain"),
        (
            *_cases("switch, {:,} fibers", kinds.switch, 2, 10, 100, 1000, 10_000, 100_000),
            *_cases("echo, {:,} connections", kinds.echo, 1, 10, 100, 1000, 10_000),
            *_cases("sleep, {:,} sleepers", kinds.sleep, *(10**n for n in range(1, 7))),
            *_cases("draw, {:,} spans", kinds.computed("draw_each"), *(10**n for n in range(3, 7))),
        ),
        _cases("switch, {:,} fibers", kinds.switch, 2, 10, 100),
    ),
}
"""By the name that ``--only`` takes."""


def chosen(workload: Workload, wanted: list[str]) -> list[str]:
    """Return who takes part: the limit, and whom `wanted` names, all if it is empty.

    A name stands for all that begin with it, ``fiberlab`` for all of ours.
    """
    if not wanted:
        return list(workload.servers)
    starts = [start for name in wanted for start in (OURS if name == "fiberlab" else (name,))]
    return [
        name
        for name in workload.servers
        if name == workload.limit or any(name.startswith(start) for start in starts)
    ]


def refusal(name: str, case: Case) -> str | None:
    """Return why `name` cannot take part in `case`, or None if it can."""
    package = name.partition("-")[0]
    if package in PEERS and importlib.util.find_spec(package) is None:
        return f"{package} is not installed"
    if package == "curio" and sys.version_info >= (3, 13):
        return "curio does not run on this Python"
    if package == "gevent" and case.measure is kinds.sleep and case.size > 10_000:
        return "so many timers take it minutes to start"
    if package == "curio" and case.measure in (kinds.switch, kinds.sleep) and case.size > 10_000:
        return "its check that no fiber is queued twice takes minutes"
    if case.measure in (kinds.echo, kinds.idle, kinds.idle_memory) and name == "select":
        return "select() ends at 1,024 descriptors" if case.size >= 1000 else None
    if name == "threads" and case.size > 5000:
        return "too many threads"
    known = {kinds.switch: ALL_SWITCHERS, kinds.sleep: SLEEPERS, kinds.asleep_memory: SLEEPERS}
    servers = {kinds.echo, kinds.http, kinds.idle, kinds.idle_memory}
    table = ALL_SERVERS if case.measure in servers else known.get(case.measure, {name: None})
    return None if name in table else "takes no part"

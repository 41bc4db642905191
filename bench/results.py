"""Results: rounds interleaved, medians with minimum and maximum, kept as JSON.

The rule kept here: all who take part run once in every round, in turn, so that what the machine
does besides meets all alike. If the limit itself varies by more than SPREAD, the case is
measured again; the steadiest attempt counts, and how many there were is told.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .kinds import Bench
from .machine import describe
from .processes import ChildFailed
from .workloads import OURS, Case, Workload, refusal

SPREAD = 0.20
"""How much the limit may vary, (max - min) / median, before a case is measured again."""

FOLDER = Path(__file__).parent / "results"


@dataclass
class Figure:
    """What all rounds of one server gave; costs in µs, bytes or seconds, rates per second."""

    costs: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle of the costs."""
        return statistics.median(self.costs)

    @property
    def spread(self) -> float:
        """How far the costs lie apart, as a part of their median."""
        return (max(self.costs) - min(self.costs)) / self.median if self.median else 0.0


@dataclass
class CaseResult:
    """What a case gave. attempts: how often it was measured until the limit was steady."""

    label: str
    size: int
    attempts: int
    figures: dict[str, Figure]
    skipped: dict[str, str]

    def ratio(self, name: str, limit: str) -> float | None:
        """Return the limit's cost as a part of the cost of `name`: 1 is as cheap as the limit."""
        if limit not in self.figures:
            return None
        return self.figures[limit].median / self.figures[name].median


def run_workload(
    name: str, workload: Workload, servers: list[str], bench: Bench, rounds: int, attempts: int
) -> dict[str, Any]:
    """Measure a workload and return its result, ready for JSON."""
    cases = workload.cases if bench.scale == 1 else workload.quick
    measured = [_steady(name, workload, case, servers, bench, rounds, attempts) for case in cases]
    return {
        "workload": name,
        "title": workload.title,
        "unit": workload.unit,
        "limit": workload.limit,
        "rounds": rounds,
        "full": bench.scale == 1,
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe(),
        "cases": [asdict(case) for case in measured],
    }


def _steady(
    name: str,
    workload: Workload,
    case: Case,
    servers: list[str],
    bench: Bench,
    rounds: int,
    attempts: int,
) -> CaseResult:
    best: CaseResult | None = None
    for attempt in range(1, attempts + 1):
        found = _rounds(f"{name}, {case.label}", workload, case, servers, bench, rounds)
        if best is None or _unsteady(found, workload) < _unsteady(best, workload):
            best = found
        best.attempts = attempt
        if _unsteady(best, workload) <= SPREAD:
            break
        say(f"{name}, {case.label}: the limit varies by {_unsteady(found, workload):.0%}")
    assert best is not None
    return best


def _unsteady(result: CaseResult, workload: Workload) -> float:
    limit = result.figures.get(workload.limit)
    return 0.0 if limit is None else limit.spread


def _rounds(
    title: str, workload: Workload, case: Case, servers: list[str], bench: Bench, rounds: int
) -> CaseResult:
    skipped = {name: why for name in servers if (why := refusal(name, case)) is not None}
    figures = {name: Figure() for name in servers if name not in skipped}
    unit = 1e6 if workload.unit == "µs" else 1
    for number in range(1, rounds + 1):
        for name in list(figures):
            try:
                sample = case.measure(bench, name, case.size)
            except (ChildFailed, OSError) as error:
                if name == workload.limit or name in OURS:
                    raise
                skipped[name] = f"failed: {error}"
                del figures[name]
                continue
            figures[name].costs.append(sample.cost * unit)
            if sample.rate is not None:
                figures[name].rates.append(sample.rate)
            told = f"{sample.cost * unit:,.3f} {workload.unit}"
            say(f"{title}: round {number} of {rounds}, {name} {told}")
    return CaseResult(case.label, case.size, 1, figures, skipped)


def say(text: str) -> None:
    """Tell how far the run has come, on sys.stderr."""
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{time.strftime('%H:%M:%S')} {text:<90}", end=end, file=sys.stderr, flush=True)


def save(result: dict[str, Any], folder: Path = FOLDER) -> Path:
    """Write a result to its file in `folder` and return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['workload']}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Read what `folder` holds, by workload; CaseResults in place of their JSON."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text("utf-8"))
        for case in result["cases"]:
            case["figures"] = {name: Figure(**each) for name, each in case["figures"].items()}
        result["cases"] = [CaseResult(**case) for case in result["cases"]]
        found[result["workload"]] = result
    return found

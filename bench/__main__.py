"""The command: ``python -m bench``; see --help and README.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import report, results
from .kinds import Bench
from .machine import allow_many_files, cores, pin
from .processes import ROOT
from .workloads import WORKLOADS, chosen

README = Path(__file__).parent / "README.md"
FIGURE = ROOT / "docs" / "speed.png"


def main(arguments: list[str] | None = None) -> int:
    """Measure what the arguments ask for; print tables, write JSON."""
    asked = _parse(arguments)
    if sys.platform != "linux":
        print("bench measures with epoll and the clocks of Linux; it runs there", file=sys.stderr)
        return 2
    if asked.report:
        found = results.load(asked.into)
        report.write_readme(found, README)
        report.draw(found, FIGURE)
        return 0
    both = cores() or (None, None)
    pin(both[1])
    allow_many_files()
    bench = Bench(both, 0.1 if asked.quick else 1.0)
    rounds = asked.rounds or (3 if asked.quick else 9)
    for name in asked.only:
        workload = WORKLOADS[name]
        servers = chosen(workload, asked.servers)
        attempts = 1 if asked.quick else asked.attempts
        results.save(
            results.run_workload(name, workload, servers, bench, rounds, attempts), asked.into
        )
        print(report.table(results.load(asked.into)[name]), end="\n\n", flush=True)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    add = parser.add_argument
    known = ", ".join(WORKLOADS)
    add("--only", type=_names, default=list(WORKLOADS), help=f"workloads, of {known}")
    add("--servers", type=_names, default=[], help="who is measured beside the limit: names, or "
        "how they begin; fiberlab stands for all of ours")  # fmt: skip
    add("--rounds", type=int, help="how often each is measured (9; with --quick 3)")
    add("--attempts", type=int, default=3, help="how often to measure until the limit is steady")
    add("--quick", action="store_true", help="a tenth of the work, small sizes: only for trying")
    add("--into", type=Path, default=results.FOLDER, help="the folder for JSON (bench/results)")
    add("--report", action="store_true", help="measure nothing: write the tables into "
        "bench/README.md and draw docs/speed.png from the JSON")  # fmt: skip
    asked = parser.parse_args(arguments)
    if unknown := [name for name in asked.only if name not in WORKLOADS]:
        parser.error(f"no workload is called {', '.join(unknown)}; there are {known}")
    if asked.rounds is not None and asked.rounds < 1:
        parser.error(f"--rounds is at least 1, got {asked.rounds}")
    return asked


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    raise SystemExit(main())

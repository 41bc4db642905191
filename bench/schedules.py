"""How many schedules a second `explore` runs: ``python -m bench.schedules --workers 2``.

The program is small: four fibers of three or four steps, and one check at the end. It has
1,201,200 schedules.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from fiberlab import WAIT, explore


def program(world: Any) -> None:
    """Let four fibers take three or four steps."""
    total = [0]

    def adds(steps: int) -> Generator[WAIT, None, None]:
        for _ in range(steps - 1):
            yield WAIT(0)
        total[0] += 1

    for steps in (3, 3, 3, 4):
        world.add(adds(steps))
    world.at_end(lambda: total[0] == 4)


def main() -> None:
    """Measure, and print what was found and how long it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="0: in this process")
    wanted = parser.parse_args()
    began = time.perf_counter()
    if wanted.workers:
        with ProcessPoolExecutor(wanted.workers) as executor:
            result = explore(program, at_most=wanted.schedules, executor=executor, progress=True)
    else:
        result = explore(program, at_most=wanted.schedules, progress=True)
    took = time.perf_counter() - began
    used = sum(os.times()[:4])
    print(result)
    print(f"{took:.1f} s, {used:.1f} s of processor time, {wanted.workers} workers")


if __name__ == "__main__":
    main()

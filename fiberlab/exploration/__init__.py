"""Every schedule: a program of fibers run once for each order in which it can go.

    result = explore(program)            # program(world) builds fibers and says what must hold
    print(result)                        # holds in all 1,680 schedules

`tape` is a schedule as short text, `choices` answers the questions of one run, `faults` is what
can go wrong on request, `world` is what a program builds its fibers in, `search` goes from one
schedule to the next, and `result` says what was found. `pieces` are schedules that are run
together, `workers` share them among processes, and `progress` shows how far it is. `sweep` calls
one function for many cases in the same way.

Only for ``reduce=True``: `footprints` of what each step touches, `sharing` refuses what they would
miss, and `sleep_sets` leave out orders that differ only in independent steps.

Everything is simulated. This folder knows no figure and no lesson, and it shows nothing unless
`progress` is asked for.
"""

from .result import Failure, Result, Sample
from .search import assert_holds, explore, replay
from .sweep import Table, sweep
from .world import World

__all__ = [
    "Failure",
    "Result",
    "Sample",
    "Table",
    "World",
    "assert_holds",
    "explore",
    "replay",
    "sweep",
]

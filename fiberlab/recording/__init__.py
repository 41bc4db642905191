"""From the scheduler to a trace: what is recorded of each event, and which line holds the loop.

`reporter` has one method for each kind of event; `stall_recorder` keeps only what happens around
steps that take too long, which `stall_reporter` tells it, and `prometheus` exports its counters.
`step_meter` measures the steps of
another scheduler. `watchdog` looks into a step that does not end, `culprit_line` finds the user's
own line in its stack, and `data_age` asks the system how long data had been there.

This folder does not know what is later made of a trace.
"""

from .stall_recorder import StallRecorder

__all__ = ["StallRecorder"]

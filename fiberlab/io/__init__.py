"""When a socket is ready: the clock, the poller, and what the system is asked.

These are the two seams between the scheduler and the world. The scheduler needs a clock that tells
`now` and a poller that tells which fibers can go on; here are the real ones. A simulated network
(see ``fiberlab.simulation``) has both too.

This folder knows no scheduler and no trace.
"""

from .clock import Clock
from .descriptors import READABLE, WRITABLE
from .poller import HERE, Address, Poller, clock_and_poller

__all__ = ["HERE", "READABLE", "WRITABLE", "Address", "Clock", "Poller", "clock_and_poller"]

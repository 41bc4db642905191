"""Simulated time and a simulated network: the same programs, with no real second spent.

`SimulatedNetwork` is a poller with a clock of its own. When no fiber is ready, the clock jumps to
the next deadline or delivery. Its sockets behave as non-blocking sockets do.

This folder knows no scheduler and no trace.
"""

from .clock import SimulatedClock
from .network import SimulatedNetwork
from .socket import SimulatedSocket
from .trouble import Trouble

__all__ = ["SimulatedClock", "SimulatedNetwork", "SimulatedSocket", "Trouble"]

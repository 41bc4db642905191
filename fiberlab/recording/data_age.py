"""The age of data: how long it had been in a socket when a fiber was woken for it.

The rule kept here: an answer is exact or a lower bound, and None where it is not known. A
simulated socket knows it exactly. For TCP, Linux reports in milliseconds when data came *last*.
That is of use only while there is unread data: the end of a stream does not change it.
"""

from __future__ import annotations

import array
import struct
import sys
import time
from typing import Any

from ..waits import Socket

_LAST_DATA_RECV = 52  # where tcpi_last_data_recv stands in struct tcp_info (linux/tcp.h)
_COARSE_CLOCK = 6  # CLOCK_MONOTONIC_COARSE, which moves by the unit the kernel counts in


def waited_ns(sock: Socket, now_ns: int) -> int | None:
    """Return for how many nanoseconds there has been something to receive on `sock`.

    now_ns: the time by the clock of a simulated socket. A real socket costs two system calls.
    The socket is left as it is: a pending error stays pending.
    """
    if hasattr(type(sock), "arrived_ns"):
        arrived: int | None = sock.arrived_ns  # type: ignore[attr-defined]
        return None if arrived is None else max(0, now_ns - arrived)
    return _of_tcp(sock) if sys.platform == "linux" else None


def _of_tcp(sock: Any) -> int | None:
    import fcntl
    import socket
    import termios

    unread = array.array("i", [0])
    try:
        fcntl.ioctl(sock.fileno(), termios.FIONREAD, unread)
        if unread[0] <= 0:
            return None
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECV + 4)
    except (OSError, ValueError, AttributeError):  # no TCP, or no socket of the system
        return None
    (milliseconds,) = struct.unpack_from("I", info, _LAST_DATA_RECV)
    # Data that came at the end of one unit and was found at the start of the next counts as one.
    unit = round(time.clock_getres(_COARSE_CLOCK) * 1e9)
    return max(0, int(milliseconds) * 1_000_000 - unit)

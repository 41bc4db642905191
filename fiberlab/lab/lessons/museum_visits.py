"""Visits: two clients, the second of whom comes only if the first is kept waiting.

The rule kept here: every wait has an end, and a visit leaves no thread and no socket behind,
whatever the loop that is visited does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from ...fiber import Handler
from ..background import serving

PATIENCE = 0.3
"""Seconds after which ann has waited too long, and ben connects."""
LAST_PATIENCE = 1.0
"""Seconds that she waits after that."""


@dataclass
class Visit:
    """What two clients saw; times in seconds since ann asked.

    in_time: whether ann was answered before she lost patience. after_ben: whether she was
    answered after ben had connected. ben: when he did; None: he was not needed. answered: when
    she had her answer, or gave up. passes: how often the loop went round, if it was counted.
    """

    in_time: bool = False
    after_ben: bool = False
    ben: float | None = None
    answered: float = 0.0
    passes: int = 0


def visit_ours(handler: Handler) -> Visit:
    """Let ann and ben visit a Scheduler that serves `handler`."""
    visit = Visit()
    with serving(handler) as server:
        _call(server.address, visit)
    return visit


def visit_museum(loop: Any, handler: Handler) -> Visit:
    """Let ann and ben visit a loop like OldLoop, made by ``loop(listener, handler)``.

    It runs in the calling thread; what it raises is raised here.
    """
    visit, socks, gone = Visit(), [], threading.Event()

    def noting(sock: socket.socket, address: Any) -> Any:
        socks.append(sock)
        return handler(sock, address)

    def done() -> bool:
        visit.passes += 1
        return gone.is_set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = loop(listener, noting)
        given = (listener.getsockname(), visit, gone)
        clients = threading.Thread(target=_call_and_go, args=given, daemon=True)
        clients.start()
        try:
            made.run(done)
        finally:
            listener.close()  # nobody is connected any more, and who is learns it at once
            for sock in socks:
                sock.close()
            clients.join()
    return visit


def _call_and_go(address: tuple[str, int], visit: Visit, gone: threading.Event) -> None:
    try:
        with contextlib.suppress(OSError):
            _call(address, visit)
    finally:
        gone.set()
        # A loop that waits in its select hears of it by one more client.
        with contextlib.suppress(OSError):
            socket.create_connection(address, timeout=1).close()


def _call(address: tuple[str, int], visit: Visit) -> None:
    with socket.create_connection(address) as ann:
        began = time.monotonic()
        ann.settimeout(PATIENCE)
        ann.sendall(b"ann")
        try:
            visit.in_time = bool(ann.recv(1024))
        except TimeoutError:
            visit.ben = time.monotonic() - began
            with socket.create_connection(address, timeout=LAST_PATIENCE):
                ann.settimeout(LAST_PATIENCE)
                with contextlib.suppress(TimeoutError):
                    visit.after_ben = bool(ann.recv(1024))
        visit.answered = time.monotonic() - began

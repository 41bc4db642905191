"""The experiments of lesson 05: clients that meet a server, and one nap in simulated time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ....fiber import FiberGenerator
from ....scheduler import Scheduler
from ....simulation.network import SimulatedClock, SimulatedNetwork
from ....spans.build import build_spans
from ....states import FiberState
from ....trace.trace import Trace
from ....waits import RECV

# -- Clients ------------------------------------------------------------------


@contextlib.contextmanager
def meeting(*words: bytes) -> Iterator[tuple[socket.socket, list[bytes]]]:
    """Let a client for each word connect, send it, and receive its answer.

    Yields a socket that listens, and the list of the answers, in the order of the words; it is
    complete when the with is left. Each client gives up after five seconds.
    """
    answers = [b""] * len(words)

    def talk(place: int, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            sock.sendall(words[place])
            answers[place] = sock.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Connected in turn, so that they are accepted in the order of the words.
        socks = [socket.create_connection(listener.getsockname(), timeout=5) for _ in words]
        threads = [threading.Thread(target=talk, args=pair) for pair in enumerate(socks)]
        for thread in threads:
            thread.start()
        try:
            yield listener, answers
        finally:
            for thread in threads:
                thread.join()


def eight_clients() -> list[Callable[[socket.socket], Any]]:
    """Return seven clients that chat, and an eighth that sends ``nap`` when all are silent.

    During the nap the seven send one word each, the first 20 ms after its beginning, the second
    after 40 ms, and so on; so nothing of theirs was under way when it began.
    """
    silence, asked = threading.Barrier(8), threading.Event()

    def chatting(number: int) -> Callable[[socket.socket], None]:
        def chat(sock: socket.socket) -> None:
            for _ in range(4):
                time.sleep(0.01 + 0.001 * number)
                _ask(sock)
            silence.wait(5)
            asked.wait(5)
            time.sleep(0.02 * number)
            _ask(sock)
            time.sleep(0.03)
            _ask(sock)

        return chat

    def napping(sock: socket.socket) -> bytes:
        silence.wait(5)
        time.sleep(0.03)
        sock.send(b"nap")
        asked.set()
        return sock.recv(1024)

    return [*map(chatting, range(1, 8)), napping]


def _ask(sock: socket.socket) -> None:
    sock.send(b"word")
    sock.recv(1024)


# -- One nap, three accounts --------------------------------------------------

NAP_AT = 0.02
ARRIVALS = {"ann": 0.06, "ben": 0.12, "cat": 0.18}
"""When the data of each victim arrives, in simulated seconds; the nap begins at NAP_AT."""


def simulate_nap(nap: float) -> Trace:
    """Return the trace of three fibers that wait for data, and of one that blocks for `nap` s.

    Simulated: the network knows when data has arrived, and the trace keeps it.
    """
    network, trace = SimulatedNetwork(), Trace(stall_after=None, hidden=True)
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    kept = []
    for name, arrives, burns in (
        ("dan", NAP_AT, nap),
        *((name, arrives, 0.006) for name, arrives in ARRIVALS.items()),
    ):
        ours, theirs = network.socketpair(latency=arrives)
        theirs.send(b"word")
        kept.append(theirs)
        scheduler.add(_receive(ours, network.clock, burns), name)
    scheduler.run()
    return trace


def _receive(sock: Any, clock: SimulatedClock, burns: float) -> FiberGenerator:
    yield RECV(sock)
    sock.recv(1024)
    clock.burn(burns)


def unseen(trace: Trace) -> dict[str, tuple[int, int]]:
    """Return when each victim's data arrived and when it went on, in whole milliseconds."""
    spans = build_spans(trace)
    hidden = dict(spans.hidden)
    found = {}
    for name in ARRIVALS:
        [life] = [life for life in spans.lives if life.name == name]
        [wait] = [i for i in spans.indexes(life.id) if spans.state[i] == FiberState.RECV.code]
        went_on = min(each.start for each in spans.of(life.id) if each.start >= spans.end[wait]
                      and each.state is FiberState.RUNNING)  # fmt: skip
        arrived = spans.end[wait] - hidden.get(wait, 0)
        found[name] = (round(arrived / 1e6), round(went_on / 1e6))
    return found

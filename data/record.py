"""Records the traces in this folder: real runs, over real sockets, each with one thing to see.

    python data/record.py blocker        record one anew, and its section in README.md
    python data/record.py                record all of them

The clients run in a thread of their own and are not in the traces.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fiberlab import (
    RECV,
    WAIT,
    Deadlock,
    Scheduler,
    Trace,
    connect,
    join,
    mark,
    recv_until,
    send_all,
)

FOLDER = Path(__file__).parent
NOTHING_PRINTED = io.StringIO


# -- Servers ----------------------------------------------------------------------------


def a_line(sock: Any) -> Iterator[Any]:
    """Return the next line, or nothing when the other side has closed."""
    try:
        return (yield from recv_until(sock, b"\n"))
    except EOFError:
        return b""


def echo(sock: Any, address: Any) -> Iterator[Any]:
    """Send every line back."""
    while line := (yield from a_line(sock)):
        with mark(f"request {line.decode().strip()}"):
            yield from send_all(sock, line)


def echo_that_blocks(sock: Any, address: Any) -> Iterator[Any]:
    """Send every line back; one of them after 0.4 s, in which nobody else can run."""
    while line := (yield from a_line(sock)):
        if line == b"1.3\n":
            time.sleep(0.4)
        yield from send_all(sock, line)


def echo_that_waits(sock: Any, address: Any) -> Iterator[Any]:
    """Send every line back; one of them after 0.4 s, in which others run."""
    while line := (yield from a_line(sock)):
        if line == b"1.3\n":
            yield WAIT(0.4)
        yield from send_all(sock, line)


# One name for both, so that `compare` has the same rows on both sides.
echo_that_blocks.__name__ = echo_that_waits.__name__ = "echo"


def echo_that_spins(sock: Any, address: Any) -> Iterator[Any]:
    """Send every line back; one of them after 30 ms of asking what time it is."""
    while line := (yield from a_line(sock)):
        if line == b"1.3\n":
            until = time.perf_counter() + 0.03
            while time.perf_counter() < until:
                yield WAIT(0)
        yield from send_all(sock, line)


def echo_that_fails(sock: Any, address: Any) -> Iterator[Any]:
    """Send every line back; fail over one of them."""
    while line := (yield from a_line(sock)):
        if line == b"1.3\n":
            raise ValueError(f"cannot make anything of {line!r}")
        yield from send_all(sock, line)


def download(sock: Any, address: Any) -> Iterator[Any]:
    """Send more than the buffers of both sides hold."""
    yield from send_all(sock, bytes(30_000_000))


def ticker(seconds: float, times: int) -> Iterator[Any]:
    """Wake up every so often."""
    for _ in range(times):
        yield WAIT(seconds)


def cruncher(times: int) -> Iterator[Any]:
    """Compute for 40 ms at a stretch, which is long for who waits for 10."""
    for _ in range(times):
        until = time.perf_counter() + 0.04
        while time.perf_counter() < until:
            sum(range(1_000))
        yield WAIT(0.005)


# -- Clients ----------------------------------------------------------------------------


def talk(address: tuple[str, int], number: int) -> Iterator[Any]:
    """Send six lines, one every 20 ms, and wait for each to come back; begin in turn."""
    yield WAIT(0.003 * number)
    sock = yield from connect(address)
    with sock:
        for request in range(6):
            yield from send_all(sock, b"%d.%d\n" % (number, request))
            if not (yield from a_line(sock)):
                return
            yield WAIT(0.02)


def read_slowly(address: tuple[str, int], number: int) -> Iterator[Any]:
    """Receive everything; the first of the clients pauses after each megabyte."""
    sock = yield from connect(address)
    with sock:
        received = paused = 0
        while True:
            yield RECV(sock)
            chunk = sock.recv(65_536)
            if not chunk:
                return
            received += len(chunk)
            if number == 0 and received > paused + 1_000_000:
                paused = received
                yield WAIT(0.02)


def served(
    handler: Callable[..., Any], client: Callable[..., Any] = talk, clients: int = 5
) -> Trace:
    """Record a server while its clients talk to it."""
    trace = Trace(cpu=True, hidden=True)
    server = Scheduler(trace=trace, output="withheld", file=NOTHING_PRINTED())
    address = server.listen(handler)

    def crowd() -> None:
        others = Scheduler(output="withheld", file=NOTHING_PRINTED())
        for number in range(clients):
            others.add(client(address, number))
        others.run()
        time.sleep(0.02)  # the server has yet to see that they are gone
        server.stop()

    thread = threading.Thread(target=crowd)
    thread.start()
    server.run()
    thread.join()
    return trace


def alone(*generators: Any) -> Trace:
    """Record fibers that need no clients."""
    trace = Trace(cpu=True, hidden=True)
    scheduler = Scheduler(trace=trace, output="withheld", file=NOTHING_PRINTED())
    for generator in generators:
        scheduler.add(generator)
    with contextlib.suppress(Deadlock):
        scheduler.run()
    return trace


def waiting_for_each_other() -> Trace:
    """Record two fibers that wait for each other's end, while a third one still runs."""
    fibers: list[Any] = []

    def left() -> Iterator[Any]:
        yield WAIT(0.01)
        yield from join(fibers[1])

    def right() -> Iterator[Any]:
        yield WAIT(0.01)
        yield from join(fibers[0])

    trace = Trace(cpu=True, hidden=True)
    scheduler = Scheduler(trace=trace)
    fibers += [scheduler.add(left()), scheduler.add(right()), scheduler.add(ticker(0.01, 5))]
    with contextlib.suppress(Deadlock):
        scheduler.run()
    return trace


# -- Recordings -------------------------------------------------------------------------

RECORDINGS: dict[str, tuple[str, Callable[[], Trace]]] = {
    "healthy": (
        "Five clients send six lines each to an echo server. Nothing is wrong.",
        lambda: served(echo),
    ),
    "blocker": (
        "The same with a handler that calls `time.sleep(0.4)` once: everybody waits.",
        lambda: served(echo_that_blocks),
    ),
    "cure": (
        "The blocker's cure, `yield WAIT(0.4)`: one client waits, the others do not notice.",
        lambda: served(echo_that_waits),
    ),
    "busy-waiting": (
        "A handler that yields WAIT(0) until 30 ms have passed, thousands of times.",
        lambda: served(echo_that_spins),
    ),
    "slow-reader": (
        "Thirty megabytes for each of three clients, of which one reads with pauses: its handler "
        "waits to send.",
        lambda: served(download, read_slowly, clients=3),
    ),
    "late-timers": (
        "Two fibers want to wake every 10 and 15 ms, while a third one computes for 40 ms at a "
        "stretch: no step is long enough to be called blocking, and yet every timer is late.",
        lambda: alone(ticker(0.01, 20), ticker(0.015, 15), cruncher(8)),
    ),
    "crash": (
        "A handler that raises ValueError over one line; the other clients are served on.",
        lambda: served(echo_that_fails),
    ),
    "deadlock": (
        "Two fibers that wait for each other's end; run() raises Deadlock.",
        waiting_for_each_other,
    ),
}

PACKED = {"busy-waiting"}  # too many events to be kept as they are


def record(name: str) -> Path:
    """Record one of them into this folder; return its path."""
    _, run = RECORDINGS[name]
    path = FOLDER / f"{name}.fiber.jsonl{'.gz' if name in PACKED else ''}"
    run().save(path)
    return path


def section(name: str, path: Path) -> str:
    """Return what README.md says of a recording."""
    trace = Trace.load(path)
    fibers = sum(event.ev == "spawn" for event in trace)
    system = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processors"
    return (
        f"## {path.name}\n\n{RECORDINGS[name][0]}\n\n"
        f"- command: `python data/record.py {name}`\n"
        f"- recorded: {trace.header['wall']}, Python {trace.header['python']}, {system}\n"
        f"- holds: {len(trace)} events of {fibers} fibers\n"
        f"- sha256: `{hashlib.sha256(path.read_bytes()).hexdigest()}`\n"
    )


def main(names: list[str]) -> None:
    """Record `names`, or all, and write their sections."""
    readme = FOLDER / "README.md"
    text = readme.read_text("utf-8")
    for name in names or RECORDINGS:
        path = record(name)
        told = section(name, path)
        found = re.search(rf"^## {re.escape(path.name)}\n.*?(?=^## |\Z)", text, re.S | re.M)
        if found is None:
            text = f"{text.rstrip()}\n\n{told}"
        else:
            text = f"{text[: found.start()]}{told}\n{text[found.end() :]}".rstrip() + "\n"
        print(f"{path.name}: {path.stat().st_size:,} bytes")
    readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])

"""10,000 connections at once, every byte checked: ``python -m bench.crowd``.

The server is a process of fibers, the clients are one loop over epoll in another. All are
connected before the first one asks; then all ask at once, each with its own bytes and its own
length, and again. At the end the server must hold what it held before, else the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from . import client
from .account import left_over
from .lines import Served, line_server
from .machine import allow_many_files, cpu_of, memory_of

LONGEST_ECHO = 2000
EACH_SOURCE = 5000
"""Connections from one of the addresses 127.0.0.x: there are 28,000 ports for each."""

Tell = Callable[[str], None]


def meet(address: tuple[str, int], count: int, tell: Tell) -> list[client.Asker]:
    """Open `count` connections; each of them has its own bytes to send."""
    askers = []
    for number in range(count):
        source = (f"127.0.0.{2 + number // EACH_SOURCE}", 0)
        sock = socket.create_connection(address, timeout=60, source_address=source)
        dice = random.Random(number)
        text = f"{number:06d}" + "".join(dice.choices("abcdefgh", k=dice.randrange(LONGEST_ECHO)))
        expected = text.encode() + b"\n"
        askers.append(client.Asker(sock, b"echo " + expected, expected))
        if number % 500 == 499:
            tell(f"{number + 1} of {count} connected")
    return askers


def crowd(count: int, rounds: int, tell: Tell) -> tuple[dict[str, Any], list[str]]:
    """Let `count` connections ask `rounds` times; return the figures and what is wrong."""
    began = time.monotonic()
    with line_server(timeout=60) as server:
        client.close(meet(server.address, 1, tell))
        before = server.ask("settle")
        empty, used = memory_of(server.pid), cpu_of(server.pid)
        askers = meet(server.address, count, tell)
        for number in range(rounds):
            client.ask(askers, count)
            tell(f"round {number + 1} of {rounds}: every byte of {count} answers is right")
        full, used = memory_of(server.pid), cpu_of(server.pid) - used
        during = server.ask("account")
        client.close(askers)
        wrong, after = _ending(server, before, count, during["open"])
    figures = {
        "connections at once": during["open"],
        "bytes sent and checked": rounds * sum(len(asker.expected) for asker in askers),
        "seconds": round(time.monotonic() - began, 2),
        "server CPU seconds": round(used, 2),
        "server bytes per connection": (full - empty) // count,
        "server at the end": after,
    }
    return figures, wrong


def _ending(
    server: Served, before: dict[str, Any], count: int, at_once: int
) -> tuple[list[str], Any]:
    after = server.ask("settle")
    # The memory stays with the allocator, and will be used by the next crowd.
    compared = after["account"]._replace(memory=before["account"].memory)
    wrong = left_over("server", before["account"], compared)
    if at_once != count:
        wrong.append(f"{at_once} connections were open at once, expected {count}")
    if after["open"]:
        wrong.append(f"server: {after['open']} connections are still served")
    server.end()
    return wrong, after["account"]


def show(text: str) -> None:
    """Show progress, if somebody looks."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def finish(figures: dict[str, Any], wrong: list[str]) -> int:
    """Print the figures and what is wrong; return the exit code."""
    show("")
    for name, figure in figures.items():
        print(f"{name}: {figure:,}" if isinstance(figure, int) else f"{name}: {figure}")
    for reason in wrong:
        print(f"wrong: {reason}")
    return 1 if wrong else 0


def main(arguments: list[str] | None = None) -> int:
    """Do it, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.crowd", description=main.__doc__)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args(arguments)
    allow_many_files()
    return finish(*crowd(asked.connections, asked.rounds, show))


if __name__ == "__main__":
    raise SystemExit(main())

"""An hour of rude clients in two minutes, and nothing left over: ``python -m bench.chaos``.

The hour: four rude clients a second against a server with a timeout of 60 s, which makes 14,400.
Compressed thirty times it lasts two minutes, at a timeout of 2 s. Beside them well-behaved
clients ask all the while, and every byte of theirs is checked. The server's account is taken
after a first small storm and after the great one, when all are gone; whatever has grown by
more than `account` allows, on either side, makes the exit code 1 and is named.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from fiberlab import WAIT, Scheduler, connect, start

from .account import left_over, take_account
from .crowd import Tell, finish, show
from .guests import Guest
from .lines import Served, line_server
from .machine import allow_many_files
from .rude import ALL, WELL_FORMED, Rude, Steps

SEED = 20
GUESTS = 8
GUESTS_MEMORY = 32 << 20
"""Bytes that the guests' threads may keep: each has an arena of the C library's."""
LONGEST_ANSWER = 20
"""Seconds after which a client that still waits for the server calls that a fault."""


class Storm:
    """Rude clients, which come at chosen moments; what became of them."""

    def __init__(self, address: tuple[str, int], patience: float, tell: Tell) -> None:
        self.address = address
        self.patience = patience
        self.tell = tell
        self.came: Counter[str] = Counter()
        self.cut_off = 0
        self.failures: list[str] = []

    def blow(self, moments: Iterable[float], seed: int) -> None:
        """Let a rude client come at each of the moments, in seconds; return when all are gone."""
        scheduler = Scheduler(LONGEST_ANSWER)
        scheduler.add(self._arrive(list(moments), random.Random(seed)))
        scheduler.run()

    def _arrive(self, moments: list[float], dice: random.Random) -> Steps:
        began = time.monotonic()
        for number, moment in enumerate(moments):
            if (early := moment - (time.monotonic() - began)) > 0:
                yield WAIT(early)
            if self.failures:
                return
            # Each kind comes once, then chance decides.
            kind = ALL[number] if number < len(ALL) else dice.choice(ALL)
            start(self._play(kind, random.Random(dice.random())))
            if number % 50 == 49:
                self.tell(f"{number + 1} of {len(moments)} rude clients, {moment:.0f} s")

    def _play(self, kind: Rude, dice: random.Random) -> Steps:
        """Connect, be rude, and close."""
        self.came[kind.__name__] += 1
        try:
            with (yield from connect(self.address)) as sock:
                try:
                    yield from kind(sock, dice, self.patience)
                except (ConnectionError, EOFError):
                    if kind in WELL_FORMED:
                        raise
                    self.cut_off += 1  # as it has asked for
        except Exception as error:
            self.failures.append(f"{kind.__name__}: {type(error).__name__}: {error}")


class Chaos:
    """One run: the server, the storms, the guests, and the accounts."""

    def __init__(self, server: Served, patience: float, seed: int, tell: Tell) -> None:
        self.server = server
        self.seed = seed
        self.storm = Storm(server.address, patience, tell)
        self.leaving = threading.Event()
        numbers = range(seed, seed + GUESTS)
        self.guests = [Guest(server.address, number, self.leaving) for number in numbers]

    def go(self, count: int, seconds: float) -> list[str]:
        """Blow a small storm, take the accounts, blow the great one; return what is wrong."""
        self.storm.blow([number / 500 for number in range(max(len(ALL), count // 50))], self.seed)
        mine, before = take_account(), self.server.ask("settle")
        dice = random.Random(self.seed)
        for guest in self.guests:
            guest.start()
        try:
            moments = sorted(dice.uniform(0, seconds) for _ in range(count))
            self.storm.blow(moments, self.seed + 1)
        finally:
            self.leaving.set()
            for guest in self.guests:
                guest.join(60)
        self.before, self.after = before, self.server.ask("settle")
        return self._judge(mine)

    def _judge(self, mine: Any) -> list[str]:
        """Return a sentence for all that went wrong or was left over."""
        wrong = self.storm.failures[:10]
        wrong += [guest.failure for guest in self.guests if guest.failure]
        wrong += [f"{guest.name} never came back" for guest in self.guests if guest.is_alive()]
        wrong += left_over("server", self.before["account"], self.after["account"])
        wrong += left_over("clients", mine, take_account(), GUESTS_MEMORY)
        came = sum(self.storm.came.values()) + sum(guest.visits for guest in self.guests)
        if self.after["served"] != came:
            wrong.append(f"server: {self.after['served']} of {came} connections were served")
        if self.after["open"]:
            wrong.append(f"server: {self.after['open']} connections are still served")
        self.left = self.server.end()["account"]
        # Input, output and complaints; the listener's and the scheduler's own are gone.
        if self.left.descriptors > 3 or self.left.fibers > 0:
            wrong.append(f"server after run(): {self.left}")
        return wrong

    def figures(self) -> dict[str, Any]:
        """Return what happened, for printing."""
        answers = sum(guest.answers for guest in self.guests)
        return {
            "rude clients": sum(self.storm.came.values()),
            "of each kind": dict(self.storm.came),
            "cut off by the server": self.storm.cut_off,
            "visits of well-behaved clients": sum(guest.visits for guest in self.guests),
            "their answers, each byte checked": answers,
            "their bytes": sum(guest.size_bytes for guest in self.guests),
            "connections served": self.after["served"],
            "most at once": self.after["peak"],
            "endings in the server": self.after["endings"],
            "lines of errors": self.after["lines"],
            "server before": self.before["account"],
            "server at the end": self.after["account"],
            "server after run()": self.left,
        }


def chaos(
    count: int, seconds: float, patience: float, seed: int, tell: Tell
) -> tuple[dict[str, Any], list[str]]:
    """Let `count` rude clients come within `seconds`; return the figures and what is wrong."""
    began = time.monotonic()
    with line_server(patience) as server:
        run = Chaos(server, patience, seed, tell)
        wrong = run.go(count, seconds)
    took = round(time.monotonic() - began, 1)
    return {"seed": seed, "seconds": took, **run.figures()}, wrong


def main(arguments: list[str] | None = None) -> int:
    """Do it, and print the figures; the exit code is 1 if anything is left over."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=main.__doc__)
    parser.add_argument("--clients", type=int, default=14_400, help="rude ones")
    parser.add_argument("--seconds", type=float, default=105.0, help="in which they come")
    parser.add_argument("--timeout", type=float, default=2.0, help="of the server, seconds")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args(arguments)
    allow_many_files()
    return finish(*chaos(asked.clients, asked.seconds, asked.timeout, asked.seed, show))


if __name__ == "__main__":
    raise SystemExit(main())

"""One measurement of each kind: a name and a size in, a Sample out.

The rule kept here: a sample is taken in a fresh process, after a warm-up, from outside where it
is a server.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import client
from .machine import cpu_of, memory_of
from .processes import ROOT, child, result

WRK = shutil.which("wrk")


@dataclass(frozen=True)
class Sample:
    """What one run gave. cost: seconds, or bytes, for one operation. rate: operations a second."""

    cost: float
    rate: float | None = None


@dataclass(frozen=True)
class Bench:
    """How to run.

    cores: of the measured process and of the clients; None: left alone. scale: 1, or less to try.
    """

    cores: tuple[int | None, int | None] = (None, None)
    scale: float = 1.0

    def count(self, operations: int) -> int:
        """Return how many operations to make where a full run makes so many."""
        return max(1, round(operations * self.scale))


def echo(bench: Bench, name: str, size: int) -> Sample:
    """`size` connections, each sends 64 bytes and waits for them to come back."""
    # With one connection, server and client take turns: a second core would only sleep.
    core = bench.cores[1] if size == 1 else bench.cores[0]
    with child(core, "serve", name) as (pid, address):
        client.warm_up(tuple(address))
        askers = client.connect(tuple(address), size)
        client.ask(askers, 2 * size)
        sample = _ask(pid, askers, bench.count(30_000 if size > 1 else 15_000))
        client.close(askers)
    return sample


def idle(bench: Bench, name: str, size: int) -> Sample:
    """10 connections echo while `size` others do nothing."""
    with child(bench.cores[0], "serve", name) as (pid, address):
        client.warm_up(tuple(address))
        others = client.connect(tuple(address), size)
        client.ask(others, size)
        askers = client.connect(tuple(address), 10)
        client.ask(askers, 100)
        sample = _ask(pid, askers, bench.count(30_000))
        client.close([*askers, *others])
    return sample


def http(bench: Bench, name: str, size: int) -> Sample:
    """`size` connections ask for a page, again and again, without closing."""
    with child(bench.cores[0], "serve", name, "http") as (pid, address):
        client.warm_up(tuple(address), http=True)
        if WRK is not None:
            return _wrk(pid, tuple(address), size, max(1, round(2 * bench.scale)))
        askers = client.connect(tuple(address), size, http=True)
        client.ask(askers, 2 * size)
        sample = _ask(pid, askers, bench.count(30_000))
        client.close(askers)
    return sample


def idle_memory(bench: Bench, name: str, size: int) -> Sample:
    """Bytes that a server holds for each of `size` connections that have echoed once."""
    with child(bench.cores[0], "serve", name) as (pid, address):
        # The first ones make room that the others use.
        first = client.connect(tuple(address), max(10, size // 5))
        client.ask(first, len(first))
        before = memory_of(pid)
        others = client.connect(tuple(address), size)
        client.ask(others, size)
        time.sleep(0.05)
        held = memory_of(pid) - before
        client.close([*first, *others])
    return Sample(held / size)


def switch(bench: Bench, name: str, size: int) -> Sample:
    """`size` fibers give way to each other."""
    rounds = max(3, bench.count(300_000) // size)
    return _computed(result(bench.cores[0], "switch", name, size, rounds))


def sleep(bench: Bench, name: str, size: int) -> Sample:
    """`size` fibers sleep, up to 1 µs for each fiber there is: somebody is always due."""
    rounds = max(2, bench.count(200_000) // size)
    return _computed(result(bench.cores[0], "sleep", name, size, rounds))


def asleep_memory(bench: Bench, name: str, size: int) -> Sample:
    """Bytes held for each of `size` sleeping fibers."""
    return Sample(result(bench.cores[0], "asleep", name, size)["bytes"])


def computed(kind: str) -> Callable[[Bench, str, int], Sample]:
    """Return the measurement that ``traces.py`` makes under this name."""

    def measure(bench: Bench, name: str, size: int) -> Sample:
        told = result(bench.cores[0], kind, name, size)
        return Sample(told["cost"], size / told["cost"] if told["timed"] else None)

    return measure


def _computed(told: dict[str, float]) -> Sample:
    return Sample(told["cpu"] / told["operations"], told["operations"] / told["wall"])


def _ask(pid: int, askers: list[client.Asker], count: int) -> Sample:
    wall, cpu = time.perf_counter(), cpu_of(pid)
    client.ask(askers, count)
    cpu, wall = cpu_of(pid) - cpu, time.perf_counter() - wall
    return Sample(cpu / count, count / wall)


_VERIFY = """
response = function(status, headers, body)
  if status ~= 200 or body ~= "{body}" then
    io.stderr:write("wrong response\\n")
    os.exit(1)
  end
end
"""


def _wrk(pid: int, address: tuple[str, int], size: int, seconds: int) -> Sample:
    """Run wrk, which compares each body with what it must be; it inherits the clients' core."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_VERIFY.replace("{body}", client.BODY.decode()))
        script.flush()
        url = f"http://{address[0]}:{address[1]}/"
        command = [str(WRK), "-t1", f"-c{size}", f"-d{seconds}s", "-s", script.name, url]
        cpu = cpu_of(pid)
        told = subprocess.run(command, cwd=Path(ROOT), capture_output=True, text=True, check=True)
        cpu = cpu_of(pid) - cpu
    count = re.search(r"(\d+) requests in", told.stdout)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", told.stdout)
    if count is None or rate is None or re.search(r"Non-2xx|Socket errors", told.stdout):
        raise client.WrongBytes(told.stdout)
    return Sample(cpu / int(count[1]), float(rate[1]))

"""Bugs that such schedulers have had, put back into a copy, are found by the model.

Each is a change of source text; the test says so when the text has moved on, so that no bug is
believed to be found that was never there.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import shutil
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from programs import PROGRAMS, both

import fiberlab

pytestmark = pytest.mark.once

PACKAGE = Path(fiberlab.__file__).parent
EXAMPLES = 1000

_numbers = itertools.count()

BUGS = {
    "WAIT(0) is WAIT(None)": (
        "scheduler",
        ("elif wait._seconds is None:", "elif not wait._seconds:"),
    ),
    "WAIT(None) is WAIT(0)": (
        "scheduler",
        ("elif wait._seconds is None:", "elif wait._seconds is Ellipsis:"),
        ("elif wait._seconds == 0:", "elif not wait._seconds:"),
    ),
    "two untimed waits in a row stall": (
        "scheduler",
        ("if fiber is not runner]", "if fiber is not runner and not fiber._looked]"),
    ),
    "WAIT(None) loses the wake-up of one that parks itself": (
        "scheduler",
        ("if parks and runner._looked:", "if parks:"),
    ),
    "WAIT(None) wakes only the first": (
        "scheduler",
        ('self._make_ready(woken, runner.id, "fiber")',
         'self._make_ready(woken[:1], runner.id, "fiber")'),
    ),
    "two that only look keep each other spinning": (
        "scheduler",
        ("if parks and runner._looked:", "if False:"),
    ),
    "a second receiver replaces the first": (
        "simulation.network",
        ('raise SocketBusy.of(end.receiver, fiber, "receive", sock.fileno())', "pass"),
    ),
    "a second sender replaces the first": (
        "simulation.network",
        ('raise SocketBusy.of(end.sender, fiber, "send", sock.fileno())', "pass"),
    ),
    "who is added is resumed in the same pass": (
        "scheduler",
        ("for _ in range(len(queue)):", "while queue:"),
    ),
    "a timeout wins over data": (
        "scheduler",
        ("        self.poll()\n        self.expire()",
         "        self.expire()\n        self.poll()"),
    ),
    "equal deadlines fire last first": (
        "alarms",
        ("+ next(self._order) +", "+ (1 << 95) - next(self._order) +"),
    ),
    "a deadline counts from the beginning of time": (
        "scheduler",
        ("self._alarms.set(fiber, self._clock.now_ns() + limit)", "self._alarms.set(fiber, limit)"),
    ),
    "an old alarm rings for a later wait": (
        "scheduler",
        ("self._alarms.clear(fiber)", "pass"),
    ),
    "a closed socket is woken without an error": (
        "simulation.network",
        ("fiber.pending = SocketClosed.of(fiber, fiber.wait.sock)", "pass"),
    ),
}  # fmt: skip


@pytest.fixture
def copy_of(tmp_path, monkeypatch):
    """Copy the package under a new name, with changes; return the name."""
    names = []

    def copy(module, *changes):
        name = f"fiberlab_copy_{next(_numbers)}"
        names.append(name)
        ignored = shutil.ignore_patterns("__pycache__", "lab", "replicator", "elsewhere")
        shutil.copytree(PACKAGE, tmp_path / name, ignore=ignored)
        path = tmp_path / name / f"{module.replace('.', '/')}.py"
        text = path.read_text(encoding="utf-8")
        for before, after in changes:
            assert text.count(before) == 1, f"{module}.py has changed: look for {before!r} anew"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        importlib.invalidate_caches()
        return name

    yield copy
    for loaded in [*sys.modules]:
        if loaded.partition(".")[0] in names:
            del sys.modules[loaded]


@pytest.fixture(scope="module")
def programs():
    """Return the programs that are tried, the same each time."""
    made = []

    @seed(2)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(PROGRAMS)
    def keep(program):
        made.append(program)

    keep()
    return made[:EXAMPLES]


def found_after(programs, package):
    """Run `programs` on `package`; return how many it took to find a difference, None for none."""
    for number, program in enumerate(programs, start=1):
        try:
            both(program, package, most_resumes=2000)
        except Exception:
            return number
    return None


@pytest.mark.parametrize("bug", BUGS)
def test_the_model_finds_that(copy_of, programs, bug):
    found = found_after(programs, copy_of(*BUGS[bug]))
    print(f"found after {found} programs")

    assert found is not None


def test_the_model_finds_nothing_in_a_copy_without_a_bug(copy_of, programs):
    assert found_after(programs[:200], copy_of("scheduler")) is None


# -- What only real sockets show ----------------------------------------------

REAL_BUGS = {
    "a high number is taken for a low one": (
        "io.poller",
        ("(self._set.modify if armed else self._set.register)(fileno, wanted)",
         "(self._set.modify if armed else self._set.register)(fileno & 255, wanted)"),
    ),
    "a high number is too high for select()": (
        "io.descriptors",
        ('return select.epoll() if hasattr(select, "epoll") else _Selector()',
         "return _Selector()"),
        ("self._selector = selectors.DefaultSelector()",
         "self._selector = selectors.SelectSelector()"),
    ),
}  # fmt: skip


def serves_a_high_number(package, number):
    """Tell whether a fiber of `package` receives on a socket of so high a number."""
    scheduler = importlib.import_module(f"{package}.scheduler").Scheduler(file=io.StringIO())
    waits = importlib.import_module(f"{package}.waits")
    ours, theirs = socket.socketpair()
    with ours, theirs, duplicate(ours, number) as high:

        def receives():
            yield waits.RECV(high, timeout=1)
            return high.recv(1)

        def sends():
            yield waits.WAIT(0.01)
            theirs.send(b"x")

        fiber = scheduler.add(receives())
        scheduler.add(sends())
        with contextlib.suppress(Exception):
            scheduler.run()
        return fiber.result == b"x"


def duplicate(sock, number):
    """Return a copy of `sock` with a number that is at least `number`."""
    import fcntl

    copy = socket.socket(fileno=fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, number))
    copy.setblocking(False)
    return copy


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("bug", [None, *REAL_BUGS])
def test_a_high_descriptor_number_finds_that(copy_of, bug):
    package = copy_of(*REAL_BUGS[bug]) if bug else "fiberlab"

    assert serves_a_high_number(package, 1100) == (bug is None)

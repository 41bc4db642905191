"""The watchdog: the line that holds the loop is found, and only while it does."""

from __future__ import annotations

import importlib.util
import inspect
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, TraceEvent
from fiberlab.recording import culprit_line as whereabouts
from fiberlab.recording.watchdog import Watchdog
from fiberlab.spans.stalls import called

HOLD = 0.25  # seconds: five times as long as it takes to be seen


def module_of(path: Path, source: str) -> ModuleType:
    """Write `source` to `path` and import it, as a user's own file."""
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stalls(*generators: Any, **options: Any) -> list[TraceEvent]:
    """Run fibers and return what the watchdog saw."""
    trace = Trace(**options)
    scheduler = Scheduler(trace=trace)
    for generator in generators:
        scheduler.add(generator)
    scheduler.run()
    return [event for event in trace if event.ev == "stall"]


def places(*generators: Any) -> list[tuple[str, str]]:
    """Run fibers and return the places where the watchdog saw them."""
    return [(event.src, event.func) for event in stalls(*generators)]


def line_of(function: Callable[..., Any], text: str) -> int:
    """Return the number of the line of `function` that contains `text`."""
    lines, first = inspect.getsourcelines(function)
    [at] = [number for number, line in enumerate(lines) if text in line]
    return first + at


def hard(seconds: float) -> str:
    """Return a text on which ``(a+)+$`` works that long, at least, and at most four times."""
    text = "a" * 18 + "b"
    while True:
        began = time.thread_time()
        re.match(r"(a+)+$", text)
        if time.thread_time() - began >= seconds:
            return text
        text = "a" + text


# -- The line -----------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("seed", range(3))
def test_the_line_that_sleeps_is_found_wherever_it_stands(tmp_path, seed):
    lines = [f"    x{number} = {number}" for number in range(60)]
    at = random.Random(seed).randrange(len(lines))
    lines[at] = f"    time.sleep({HOLD})"
    lines[at // 2] += "; yield WAIT(0)" if at else ""
    head = "import time\nfrom fiberlab import WAIT\ndef handler():\n    yield WAIT(0)\n"
    module = module_of(tmp_path / "generated.py", head + "\n".join(lines))

    found = places(module.handler())

    assert [src for src, _ in found] == [f"generated.py:{at + 5}"]


@pytest.mark.live
def test_the_helper_that_sleeps_is_named_and_not_its_caller():
    def helper():
        time.sleep(HOLD)

    def handler():
        yield WAIT(0)
        helper()

    assert [src for src, _ in places(handler())] == [
        f"test_watchdog.py:{line_of(helper, 'sleep(')}"
    ]


@pytest.mark.live
def test_a_block_inside_a_library_names_the_users_own_line():
    ours, theirs = socket.socketpair()

    def answer():
        time.sleep(HOLD)
        theirs.sendall(b"at last\n")

    def handler():
        yield WAIT(0)
        with ours, theirs, ours.makefile("rb") as file:
            file.readline()  # blocks in socket.py

    threading.Thread(target=answer).start()
    [(src, func)] = places(handler())

    assert src == f"test_watchdog.py:{line_of(handler, 'readline')}"
    assert func.startswith("file.readline()")


@pytest.mark.live
def test_a_call_over_several_lines_is_told_on_one():
    def handler():
        yield WAIT(0)
        time.sleep(
            0.25,
        )

    [(src, func)] = places(handler())

    assert src == f"test_watchdog.py:{line_of(handler, 'time.sleep')}"
    assert func.startswith("time.sleep(")
    assert "\n" not in func


@pytest.mark.live
def test_before_python_3_11_the_whole_line_is_told(tmp_path):
    """There, a code object knows no columns; a stand-in for one is given here."""
    path = tmp_path / "old.py"
    path.write_text("first = 1\n    x = time.sleep(1); y = 2\n")

    class OldCode:
        co_filename = str(path)
        co_name = "handler"
        co_code = bytes(2)

    old: Any = OldCode()
    described = whereabouts.described(whereabouts.Line(old, 0, 2))

    assert described == ("old.py:2", "x = time.sleep(1); y = 2")


LIBRARY = f"""
import time
class Answer:
    def get(self, *_):
        time.sleep({HOLD})
        return 1
    __len__ = __getitem__ = __contains__ = __add__ = get
    data = property(get)
"""


@pytest.mark.live
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("answer.data", "get()"),
        ("len(answer)", "get()"),
        ("answer['key']", "get()"),
        ("'key' in answer", "get()"),
        ("answer + 1", "get()"),
        ("for _ in slow: pass", "next(slow)"),
        ("table = [time.sleep]; table[0](0.25)", "table[0](0.25)"),
    ],
)
def test_what_blocks_and_is_no_call_by_name_is_told_all_the_same(tmp_path, statement, told):
    (tmp_path / "site-packages").mkdir()
    library = module_of(tmp_path / "site-packages" / "library.py", LIBRARY)
    head = "import time\nfrom fiberlab import WAIT\ndef handler(answer, slow):\n    yield WAIT(0)\n"
    module = module_of(tmp_path / "shape.py", f"{head}    {statement}\n")

    [(src, func), *_] = places(module.handler(library.Answer(), map(time.sleep, [HOLD])))

    assert src == "shape.py:5"
    assert func.endswith(told)
    assert called(func)


@pytest.mark.live
@pytest.mark.skipif(sys.version_info < (3, 11), reason="there, no place of a call is known")
@pytest.mark.parametrize("shown", [None, "# edited since\n" * 3])
def test_what_is_called_is_known_where_there_is_no_source_or_another(tmp_path, shown):
    path, names = tmp_path / "gone.py", {"time": time, "WAIT": WAIT}
    source = f"def handler():\n    yield WAIT(0)\n    time.sleep({HOLD})\n"
    exec(compile(source, path, "exec"), names)
    if shown is not None:
        path.write_text(shown, encoding="utf-8")
    handler: Any = names["handler"]

    assert places(handler()) == [("gone.py:3", "time.sleep(...)")]


# -- Who holds the interpreter's lock -----------------------------------------


@pytest.mark.live
def test_a_regular_expression_that_holds_the_lock_is_found_at_its_line():
    text = hard(HOLD)

    def first():
        re.match(r"(a+)+$", text)
        yield WAIT(0)

    def later():
        yield WAIT(0.1)
        re.match(r"(a+)+$", text)

    def asleep():
        yield WAIT(1.5)  # for so long that the watchdog sleeps
        re.match(r"(a+)+$", text)

    for function in (first, later, asleep):
        found = {src for src, _ in places(function())}

        assert found == {f"test_watchdog.py:{line_of(function, 're.match')}"}, function


@pytest.mark.live
def test_an_operator_that_holds_the_lock_never_blames_another_line():
    exponent = 200_000
    while True:
        began = time.thread_time()
        _ = 7**exponent
        if time.thread_time() - began >= HOLD:
            break
        exponent *= 2

    def handler():
        yield WAIT(0)
        number = 7**exponent
        one = number and 1
        yield WAIT(one * 0)

    found = {src for src, _ in places(handler())}

    assert found <= {f"test_watchdog.py:{line_of(handler, '7**exponent')}"}


# -- What is told of it -------------------------------------------------------


@pytest.mark.live
def test_a_step_is_seen_after_once_and_ten_times_the_threshold():
    def handler():
        yield WAIT(0)
        time.sleep(0.4)

    seen = [event.ran for event in stalls(handler(), stall_after=0.02)]

    assert len(seen) == 2
    assert 20e6 <= seen[0] < 200e6 <= seen[1] <= 500e6


@pytest.mark.live
def test_a_sighting_lies_within_the_step_it_is_told_of():
    def handler():
        for _ in range(5):
            yield WAIT(0.01)
            time.sleep(0.1)

    trace = Trace()
    scheduler = Scheduler(trace=trace)
    for _ in range(2):
        scheduler.add(handler())
    scheduler.run()

    began: dict[int, int] = {}
    told = []
    for event in trace:
        if event.ev == "resume":
            began[event.fid] = event.t
        elif event.ev == "stall":
            told.append(event.fid)
            assert event.t - event.ran == began[event.fid]
    assert sorted(told) == [1] * 5 + [2] * 5


@pytest.mark.live
def test_short_steps_and_long_polls_are_not_seen():
    def handler():
        for _ in range(10):
            time.sleep(0.005)
            yield WAIT(0.05)

    assert stalls(handler(), stall_after=0.5) == []


@pytest.mark.live
def test_two_schedulers_in_two_threads_see_their_own_steps():
    found: dict[str, Any] = {}

    def one():
        yield WAIT(0)
        time.sleep(HOLD)

    def two():
        yield WAIT(0)
        time.sleep(HOLD)

    threads = [
        threading.Thread(target=lambda f=f: found.update({f.__name__: places(f())}))
        for f in (one, two)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {name: [src for src, _ in seen] for name, seen in found.items()} == {
        f.__name__: [f"test_watchdog.py:{line_of(f, 'sleep')}"] for f in (one, two)
    }


def test_simulated_time_has_no_watchdog():
    network = SimulatedNetwork()
    trace = Trace(stall_after=0.001)

    def handler():
        network.clock.burn(5)
        yield WAIT(0)

    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    scheduler.add(handler())
    before = threading.active_count()
    scheduler.run()

    assert threading.active_count() == before
    assert [event for event in trace if event.ev == "stall"] == []


# -- The thread ---------------------------------------------------------------


@pytest.mark.live
def test_the_watchdog_ends_with_its_run_however_that_is_left():
    def handler():
        yield WAIT(0)
        raise KeyboardInterrupt

    scheduler, before = Scheduler(trace=Trace()), set(threading.enumerate())
    scheduler.add(handler())
    with pytest.raises(KeyboardInterrupt):
        scheduler.run()

    assert [t.name for t in threading.enumerate() if t not in before] == []


@pytest.mark.live
def test_an_idle_watchdog_sleeps_until_it_is_called():
    step: list[int | None] = [None]
    dog = Watchdog(lambda: step[0], stall_after=0.02)
    dog.start()
    try:
        limit = time.monotonic() + 10
        while not dog.asleep and time.monotonic() < limit:
            time.sleep(0.01)
        slept = dog.asleep
        began = step[0] = time.perf_counter_ns()
        dog.awaken()
        time.sleep(HOLD)
        step[0] = None
        seen = dog.seen_between(began, time.perf_counter_ns())
    finally:
        dog.stop()

    assert slept
    assert {each.func.split("(")[0] for each in seen} == {"time.sleep"}


@pytest.mark.live
def test_an_idle_loop_with_a_watchdog_costs_no_processor_time():
    program = (
        "import time\n"
        "from fiberlab import *\n"
        "def idle():\n"
        "    yield WAIT(1.5)\n"  # the watchdog goes to sleep after one
        "    began = time.process_time()\n"
        "    yield WAIT(2)\n"
        "    print(time.process_time() - began)\n"
        "scheduler = Scheduler(trace=Trace())\n"
        "scheduler.add(idle())\n"
        "scheduler.run()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert float(ran.stdout) < 0.1


@pytest.mark.parametrize(
    ("row", "rest"),
    [
        ("    time.sleep(0.2)  # holds the loop", "time.sleep(0.2)"),
        ('    print("# no comment")', 'print("# no comment")'),
        ("    rows = [  # goes on below", "rows = ["),
        ("    '''# begins a text", "'''# begins a text"),
    ],
)
def test_a_line_is_told_without_its_comment(row, rest):
    assert whereabouts.without_comment(row).strip() == rest


def test_a_watchdog_that_has_not_begun_can_be_stopped():
    watchdog = Watchdog(lambda: None, 1.0)
    watchdog.stop()  # as when ^C comes between its making and its start

    assert watchdog.seen_between(0, 1) == []


def test_a_file_is_the_packages_own_by_any_path_but_no_neighbours_is(tmp_path):
    package = Path(inspect.getfile(Scheduler)).parent
    (tmp_path / "link").symlink_to(package)
    files = [
        package / "fiber.py",
        tmp_path / "link" / "fiber.py",
        f"{package}2/fiber.py",
        "<stdin>",
    ]

    assert [whereabouts.in_package(str(each)) for each in files] == [True, True, False, False]

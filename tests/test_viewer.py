"""The viewer's side in Python: what is said of each event, what is packed, what a page holds."""

from __future__ import annotations

import json
import linecache
import os
import struct
import zlib
from itertools import accumulate
from pathlib import Path

import pytest

from fiberlab import RECV, SEND, WAIT, Scheduler, SimulatedNetwork, Trace, write_html
from fiberlab.commands.cli import main
from fiberlab.spans.build import build_spans
from fiberlab.trace.events import EventKind, TraceEvent
from fiberlab.viewer.picture import pack
from fiberlab.viewer.sentences import passes, sentence, tell

pytestmark = pytest.mark.once

DATA = Path(__file__).resolve().parent.parent / "data"


def unpacked(picture: bytes) -> tuple[dict, dict[str, tuple]]:
    """Return the headers and the columns of a picture, as the format is described."""
    length = int.from_bytes(picture[:4], "little")
    header, columns = {}, {}
    for part in (picture[4 : 4 + length], picture[4 + length :]):
        raw = zlib.decompress(part)
        at = 4 + int.from_bytes(raw[:4], "little")
        header.update(json.loads(raw[4:at]))
        for name, kind, count, steps in header["columns"]:
            at += -at % 8
            size = struct.calcsize(kind) * count
            numbers = struct.unpack(f"{count}{kind}", raw[at : at + size])
            columns[name] = tuple(accumulate(numbers)) if steps else numbers
            at += size
    return header, columns


def told(trace: Trace) -> list[str]:
    spans = build_spans(trace)
    names = {life.id: life.name for life in spans.lives}
    return [sentence(each, names) for each in tell(spans)]


def simulated(*generators, **options) -> Trace:
    network, trace = SimulatedNetwork(), Trace()
    scheduler = Scheduler(None, trace, clock=network.clock, poller=network, **options)
    for make in generators:
        scheduler.add(make(network))
    scheduler.run()
    return trace


def test_each_event_is_told_with_its_reason():
    def ping(network):
        a, b = network.socketpair(latency=0.002)

        def sender():
            yield WAIT(0.001)
            network.clock.burn(0.001)
            yield SEND(a)
            a.send(b"x")

        yield WAIT(0)
        start_sender(sender)
        yield RECV(b)

    def start_sender(sender):
        from fiberlab import start

        start(sender())

    assert told(simulated(ping)) == [
        "The run begins.",
        "ping-1 was added to the scheduler.",
        "ping-1 is new, so it joins the run queue, which now holds 1.",
        "ping-1 was first in the run queue, so it runs; still in the queue: 0.",
        "ping-1 ran for 0 µs, and lets the other ready fibers go first.",
        "ping-1 stands behind the fibers that were ready before it; the run queue now holds 1.",
        "ping-1 was first in the run queue, so it runs; still in the queue: 0.",
        "ping-1 has started sender-2.",
        "sender-2 is new, so it joins the run queue, which now holds 1.",
        "ping-1 ran for 0 µs, and waits until data comes on socket 1000000001.",
        "Some fibers are ready, so the scheduler only looks at the sockets: 1 of them.",
        "The scheduler has asked its sockets. Fibers that can go on: 0.",
        "sender-2 was first in the run queue, so it runs; still in the queue: 0.",
        "sender-2 sleeps for 1.0 ms from now on.",
        "No fiber is ready: the scheduler waits for its sockets, 1 of them, until the next"
        " deadline, at most 1.0 ms.",
        "The scheduler has asked its sockets. Fibers that can go on: 0.",
        "The sleep of sender-2 is over: it joins the run queue, which now holds 1.",
        "sender-2 was first in the run queue, so it runs; still in the queue: 0.",
        "sender-2 ran for 1.0 ms, and waits until there is room to send on socket 1000000000.",
        "There is room already, but nothing is resumed in place: sender-2 goes to the end of the"
        " run queue, which now holds 1.",
        "Some fibers are ready, so the scheduler only looks at the sockets: 1 of them.",
        "The scheduler has asked its sockets. Fibers that can go on: 0.",
        "sender-2 was first in the run queue, so it runs; still in the queue: 0.",
        "sender-2 ran for 0 µs and returned: it is done.",
        "No fiber is ready and none sleeps: the scheduler waits for its sockets, 1 of them.",
        "The scheduler has asked its sockets. Fibers that can go on: 1.",
        "Data has come for ping-1, or its peer has left: it joins the run queue, which now holds"
        " 1.",
        "ping-1 was first in the run queue, so it runs; still in the queue: 0.",
        "ping-1 ran for 0 µs and returned: it is done.",
        "The run ends: done.",
    ]


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        ({"op": "SLEEP"}, "a sleeps from now on; for how long is not known."),
        ({"op": "unknown"}, "a ran for 1 µs; what it waits for could not be told."),
        ({"op": "invalid"}, "a ran for 1 µs and yielded what no fiber may: its wait was refused."),
        ({"op": "WAIT"}, "a ran for 1 µs, and is parked until another fiber has run."),
    ],
)
def test_what_other_schedulers_record_is_told_too(wait, said):
    events = [
        TraceEvent(0, EventKind.SPAWN, 1, {"name": "a", "by": 0}),
        TraceEvent(0, EventKind.WAKE, 1, {"by": 0, "why": "spawn", "q": 1}),
        TraceEvent(0, EventKind.RESUME, 1, {"step": 1, "q": 0}),
        TraceEvent(1000, EventKind.YIELD, 1, wait),
    ]

    assert told(events)[3] == said


def test_a_scheduler_without_sockets_sleeps_until_the_next_deadline():
    def nap(_network):
        yield WAIT(0.5)

    assert told(simulated(nap))[5] == (
        "No fiber is ready and none waits on a socket: the scheduler sleeps until the next"
        " deadline, at most 500 ms."
    )


def test_a_fiber_that_overtakes_the_first_was_chosen():
    class Last(list):
        popleft = list.pop

    def quiet(_network):
        yield WAIT(0)

    first = told(simulated(quiet, quiet, run_queue=Last()))[5]

    assert first == "quiet-2 was chosen from the run queue, so it runs; still in the queue: 1."


def test_a_pass_begins_where_the_scheduler_began_it():
    trace, begun = Trace(), []

    class Noting(Scheduler):
        def run_ready(self):
            before = len(trace)
            super().run_ready()
            if any(event.ev == "resume" for event in list(trace)[before:]):
                begun.append(before)

    def taking_turns(turns):
        for turn in range(turns):
            yield (WAIT(0), WAIT(0.001), WAIT(None))[(turn * turns) % 3]

    network = SimulatedNetwork()
    scheduler = Noting(None, trace, clock=network.clock, poller=network)
    for turns in range(2, 9):
        scheduler.add(taking_turns(turns))
    scheduler.run()

    assert len(begun) > 5
    assert list(passes(build_spans(trace))) == begun


@pytest.mark.parametrize("path", sorted(DATA.glob("*.jsonl*")), ids=lambda path: path.name)
def test_a_picture_holds_the_columns_of_the_spans(path):
    spans = build_spans(Trace.load(path))

    header, columns = unpacked(pack(spans))

    rows = [header["fibers"][row]["id"] for row in columns["row"]]
    assert rows == [spans.lives[row].id for row in spans.row]
    assert columns["state"] == tuple(spans.state)
    assert columns["start"] == tuple(spans.start)
    assert columns["first"] == tuple(spans.first)
    assert columns["eventTime"] == tuple(row[0] for row in spans.rows)


def test_numbers_of_any_size_are_packed():
    events = [
        TraceEvent(0, EventKind.SPAWN, 1, {"name": "a", "by": 0}),
        TraceEvent(0, EventKind.WAKE, 1, {"by": 0, "why": "spawn", "q": 2**62}),
        TraceEvent(1, EventKind.RESUME, 1, {"step": 1, "q": 2**62}),
        TraceEvent(2, EventKind.YIELD, 1, {"op": "WAIT", "dt": 10**400}),
        TraceEvent(3, EventKind.STOP, 0, {"reason": "stopped", "dropped": 0}),
    ]

    _, columns = unpacked(pack(events))

    assert columns["eventTook"][3] == 2.0**62


def test_texts_of_any_length_are_cut():
    long = "x" * 10**6
    events = [
        TraceEvent(0, EventKind.SPAWN, 1, {"name": long, "by": 0, "src": f"{long}.py:1"}),
        TraceEvent(0, EventKind.WAKE, 1, {"by": 0, "why": "spawn", "q": 1}),
        TraceEvent(0, EventKind.RESUME, 1, {"step": 1, "q": 0}),
        TraceEvent(1, EventKind.OUTPUT, 1, {"text": long, "stream": "stdout"}),
        TraceEvent(2, EventKind.MARK, 1, {"name": long, "ph": "i"}),
        TraceEvent(3, EventKind.EXIT, 1, {"how": "error", "err": long, "src": long}),
    ]

    assert len(json.dumps(unpacked(pack(events))[0])) < 20_000


@pytest.mark.parametrize(
    "name", ["../secret.py", "/etc/passwd", "..\\secret.py", "secret.txt", "", ".", "C:secret.py"]
)
def test_a_trace_cannot_ask_for_another_file_than_the_folders_python(tmp_path, name):
    (tmp_path / "secret.txt").write_text("hidden = 1\n")
    (tmp_path / "secret.py").write_text("hidden = 1\n")
    (tmp_path / "inner").mkdir()
    events = [TraceEvent(0, EventKind.SPAWN, 1, {"name": "a", "by": 0, "src": f"{name}:1"})]

    header, _ = unpacked(pack(events, source=True, folders=[tmp_path / "inner"]))

    assert [quoted for _, quoted in header["lines"]] == [[], []]


@pytest.mark.posix
def test_a_pipe_that_a_trace_names_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "own.py")
    events = [TraceEvent(0, EventKind.SPAWN, 1, {"name": "a", "by": 0, "src": "own.py:2"})]

    header, _ = unpacked(pack(events, source=True, folders=[tmp_path]))

    assert header["lines"][1] == ["own.py:2", []]


def test_the_source_is_in_the_picture_only_if_asked_for(tmp_path):
    (tmp_path / "own.py").write_text("first = 1\nsecond = 2\n")
    events = [TraceEvent(0, EventKind.SPAWN, 1, {"name": "a", "by": 0, "src": "own.py:2"})]

    without, _ = unpacked(pack(events, folders=[tmp_path]))
    with_it, _ = unpacked(pack(events, source=True, folders=[tmp_path]))

    assert without["lines"] == [["", []], ["own.py:2", []]]
    assert with_it["lines"] == [["", []], ["own.py:2", [[1, "first = 1"], [2, "second = 2"]]]]


def test_the_source_of_a_run_of_this_process_needs_no_folder():
    def here(_network):
        yield WAIT(0)  # this line

    header, _ = unpacked(pack(simulated(here), source=True))

    assert any("this line" in text for _, lines in header["lines"] for _, text in lines)


def test_two_cells_of_a_notebook_are_told_apart():
    made = {}
    for number in (1, 2):
        name, text = (
            f"/tmp/ipykernel_1/{number}.py",
            f"def cell(_):\n    yield WAIT(0)  # {number}\n",
        )
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        exec(compile(text, name, "exec"), {"WAIT": WAIT}, made)
        made[number] = made["cell"]

    header, _ = unpacked(pack(simulated(made[1], made[2]), source=True))

    quoted = [
        [text for _, text in lines] for place, lines in header["lines"] if place == "<cell>:2"
    ]
    assert [lines[1].strip() for lines in quoted] == ["yield WAIT(0)  # 1", "yield WAIT(0)  # 2"]


def test_a_page_holds_no_text_of_a_trace_but_packed(tmp_path):
    name = "</script><script>alert(1)</script>"
    events = [TraceEvent(0, EventKind.SPAWN, 1, {"name": name, "by": 0})]
    path = tmp_path / "page.html"

    write_html(events, path, titles=[name])

    text = path.read_text("utf-8")
    assert "alert(1)</script>" not in text
    assert text.count("<script") == 2


def test_the_command_writes_a_page_beside_the_trace(tmp_path, capsys):
    trace = tmp_path / "run.fiber.jsonl"
    trace.write_bytes((DATA / "blocker.fiber.jsonl").read_bytes())

    code = main(["view", str(trace), "--source"])

    page = tmp_path / "run.html"
    assert (code, capsys.readouterr().out) == (0, f"open it in a browser: {page}\n")
    assert page.read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["view", "missing.jsonl"], "missing.jsonl: No such file"),
        (["view", "TRACE", "-o", "TRACE"], "which would be overwritten"),
        (["view", "TRACE", "missing.jsonl"], "missing.jsonl: No such file"),
        (["view", "TRACE", "-o", "nowhere/page.html"], "cannot be written here"),
    ],
)
def test_what_cannot_be_viewed_is_one_line(tmp_path, capsys, arguments, said):
    trace = tmp_path / "run.fiber.jsonl"
    trace.write_bytes((DATA / "blocker.fiber.jsonl").read_bytes())

    code = main([str(trace) if each == "TRACE" else each for each in arguments])

    [line] = capsys.readouterr().err.splitlines()
    assert (code, said in line) == (2, True)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_on_a_dark_page_each_look_stands_out_from_the_ground():
    header, _ = unpacked(pack([]))
    ground = luminance("#1b1b1d")
    faint = {
        name
        for name, look in header["looks"].items()
        if name != "stacked"
        and max(luminance(each) for each in look["dark"] if each != "none") + 0.05
        < 3 * (ground + 0.05)
    }

    assert faint == set()

"""The recorder, its events, and their file: bounded, honest about what it dropped, readable."""

from __future__ import annotations

import copy
import gzip
import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiberlab.errors import TraceError
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.trace import Trace, events
from fiberlab.trace.events import FIELDS, EventKind, TraceEvent
from fiberlab.waits import RECV, WAIT


def recorded(**options):
    """Return the trace of a small run in simulated time."""
    trace = Trace(**options)
    network = SimulatedNetwork()
    scheduler = Scheduler(
        2, trace, clock=network.clock, poller=network, output="withheld", file=Nowhere()
    )
    left, right = network.socketpair()

    def prints():
        print("caf\xe9 \u20ac \x1b[2J \udc80")
        yield WAIT(1)
        right.send(b"x")
        yield WAIT(None)

    def fails():
        yield RECV(left)
        yield WAIT(0)
        raise ValueError("no \U0001f600")

    scheduler.add(prints(), "\u20ac")
    scheduler.add(fails())
    scheduler.run()
    return trace


class Nowhere:
    """A file that keeps nothing."""

    def write(self, text):
        return len(text)

    def flush(self):
        pass


START = TraceEvent(0, EventKind.START, 0, {"schema": 1, "clock": "simulated", "unit": "ns"})


def spawned(number):
    """Return the event of a fiber's birth."""
    return TraceEvent(number, EventKind.SPAWN, number, {"name": f"f-{number}", "by": 0})


# -- Events -------------------------------------------------------------------


def test_a_list_is_a_whole_recorder(scheduler, events):
    scheduler.run()

    assert [event.ev for event in events] == ["start", "stop"]


def test_print_is_a_whole_tracer(network, clock, capsys):
    def fiber():
        yield WAIT(1)

    scheduler = Scheduler(trace=print, clock=clock, poller=network)
    scheduler.add(fiber(), "f")
    scheduler.run()

    kinds = [line.split()[4] for line in capsys.readouterr().out.splitlines()]
    assert kinds == [
        "start", "spawn", "wake", "resume", "yield", "poll", "polled", "wake", "resume", "exit",
        "stop",
    ]  # fmt: skip


def test_an_event_is_a_named_tuple_whose_fields_are_attributes_too():
    event = TraceEvent(5, EventKind.WAKE, 3, {"by": 1, "why": "io", "q": 2})
    t, ev, fid, fields = event

    assert (t, ev, fid, fields) == (5, "wake", 3, {"by": 1, "why": "io", "q": 2})
    assert (event.why, event.q, event.late) == ("io", 2, None)


def test_a_field_of_another_kind_is_refused_with_those_there_are():
    with pytest.raises(AttributeError, match="a spawn event has no field 'q'; it has name, by"):
        _ = spawned(1).q


def test_an_event_is_told_on_one_line():
    event = TraceEvent(1_500_000, EventKind.EXIT, 2, {"how": "error", "err": "ValueError: no"})

    assert str(event) == "     1.500 ms  fiber 2  exit    how=error err=ValueError: no"


def test_events_can_be_copied_and_pickled():
    event = spawned(1)

    assert copy.copy(event) == copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event


def test_there_are_twelve_kinds_and_each_is_its_text():
    assert [f"{kind}" for kind in EventKind] == [
        *("start", "spawn", "wake", "resume", "yield", "exit", "poll", "polled"),
        *("stall", "output", "mark", "stop"),
    ]


def test_an_event_survives_the_way_through_a_row():
    trace = recorded()

    assert [TraceEvent.from_row(event.to_row()) for event in trace] == list(trace)


# -- The recorder -------------------------------------------------------------


def test_a_trace_has_a_readable_repr():
    trace = recorded()

    assert repr(trace) == f"<Trace: {len(trace)} events of 2 fibers in 1.000 s>"


def test_the_header_tells_no_wall_time_of_a_simulated_run():
    header = recorded().header

    assert header == {"schema": 1, "clock": "simulated", "unit": "ns", "source": "fiberlab"}


def test_the_header_of_a_real_run_tells_when_and_by_which_python():
    trace = Trace()
    Scheduler(trace=trace).run()

    assert {"python", "wall"} <= set(trace.header)


def test_a_trace_is_bounded_and_counts_what_it_dropped():
    trace = Trace(limit=100)
    trace(START)
    trace(spawned(1))
    for moment in range(10_000):
        trace(TraceEvent(moment, EventKind.POLLED, 0, {"n": 0}))

    assert len(trace) <= 130
    assert len(trace) + trace.dropped == 10_002


def test_start_and_spawn_survive_an_overflow():
    trace = Trace(limit=100)
    trace(START)
    for number in range(1, 51):
        trace(spawned(number))
    for moment in range(10_000):
        trace(TraceEvent(moment, EventKind.POLLED, 0, {"n": 0}))
    kinds = [event.ev for event in trace]

    assert kinds[:51] == ["start"] + ["spawn"] * 50
    assert set(kinds[51:]) == {"polled"}


def test_an_overflow_of_spawns_is_bounded_and_counted_too():
    trace = Trace(limit=10)
    trace(START)
    for number in range(1, 1001):
        trace(spawned(number))

    assert len(trace) <= 30
    assert (next(iter(trace)).ev, len(trace) + trace.dropped) == ("start", 1001)


def test_a_run_that_overflows_tells_at_its_stop_what_was_dropped(tmp_path):
    trace = Trace(limit=20)
    network = SimulatedNetwork()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)

    def sleeps():
        for _ in range(100):
            yield WAIT(1)

    scheduler.add(sleeps())
    scheduler.run()
    trace.save(tmp_path / "trace")

    assert [*trace][-1].dropped == trace.dropped > 300
    assert Trace.load(tmp_path / "trace").dropped == trace.dropped


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": -1}, {"stall_after": 0}, {"stall_after": -1}]
)
def test_limits_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError):
        Trace(**options)


# -- The file -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["trace.fiber.jsonl", "trace.fiber.jsonl.gz"])
def test_a_trace_survives_a_round_trip_to_disk(tmp_path, name):
    trace = recorded()
    trace.save(tmp_path / name)
    loaded = Trace.load(tmp_path / name)

    assert (loaded == trace, loaded.unfinished, len(loaded)) == (True, False, len(trace))


def test_saving_again_gives_the_same_bytes(tmp_path):
    recorded().save(tmp_path / "first")
    Trace.load(tmp_path / "first").save(tmp_path / "second")

    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_file_is_one_json_object_a_line_and_the_header_first(tmp_path):
    trace = recorded()
    trace.save(tmp_path / "trace")
    lines = [json.loads(line) for line in (tmp_path / "trace").read_text("utf-8").splitlines()]

    assert [line["ev"] for line in lines] == [event.ev for event in trace]
    assert lines[0]["schema"] == 1
    assert all({"t", "ev", "fid"} <= set(line) for line in lines)


def cut_at_each_byte(tmp_path, name):
    """Save a trace, and load it cut off after each of its bytes; return what came of it."""
    trace = recorded()
    whole = tmp_path / name
    trace.save(whole)
    data, outcomes = whole.read_bytes(), []
    for size in range(len(data)):
        path = tmp_path / f"cut-{name}"
        path.write_bytes(data[:size])
        try:
            loaded = Trace.load(path)
        except TraceError as error:
            outcomes.append("no header" if " line 1: " in str(error) else str(error))
        else:
            assert list(loaded) == list(trace)[: len(loaded)]
            outcomes.append("whole" if not loaded.unfinished else "unfinished")
    return outcomes


@pytest.mark.once
def test_a_file_that_was_cut_off_anywhere_loads_once_it_has_its_header(tmp_path):
    outcomes = cut_at_each_byte(tmp_path, "trace.jsonl")
    header = outcomes.index("unfinished")

    assert set(outcomes[:header]) == {"no header"}
    assert set(outcomes[header:-1]) == {"unfinished"}


@pytest.mark.once
def test_a_compressed_file_that_was_cut_off_anywhere_loads_or_says_why_not(tmp_path):
    outcomes = cut_at_each_byte(tmp_path, "trace.jsonl.gz")

    assert "unfinished" in outcomes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("hello", "line 2"),
        ("[1, 2]", "line 2"),
        ('{"t":1,"fid":1}', "line 2"),
        ('{"t":"1","ev":"wake","fid":1}', "line 2"),
        ('{"t":-1,"ev":"wake","fid":1}', "line 2"),
        ('{"t":1,"ev":"spawn","fid":true}', "line 2"),
        ('{"t":1,"ev":"spawn","fid":1,"src":5}', "line 2"),
        ('{"t":1,"ev":"spawn","fid":1,"src":[1,2]}', "line 2"),
        ("[" * 100_000, "line 2"),
        ("\x00\x01", "line 2"),
    ],
    ids=range(10),
)
def test_a_file_damaged_before_its_end_gets_an_error_that_names_the_line(tmp_path, line, words):
    path = tmp_path / "trace.jsonl"
    stop = '{"t":3,"ev":"stop","fid":0,"reason":"done","dropped":0}\n'
    start = '{"t":0,"ev":"start","fid":0,"schema":1,"clock":"simulated","unit":"ns"}\n'
    path.write_text(f"{start}{line}\n{stop}", "utf-8")

    with pytest.raises(TraceError, match=rf"trace\.jsonl {words}: "):
        list(Trace.load(path))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n\x00\x00",
        b"hello\n",
        b'{"t":0,"ev":"stop","fid":0}\n',
        b"\xff\n" * 5,
    ],
    ids=["empty", "png", "text", "no start", "not utf-8"],
)
@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_a_file_that_is_no_trace_gets_an_error_that_names_the_line(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(TraceError, match=rf"{name} line 1: "):
        Trace.load(tmp_path / name)


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text('{"t":0,"ev":"start","fid":0,"schema":99}\n')

    with pytest.raises(TraceError, match="schema 99; this fiberlab reads up to 1"):
        Trace.load(path)


def test_kinds_and_fields_that_are_not_known_are_ignored(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(
        '{"t":0,"ev":"start","fid":0,"schema":1,"colour":"red"}\n'
        '{"t":1,"ev":"nova","fid":0}\n'
        '{"t":2,"ev":"stop","fid":0,"reason":"done","dropped":0}\n'
    )

    assert [(event.ev, event.t) for event in Trace.load(path)] == [("start", 0), ("stop", 2)]


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a trace's file, and a place to put damaged ones."""
    folder = tmp_path_factory.mktemp("damaged")
    recorded().save(folder / "whole.jsonl")
    return (folder / "whole.jsonl").read_bytes(), folder


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(st.data())
def test_a_damaged_file_loads_or_is_refused_with_the_line_and_never_worse(whole, data):
    content, folder = whole
    packed = data.draw(st.booleans())
    content = bytearray(gzip.compress(content, mtime=0) if packed else content)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path = folder / ("damaged.jsonl.gz" if packed else "damaged.jsonl")
    path.write_bytes(content)
    try:
        loaded = Trace.load(path)
        [str(event) for event in loaded]
        loaded.save(folder / "again")
        again = Trace.load(folder / "again")
    except TraceError as error:
        refusal, again, loaded = str(error), None, None
    else:
        refusal = ""

    assert again == loaded
    assert not refusal or " line " in refusal


def test_each_field_of_a_row_is_read_by_its_name():
    kinds = {each.__name__.lower(): each for each in (
        events.SPAWN, events.WAKE, events.RESUME, events.YIELD, events.EXIT, events.POLL,
        events.POLLED, events.OUTPUT, events.MARK, events.STOP,
    )}  # fmt: skip
    named = {
        kind: {name.lower(): at for name, at in vars(each).items() if name.isupper()}
        for kind, each in kinds.items()
    }

    assert named == {
        kind: {field: at for at, field in enumerate(FIELDS[kind], start=3)} for kind in kinds
    }

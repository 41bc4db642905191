"""Packed rows: what is put in comes out, and it is small."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_spans import event, stories

from fiberlab.diagnosis.diagnose import diagnose
from fiberlab.scheduler import Scheduler
from fiberlab.sockets import Steps
from fiberlab.spans.build import build_spans
from fiberlab.trace.events import FIELDS, Row
from fiberlab.trace.packed import PackedRows, Table
from fiberlab.trace.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT

pytestmark = pytest.mark.once


def packed(rows: list[Row]) -> PackedRows:
    made = PackedRows()
    for row in rows:
        made.append(row)
    return made


values = st.one_of(
    st.none(), st.integers(-1, 9), st.integers(0, 2**63 - 1), st.integers(2**63, 2**100),
    st.text(max_size=3), st.dictionaries(st.text(max_size=2), st.integers()),
)  # fmt: skip
rows_of_a_kind = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda ev: st.tuples(
        st.integers(0, 2**63 - 1), st.just(ev), st.integers(0, 9), *[values for _ in FIELDS[ev]]
    )
)


@pytest.mark.parametrize("times", [1, 400])
@given(rows=st.lists(rows_of_a_kind, max_size=8), tail=st.lists(rows_of_a_kind, max_size=3))
def test_what_is_put_in_comes_out_by_index_slice_and_iteration(times, rows, tail):
    rows = rows * times + tail  # many, so that some are in columns and some are not yet
    made = packed(rows)

    assert len(made) == len(rows)
    assert [made[i] for i in range(-len(rows), len(rows), max(1, times // 7))] == [
        rows[i] for i in range(-len(rows), len(rows), max(1, times // 7))
    ]
    assert list(made) == rows
    assert list(reversed(made))[:20] == rows[::-1][:20]
    assert made[1:9:2] == rows[1:9:2]
    assert [type(value) for value in made[-1]] == [type(v) for v in rows[-1]] if rows else True


def test_there_is_no_row_beyond_the_last():
    made = packed([(0, "polled", 0, 1)])

    for index in (1, -2):
        with pytest.raises(IndexError):
            made[index]


class Pair(NamedTuple):
    """Something of two."""

    left: Any
    right: Any


def test_a_table_is_like_a_list_of_what_it_was_given():
    pairs = [Pair(n, None if n % 3 else "x") for n in range(2_500)]
    table = Table(2, Pair._make)
    for pair in pairs:
        table.append(pair)

    assert table == pairs
    assert (table[7].right, table[-1].left, table[2:4]) == (None, 2_499, pairs[2:4])
    assert table != pairs[1:]
    assert table != 1


@given(stories())
def test_a_loaded_trace_gives_the_spans_of_the_recorded_one(tmp_path_factory, events):
    path = tmp_path_factory.getbasetemp() / "packed.fiber.jsonl"
    trace = Trace()
    for each in events:
        trace(each)
    trace.save(path)
    again = Trace.load(path)

    assert list(build_spans(again)) == list(build_spans(trace))
    assert list(build_spans(again).polls) == list(build_spans(trace).polls)
    assert str(diagnose(again, most=None)) == str(diagnose(trace, most=None))


def test_a_loaded_trace_can_be_gone_on_with(tmp_path):
    trace = Trace()
    for each in (event(0, "start", schema=1), event(1, "polled", n=0)):
        trace(each)
    trace.save(tmp_path / "run")
    again = Trace.load(tmp_path / "run")
    again.limit = 2
    for t in (2, 3):
        again(event(t, "polled", n=t))

    assert [(each.t, each.ev) for each in again] == [(0, "start"), (2, "polled"), (3, "polled")]
    assert again.dropped == 1


def an_echo(network: Any, requests: int) -> Trace:
    """Return what ten clients and their server do, with all that can be measured."""
    trace = Trace(limit=10**6, cpu=True, hidden=True)
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)

    def serve(sock: Any, _address: Any) -> Steps[None]:
        yield RECV(sock)
        while data := sock.recv(100):
            network.clock.burn(20e-6)
            yield SEND(sock)
            sock.send(data)
            yield RECV(sock)

    def client(number: int) -> Steps[None]:
        nonlocal left
        sock = network.connect(address)
        for turn in range(requests):
            yield SEND(sock)
            sock.send(b"x")
            yield RECV(sock)
            sock.recv(100)
            yield WAIT(0.0003 * (number + 1) + turn % 7 * 1e-5)
        sock.close()
        left -= 1
        if not left:
            scheduler.stop()

    left = 10
    address = scheduler.listen(serve)
    for number in range(left):
        scheduler.add(client(number))
    scheduler.run()
    return trace


@pytest.mark.once
def test_an_event_takes_150_bytes_from_the_file_to_the_diagnosis(tmp_path, network):
    path = tmp_path / "large.fiber.jsonl"
    an_echo(network, requests=150).save(path)
    gc.collect()
    tracemalloc.start()
    try:
        trace = Trace.load(path)
        diagnose(build_spans(trace))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(trace) > 30_000
    assert peak / len(trace) < 150  # about 90; it was 290 with a tuple for each

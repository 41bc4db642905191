"""What a trace costs besides time to record: to hold, to draw, to save and to load.

The rule kept here: the same spans, or lines, go to both sides of a comparison, and what comes
back from disk is compared with what was saved.
"""

from __future__ import annotations

import gc
import io
import itertools
import json
import socket
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fiberlab import RECV, WAIT, Scheduler, Trace, build_spans

FIBERS = 100
PATH_ENDS = ".fiber.jsonl"


def make_trace(events: int) -> Trace:
    """Return a trace of so many events: FIBERS fibers that receive, send and take turns."""
    code = make_trace.__code__
    rows: list[tuple[Any, ...]] = [(0, "start", 0, 1, "perf_counter", "ns", None, None, "bench")]
    for fiber in range(1, FIBERS + 1):
        rows.append((fiber, "spawn", fiber, f"echo-{fiber}", 0, None))
        rows.append((fiber, "wake", fiber, 0, "spawn", fiber, None, None))
    t = rows[-1][0]
    for step in range(events):
        fiber = step % FIBERS + 1
        op, fileno, late = ("RECV", fiber + 5, None) if step % 2 else ("WAIT", None, 12)
        rows.append((t + 100, "resume", fiber, step, 7))
        t += 9000 + step % 977
        rows.append((t, "yield", fiber, op, fileno, None, (code, 10), None))
        rows.append((t + 50, "wake", fiber, 0, "io", 7, late, None))
        if len(rows) >= events:
            break
    trace = Trace(limit=events)
    trace.rows = rows[:events]
    return trace


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    gc.collect()
    began = time.perf_counter()
    work()
    return {"cost": time.perf_counter() - began, "timed": True}


# -- Memory -------------------------------------------------------------------


def events(_name: str, count: int) -> dict[str, Any]:
    """Return the bytes that an event holds, in a trace of `count` of a real run."""
    fibers, rounds = 100, max(1, count // 600)

    def fiber(sock: Any) -> Iterator[Any]:
        for _ in range(rounds):
            yield WAIT(0)
            yield RECV(sock)

    trace = Trace(limit=2 * count)
    scheduler = Scheduler(trace=trace)
    ends = _ready_sockets(fibers)
    for ours, _ in ends:
        scheduler.add(fiber(ours))
    gc.collect()
    tracemalloc.start()
    scheduler.run()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    for sock in itertools.chain(*ends):
        sock.close()
    return {"cost": held / len(trace), "timed": False}


def _ready_sockets(count: int) -> list[tuple[Any, Any]]:
    """Return pairs of sockets; the first of each has something to receive, for ever."""
    pairs = [socket.socketpair() for _ in range(count)]
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.send(b"x")
    return pairs


# -- Drawing ------------------------------------------------------------------


def draw(name: str, count: int) -> dict[str, Any]:
    """Return the seconds from spans to a PNG, by plot_timeline or by bins and one image.

    Seconds of the processor: what else the machine does is not in them.
    """
    import matplotlib

    matplotlib.use("Agg")
    spans = build_spans(make_trace(round(count * 1.003)))
    work = _draw_bins if name == "limit" else _draw_timeline
    work(build_spans(make_trace(3000)))  # fonts are looked up the first time
    gc.collect()
    began = time.process_time()
    work(spans)
    return {"cost": time.process_time() - began, "timed": True}


def draw_each(name: str, count: int) -> dict[str, Any]:
    """Return the same for each span."""
    told = draw(name, count)
    return {"cost": told["cost"] / count, "timed": False}


def _draw_timeline(spans: Any) -> None:
    from fiberlab import plot_timeline

    _to_png(plot_timeline(spans))


def _draw_bins(spans: Any) -> None:
    """Count the nanoseconds of each state in each pixel with numpy, and show one image."""
    import numpy as np
    from matplotlib import pyplot as plt

    row, start, end = (np.asarray(column) for column in (spans.row, spans.start, spans.end))
    state = np.frombuffer(spans.state, "u1")
    width, height = 1000, len(spans.lives)
    pixel = (spans.finish + 1) / width
    amounts = np.zeros((8, height * width))
    for value in range(8):
        there = state == value
        # A span is counted where it begins and, if that is another pixel, where it ends.
        first, last = (start[there] // pixel).astype(int), (end[there] // pixel).astype(int)
        length = (end - start)[there]
        at = row[there] * width
        amounts[value] += np.bincount(at + first, length, height * width)
        more = last > first
        amounts[value] += np.bincount((at + last)[more], length[more], height * width)
    image = amounts.argmax(axis=0).reshape(height, width)
    _, ax = plt.subplots()
    ax.imshow(image, aspect="auto", interpolation="nearest")
    _to_png(ax)


def _to_png(ax: Any) -> None:
    from matplotlib import pyplot as plt

    ax.figure.savefig(io.BytesIO(), format="png")
    plt.close(ax.figure)


# -- Files --------------------------------------------------------------------


def save(name: str, count: int) -> dict[str, Any]:
    """Return the seconds to write a trace, by Trace.save or by json alone."""
    trace = make_trace(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a" + PATH_ENDS)
        trace.save(path)
        if name != "limit":
            return _timed(lambda: trace.save(path))
        told = [json.loads(line) for line in path.open(encoding="utf-8")]
        return _timed(lambda: _json_save(told, path))


def load(name: str, count: int) -> dict[str, Any]:
    """Return the seconds to read a trace, by Trace.load or by json alone."""
    trace = make_trace(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a" + PATH_ENDS)
        trace.save(path)
        if name == "limit":
            return _timed(lambda: _json_load(path))
        found: list[Trace] = []
        told = _timed(lambda: found.append(Trace.load(path)))
        if found[0] != trace:
            raise ValueError("what was loaded is not what was saved")
        return told


def _json_save(told: list[Any], path: Path) -> None:
    encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(encode(each) + "\n" for each in told)


def _json_load(path: Path) -> list[Any]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "events": events,
    "draw": draw,
    "draw_each": draw_each,
    "save": save,
    "load": load,
}
"""What ``bench.child`` can be asked for, by name."""

"""What the lessons draw and tell of states is read from ``states``: a state more breaks nothing.

The package is copied, its copy gets the state JOIN and a look for it, and a process of its own
draws and tells with the copy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fiberlab

CHANGES = {
    "states.py": (
        ('PARKED = "parked"', 'JOIN = "join"\n    PARKED = "parked"'),
        (
            "FiberState.DONE: frozenset(),",
            "FiberState.JOIN: frozenset({FiberState.READY}), FiberState.DONE: frozenset(),",
        ),
        ('"invalid": FiberState.READY}', '"invalid": FiberState.READY, "JOIN": FiberState.JOIN}'),
    ),
    "figures/palette.py": (
        (
            "FiberState.PARKED: Look(",
            'FiberState.JOIN: Look("#AA4499", 0.25), FiberState.PARKED: Look(',
        ),
    ),
}

PROGRAM = """
import matplotlib.pyplot as plt
from fiberlab import EventKind, Trace, TraceEvent, build_spans
from fiberlab.lab import story
from fiberlab.lab.lessons import l06_wait, l08_scheduler_read_whole as l08
from fiberlab.lab.shared.rows import draw_rows, explain

def event(t, ev, **fields):
    return TraceEvent(t, EventKind(ev), 1, fields)

trace = Trace(stall_after=None)
for each in (
    event(0, "spawn", name="ann", by=0),
    event(0, "wake", by=0, why="spawn", q=1),
    event(1, "resume", step=1, q=0),
    event(2, "yield", op="JOIN"),
    event(3, "wake", by=1, why="fiber", q=1),
    event(4, "resume", step=2, q=0),
    event(5, "exit", how="return"),
):
    trace(each)
_, axes = plt.subplots(2)
print(story(trace, "ann"))
print(l08.at_event(trace, 4).states["ann"].value, l08.at_event(trace, 4).waiting)
l08.draw_states(axes[0])
draw_rows(axes[1], build_spans(trace), {"ann": "ann"})
explain(axes[1], ["join"])
boxes = axes[0].texts
print(*[text.get_text() for text in boxes if text.get_text() in ("recv", "join", "parked")])
"""


@pytest.mark.live
@pytest.mark.once
def test_a_state_more_is_told_and_drawn_without_a_change_in_the_lessons(tmp_path):
    shutil.copytree(Path(fiberlab.__file__).parent, tmp_path / "fiberlab")
    for name, changes in CHANGES.items():
        path = tmp_path / "fiberlab" / name
        text = path.read_text("utf-8")
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        path.write_text(text, "utf-8")

    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )

    assert run.stderr == ""
    assert run.stdout.splitlines() == [
        "['join', 'return']",
        "join {'ann': 'another fiber to run'}",
        "recv join parked",
    ]

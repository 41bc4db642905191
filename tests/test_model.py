"""The scheduler does what a model of 60 plain statements does, program after program.

FIBERLAB_EXAMPLES=20000 makes it thorough: that many programs, different ones each time.
"""

from __future__ import annotations

import ast
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from programs import PROGRAMS, both, kinds

from fiberlab.spans.check import check_story

pytestmark = pytest.mark.once

EXAMPLES = int(os.environ.get("FIBERLAB_EXAMPLES", "0"))

KINDS = {
    *("yield: WAIT(None)", "yield: WAIT(0)", "yield: WAIT(seconds)", "yield: RECV", "yield: SEND"),
    *("yield: invalid", "wake: io", "wake: timer", "wake: fiber", "wake: yield", "wake: cancel"),
    *("exit: return", "exit: error", "exit: cancel", "run: done", "run: stopped", "run: deadlock"),
    *("recv: data", "recv: end", "recv: FiberTimeout", "recv: SocketClosed"),
    *("recv: SocketBusy", "send: sent", "send: failed", "send: FiberTimeout", "send: SocketClosed"),
    *("step: close", "step: cancel", "step: join", "step: burn", "start in a fiber"),
}


@pytest.fixture(scope="module")
def shares():
    """Run the programs once; return how many there were and how many have each kind."""
    counts = Counter()

    @settings(
        max_examples=EXAMPLES or 400,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(PROGRAMS)
    def run(program):
        model, real = both(program)
        check_story(real.trace)
        found = kinds(model, real)
        counts.update([*found, "programs"])
        for kind in sorted(found):
            event(kind)

    run()
    return counts


@pytest.mark.once
def test_the_scheduler_does_what_the_model_does_and_its_traces_keep_the_laws(shares):
    assert shares["programs"] >= (EXAMPLES or 400)


def test_each_kind_of_wait_and_ending_is_in_one_program_of_a_hundred(shares, record_property):
    share = {kind: round(100 * shares[kind] / shares["programs"], 1) for kind in sorted(KINDS)}
    for kind, percent in share.items():
        record_property(kind, percent)
        print(f"{percent:6.1f} %  {kind}")

    assert {kind: percent for kind, percent in share.items() if percent < 1} == {}


def test_the_model_is_at_most_sixty_plain_statements():
    tree = ast.parse(Path(__file__).with_name("model.py").read_text(encoding="utf-8"))
    headings = (ast.ClassDef, ast.FunctionDef, ast.Import, ast.ImportFrom)
    statements = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not isinstance(node, headings)
    ]

    assert len(statements) <= 60

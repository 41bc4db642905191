"""What a beginner hands in first: each exercise answers it with what was seen, and a hint."""

from __future__ import annotations

import linecache

import pytest
from test_course import EXERCISES
from test_right_answers import GIVEN

from fiberlab.lab import examine

pytestmark = pytest.mark.once

BODIES = {
    "nothing": "pass",
    "a number": "return 5",
    "a text": "return 'abc'",
    "a print": "print(__name__)",
    "a missing import": "return deque()",
    "a missing key": "return {}[2]",
    "an attribute of nothing": "return None.id",
    "the stub above it": "raise NotImplementedError\n    return 1",
}
VALUES = (None, 5, -1, "abc", "", [1], {}, b"x", float("nan"), 10**30, object)


def function_of(exercise, body):
    """Return a function with the arguments of an exercise's answer, as if written in a cell."""
    head = "async def" if exercise.form.kind == "async" else "def"
    source = f"{head} answer({exercise.form.takes}):\n    {body}\n"
    file = f"<cell of {exercise.id}: {body}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"__name__": "a cell"}
    exec(compile(source, file, "exec"), space)
    return space["answer"]


def answers(exercise):
    """Yield what may be handed in at first, with a name."""
    form = exercise.form
    if form.kind == "values":
        count = len(form.names)
        for value in VALUES:
            yield f"{value!r}", (value,) * count if count > 1 else value
        return
    yield from [("None", None), ("its name", "answer"), ("a value", 3), ("a list", [1])]
    if form.kind == "class":
        yield "an object", object()
        yield "an empty class", type("Empty", (), {})
        return
    yield "too few arguments", lambda: None
    for name, body in BODIES.items():
        yield name, function_of(exercise, body)


CASES = [(each, name, answer) for each in EXERCISES for name, answer in answers(each)]


@pytest.mark.live
@pytest.mark.parametrize(
    ("exercise", "answer"),
    [(each, answer) for each, _, answer in CASES],
    ids=[f"{each.id}-{name}" for each, name, _ in CASES],
)
def test_what_is_handed_in_first_gets_a_sentence_and_a_hint(exercise, answer, capsys):
    found = examine(exercise.id, answer, *GIVEN.get(exercise.id, tuple)())

    assert (found.passed, found.attempted) == (False, True)
    assert found.seen
    assert found.expected
    assert found.hint
    # An error of the judge would have no such line.
    assert ("your answer raised" in found.seen) == (", at <cell of " in found.seen)

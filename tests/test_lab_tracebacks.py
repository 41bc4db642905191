"""In IPython the lab's own errors are shown without the library's frames."""

from __future__ import annotations

import json
import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fiberlab import WAIT, diagnose, lab
from fiberlab.lab import ClientError
from fiberlab.lab.lessons import l07_blocking_pitfalls as l07
from fiberlab.lab.predictions import PREDICTIONS
from fiberlab.lab.tracebacks import in_short, shorten_in


@pytest.fixture(autouse=True)
def nothing_predicted() -> Iterator[None]:
    """Forget what the cells below have predicted."""
    yield
    PREDICTIONS.reset()


def raised_by(source: str) -> BaseException:
    """Run a cell, and return what it raises, as IPython would show it."""
    names = {
        name: getattr(lab, name) for name in lab.__all__ if name not in ("play", "longest_step")
    }
    names |= {"WAIT": WAIT, "diagnose": diagnose}
    linecache.cache["<a cell>"] = (len(source), None, source.splitlines(keepends=True), "<a cell>")
    try:
        exec(compile(source, "<a cell>", "exec"), names)
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next  # without this function
        return in_short(error)
    raise AssertionError("nothing was raised")


def files_of(error: BaseException) -> list[str]:
    """Return the files of the frames that are shown, also of what it was raised from."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return [line.split('"')[1] for line in text.splitlines() if line.lstrip().startswith("File ")]


@pytest.mark.parametrize(
    ("cell", "name", "remedy"),
    [
        ('predict("l07-q1", b)', "b", "put b in quotes"),
        ('predict("l07-q1",\n        b)', "b", "put b in quotes"),
        ('predict(l07-q1, "b")', "l07", "put l07-q1 in quotes"),
        ("predict(question, b)", "question", "put question in quotes"),
        ("check(l07-e1, 3)", "l07", "put l07-e1 in quotes"),
        ("reveal(l07-q1, 3)", "l07", "put l07-q1 in quotes"),
        ("examine(l07-e1, 3)", "l07", "put l07-e1 in quotes"),
    ],
)
def test_what_should_stand_in_quotes_is_told_in_one_sentence(cell, name, remedy):
    error = raised_by(cell)

    assert isinstance(error, NameError)
    assert str(error).startswith(f"{cell.partition('(')[0]}() takes text: {remedy}, as in ")
    assert files_of(error) == ["<a cell>"]


@pytest.mark.parametrize(
    "cell", ["b", "x = b + 1", "print(b)", 'predict("l07-q1", "a")\nb', 'check("l07-e1", culprit)']
)
def test_another_name_that_is_not_defined_is_left_as_it_is(cell):
    error = raised_by(cell)

    assert str(error).endswith("is not defined")


NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


@pytest.mark.parametrize(
    ("cell", "first"),
    [
        ("plot_timeline(trace)", "trace = record(echo, [b'ann', b'ben', b'cat', b'dan', napper], "),
        (
            "longest_step(3)",
            "from fiberlab.lab import check, culprits, longest_step, predict, recor",
        ),
        ("def f():\n    return echo(1, 2)\nf()", "def echo(sock, address):"),
        ("for each in pitfalls: pass", "pitfalls = record(pitfall, [b'sum', b'match', b'print'])"),
        ("Scheduler.run_once", "from fiberlab import RECV, SEND, WAIT, Scheduler, in_thread"),
    ],
)
def test_a_name_of_a_cell_that_was_not_run_is_told_with_that_cell(cell, first, monkeypatch):
    monkeypatch.chdir(NOTEBOOKS)
    monkeypatch.setitem(sys.modules, l07.__name__, l07)
    for name in [each for each in sys.modules if re.search(r"\.lessons\.l(?!07)", each)]:
        monkeypatch.delitem(sys.modules, name)
    missing = "plot_timeline" if cell.startswith("plot") else ""
    error = raised_by(f"{missing and 'plot_timeline = print'}\n{cell}")

    assert isinstance(error, NameError)
    assert f"is not defined; run this cell above first: {first[:66]}" in str(error)


@pytest.mark.parametrize(("open_now", "line"), [("07_b.ipynb", "x = 2"), ("other", "x = 1")])
def test_of_several_sheets_of_a_lesson_the_one_that_is_open_is_read(
    open_now, line, tmp_path, monkeypatch
):
    for name, source in (("07_a", "x = 1"), ("07_b", "x = 2")):
        cell = {"cell_type": "code", "source": source}
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": [cell]}), "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JPY_SESSION_NAME", f"lessons/more/{open_now}")
    monkeypatch.setitem(sys.modules, l07.__name__, l07)

    assert str(raised_by("x")) == f"name 'x' is not defined; run this cell above first: {line}"


def test_without_the_lessons_notebook_a_missing_name_is_left_to_python(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "07_blocking_pitfalls.ipynb").write_text("no notebook", encoding="utf-8")
    monkeypatch.setitem(sys.modules, l07.__name__, l07)

    assert str(raised_by("trace")) == "name 'trace' is not defined"


@pytest.mark.parametrize(
    ("cell", "kind", "words"),
    [
        ('predict("l07-q1", "z")', ValueError, "l07-q1 has the choices"),
        ("predict(3, 'a')", TypeError, "needs text in quotes, got 3"),
        ('predict("l99-q1", "a")', KeyError, "l99-q1"),
        ('check("l07-e9", 3)', KeyError, "l07-e9"),
        ('check(["l07-e1"], 3)', TypeError, "needs text in quotes"),
        ("record(None, 2)", TypeError, "needs a generator function"),
        ("record(lambda sock, address: None, requests='3', clients=1)", TypeError, "requests"),
        ("with serving():\n    pass", TypeError, "at least one"),
    ],
)
def test_an_error_of_the_labs_own_shows_the_cell_only(cell, kind, words):
    error = raised_by(cell)

    assert isinstance(error, kind)
    assert words in str(error)
    assert set(files_of(error)) == {"<a cell>"}


@pytest.mark.live
def test_what_an_experiment_raises_shows_the_cell_only():
    cell = "def plain(sock, address):\n    return 3\nrecord(plain, 2)"
    error = raised_by(cell)

    assert isinstance(error, ClientError)
    assert files_of(error) == ["<a cell>"]


@pytest.mark.live
def test_the_line_of_a_client_that_fails_is_kept():
    cell = (
        "def client(sock):\n    raise ValueError('mine')\n"
        "def handler(sock, address):\n    yield WAIT(0)\nrecord(handler, [client])"
    )
    error = raised_by(cell)

    assert [frame.lineno for frame in traceback.extract_tb(error.__cause__.__traceback__)] == [2]
    assert files_of(error) == ["<a cell>", "<a cell>"]


def test_a_fault_of_the_package_keeps_its_frames():
    error = raised_by("from fiberlab import Trace, plot_timeline\nplot_timeline(Trace(), ax=3)")

    assert isinstance(error, AttributeError)
    assert len(files_of(error)) > 1


def test_an_error_of_another_library_keeps_its_frames():
    error = raised_by("import json\njson.loads('{')")

    assert any("json" in file for file in files_of(error))


# -- In IPython --------------------------------------------------------------------------


def shell(**more) -> SimpleNamespace:
    """Return what is used of IPython's shell."""
    made = SimpleNamespace(custom_exceptions=(), **more)

    def set_custom_exc(kinds, handler):
        made.custom_exceptions, made.handler = kinds, handler

    made.set_custom_exc = set_custom_exc
    return made


def test_a_handler_of_somebody_elses_is_left_alone():
    taken = shell()
    taken.custom_exceptions = (OSError,)
    shorten_in(taken)
    shorten_in(None)

    assert taken.custom_exceptions == (OSError,)


def test_an_error_is_shown_by_ipython_itself():
    shown = []
    made = shell(showtraceback=lambda told, **options: shown.append(told))
    shorten_in(made)
    error = ValueError("wrong")
    made.handler(made, ValueError, error, None)

    assert made.custom_exceptions == (Exception, KeyboardInterrupt)
    assert shown == [(ValueError, error, None)]


def test_in_ipython_the_first_name_of_the_lab_is_enough(capsys):
    interactive = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    ipython = interactive.instance()
    try:
        ipython.run_cell("from fiberlab import lab; lab.__dict__.pop('predict', None)")
        ipython.run_cell("from fiberlab.lab import predict")
        capsys.readouterr()
        result = ipython.run_cell('predict("l07-q1", b)')
        told = re.sub("\x1b.*?m", "", capsys.readouterr().out)
    finally:
        interactive.clear_instance()

    assert isinstance(result.error_in_exec, NameError)
    assert "NameError: predict() takes text: put b in quotes" in told
    assert "fiberlab" not in told

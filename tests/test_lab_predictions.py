"""predict, reveal and show_predictions: what was believed, and what was so."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from stories import Recorded

from fiberlab.lab import Predictions, predict, reveal, show_predictions
from fiberlab.lab import predictions as module
from fiberlab.lab.lessons import l07_blocking_pitfalls as l07
from fiberlab.lab.predictions import (
    PREDICTIONS,
    PREDICTIONS_FILE,
    PredictionsError,
    read_predictions,
)


@pytest.fixture
def predictions() -> Predictions:
    return Predictions()


WHOLE_NAP = Recorded(0.11, 0.12, 0.10, 0.12)


def test_a_question_that_is_not_answered_prints_one_line(predictions, capsys):
    predict("l07-q1", ..., predictions=predictions)

    assert capsys.readouterr().out == (
        "l07-q1: not answered yet; put 'a', 'b', 'c' or 'd' in place of the dots\n"
    )
    assert predictions.choices == {}


def test_a_choice_is_kept_and_said_again(predictions, capsys):
    predict("l07-q1", " C ", predictions=predictions)

    assert predictions.choices == {"l07-q1": "c"}
    assert capsys.readouterr().out == "l07-q1: you predict (c) all, each by up to the whole nap\n"


def test_dots_take_a_choice_back(predictions):
    predictions.predict("l07-q1", "a")
    predictions.predict("l07-q1", ...)

    assert predictions.choices == {}


@pytest.mark.parametrize("choice", ["e", "", 3, None, "all"])
def test_a_choice_that_is_not_there_is_refused(predictions, choice):
    with pytest.raises(ValueError, match="l07-q1 has the choices a, b, c or d, got"):
        predictions.predict("l07-q1", choice)


def test_reset_forgets_every_choice(predictions):
    predictions.predict("l07-q1", "a")
    predictions.reset()

    assert predictions.choices == {}


def test_a_prediction_that_was_right_is_borne_out(predictions, capsys):
    predictions.predict("l07-q1", "c")
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)

    assert capsys.readouterr().out.splitlines() == [
        "l07-q1:",
        "predicted: (c) all, each by up to the whole nap",
        "recorded:  (c) all, each by up to the whole nap",
        "The recording bears you out.",
    ]


@pytest.mark.parametrize(
    ("choice", "misconception", "cell"),
    [
        ("a", "Fibers are not threads", "timeline"),
        ("b", "does not divide time", "facts"),
        ("d", "There was one nap", "latencies"),
    ],
)
def test_each_wrong_choice_has_its_misconception_and_the_cell_that_refutes_it(
    predictions, choice, misconception, cell
):
    predictions.predict("l07-q1", choice)
    told = predictions.reveal("l07-q1", WHOLE_NAP)

    assert f"predicted: ({choice})" in told
    assert misconception in told
    assert f"Look at the {cell}" in " ".join(told.split())


def test_without_a_prediction_the_recording_is_told(predictions):
    assert predictions.reveal("l07-q1", WHOLE_NAP) == (
        "l07-q1: no prediction\nrecorded:  (c) all, each by up to the whole nap"
    )


def test_the_notebooks_own_predictions_are_used_if_no_others_are_given(capsys):
    predict("l07-q1", "b")
    kept = dict(PREDICTIONS.choices)
    PREDICTIONS.reset()

    assert kept == {"l07-q1": "b"}


@pytest.mark.parametrize("recorded", [[], (), {}, "", None, 7, ..., [None], {"closed": None}])
@pytest.mark.parametrize("name", ["l02-q1", "l04-q1", "l07-q1", "l09-q1", "l13-q1", "l14-q1"])
def test_what_is_no_recording_reveals_nothing_but_what_to_run(predictions, name, recorded):
    with pytest.raises(ValueError, match=r"run the cells from the prediction to here first"):
        predictions.reveal(name, recorded)


@pytest.mark.parametrize(
    ("name", "recorded", "choice"), [("l01-q1", [], "a"), ("l11-q1", b"", "b")]
)
def test_nothing_may_be_what_was_recorded(predictions, name, recorded, choice):
    assert f"recorded:  ({choice}) " in predictions.reveal(name, recorded)


def test_every_wrong_choice_of_every_question_is_explained():
    for question in l07.QUESTIONS:
        assert len(set(question.choices) - set(question.wrong)) == 1


@pytest.mark.parametrize("name", [None, 7, ["l07-q1"], b"l07-q1"])
def test_a_question_that_is_no_text_is_refused(predictions, name):
    with pytest.raises(TypeError, match=r"predict\(question\) needs text in quotes"):
        predictions.predict(name, "a")
    with pytest.raises(TypeError, match=r"reveal\(question\) needs text in quotes"):
        predictions.reveal(name, None)


# -- The file --------------------------------------------------------------------------


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    """Be in a notebook, in a folder of its own, that has said nothing yet; return the folder."""
    ipython = SimpleNamespace(get_ipython=lambda: "a shell")
    monkeypatch.setitem(module.sys.modules, "IPython", ipython)
    monkeypatch.setattr(module, "_PRINTED", set())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def held(folder: Path) -> dict:
    return json.loads((folder / PREDICTIONS_FILE).read_text("utf-8"))


def test_outside_a_notebook_nothing_is_kept(predictions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    predict("l07-q1", "a", predictions=predictions)
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)

    assert list(tmp_path.iterdir()) == []


def test_a_notebook_without_a_prediction_leaves_no_file(predictions, notebook):
    predict("l07-q1", ..., predictions=predictions)
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)

    assert list(notebook.iterdir()) == []


def test_the_file_has_two_letters_for_a_question_and_says_what_it_is(predictions, notebook):
    predict("l07-q1", "a", predictions=predictions)
    before = held(notebook)["predictions"]
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)

    assert before == {"l07-q1": {"predicted": "a", "recorded": None}}
    assert held(notebook) == {
        "about": module.ABOUT,
        "predictions": {"l07-q1": {"predicted": "a", "recorded": "c"}},
    }
    assert [path.name for path in notebook.iterdir()] == [PREDICTIONS_FILE]


def test_what_is_kept_is_said_once(predictions, notebook, capsys):
    predict("l07-q1", "a", predictions=predictions)
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)
    predict("l01-q1", "a", predictions=predictions)

    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("(")]
    assert said == [
        "(kept in predictions.json: this letter, and later the recorded one; nothing else)"
    ]


def test_a_choice_may_be_changed_until_its_answer_is_shown(predictions, notebook, capsys):
    for choice in ("a", "b"):
        predict("l07-q1", choice, predictions=predictions)
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)
    predict("l07-q1", "c", predictions=predictions)
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)

    assert read_predictions(PREDICTIONS_FILE) == {"l07-q1": module.Kept("b", "c")}
    assert "(predictions.json keeps your first prediction)" in capsys.readouterr().out


def test_after_a_restart_the_first_prediction_is_kept_too(notebook):
    for choice in ("b", "c"):
        predictions = Predictions()
        predict("l07-q1", choice, predictions=predictions)
        reveal("l07-q1", WHOLE_NAP, predictions=predictions)

    assert read_predictions(PREDICTIONS_FILE) == {"l07-q1": module.Kept("b", "c")}


def test_what_is_predicted_after_its_answer_is_not_kept(predictions, notebook):
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)
    predict("l07-q1", "c", predictions=predictions)

    assert list(notebook.iterdir()) == []


def test_where_nothing_can_be_written_a_sentence_says_so(
    predictions, notebook, monkeypatch, capsys
):
    def refuse(*_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    predict("l07-q1", "a", predictions=predictions)
    reveal("l07-q1", WHOLE_NAP, predictions=predictions)

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("(not")] == [
        "(not kept for the end of the course: predictions.json cannot be written, "
        "Read-only file system)"
    ]
    assert "predicted: (a) only the client that asked for the nap" in lines
    assert list(notebook.iterdir()) == []


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    "3",
    '{"predictions": []}',
    '{"about": "x"}',
    '{"predictions": {"l99-q1": {"predicted": "a", "recorded": null}}}',
    '{"predictions": {"l07-q1": "a"}}',
    '{"predictions": {"l07-q1": {"predicted": "z", "recorded": null}}}',
    '{"predictions": {"l07-q1": {"predicted": "a", "recorded": 3}}}',
    '{"predictions": {"l07-q1": {"predicted": ["a"], "recorded": "c"}}}',
    '{"predictions": {"l07-q1": {"recorded": "c"}}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:40] or "empty")
def test_a_damaged_file_is_named_and_left_as_it_is(predictions, notebook, text, capsys):
    path = notebook / PREDICTIONS_FILE
    path.write_text(text, "utf-8")
    predict("l07-q1", "a", predictions=predictions)

    assert "(not kept for the end of the course: predictions.json: " in capsys.readouterr().out
    assert path.read_text("utf-8") == text
    with pytest.raises(PredictionsError, match=r"^predictions\.json: \S"):
        show_predictions()


def test_a_file_of_other_bytes_is_no_predictions(notebook):
    (notebook / PREDICTIONS_FILE).write_bytes(b"\xff\xfe\x00")

    with pytest.raises(PredictionsError, match="these are no predictions"):
        show_predictions()


# -- At the end ------------------------------------------------------------------------


def test_at_the_end_it_is_shown_what_was_believed_and_what_was_so(notebook):
    (notebook / PREDICTIONS_FILE).write_text(
        json.dumps(
            {
                "predictions": {
                    "l07-q1": {"predicted": "a", "recorded": "c"},
                    "l01-q1": {"predicted": "a", "recorded": "a"},
                    "l12-q1": {"predicted": "a", "recorded": None},
                }
            }
        ),
        "utf-8",
    )

    shown = show_predictions()
    assert repr(shown).splitlines() == [
        "borne out: 1 of 2",
        "l01-q1: you believed (a) nothing; so it was: the same",
        "l07-q1: you believed (a) only the client that asked for the nap; "
        "so it was: (c) all, each by up to the whole nap",
    ]
    assert "| l07-q1 | (a) only the client that asked for the nap | (c) all" in shown.markdown


def test_before_anything_was_predicted_one_line_says_so(notebook):
    assert repr(show_predictions()) == (
        "nothing was predicted yet: predictions.json has no prediction with its recording"
    )

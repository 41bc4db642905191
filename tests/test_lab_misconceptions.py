"""A class's predictions, gathered into one table of what was believed."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from fiberlab.lab import gather_predictions
from fiberlab.lab.lessons import l07_blocking_pitfalls as l07
from fiberlab.lab.misconceptions import Belief, main

pytestmark = pytest.mark.once

[QUESTION] = l07.QUESTIONS


def learner(folder: Path, letter: str, question: str = "l07-q1") -> Path:
    path = folder / "predictions.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    held = {"predictions": {question: {"predicted": letter, "recorded": None}}}
    path.write_text(json.dumps(held), "utf-8")
    return path


@pytest.fixture
def submitted(tmp_path):
    """Return a folder in which five learners have handed in."""
    for name, letter in zip(["ann", "ben", "cat", "dan", "eve"], "daccc", strict=True):
        learner(tmp_path / name / "lessons", letter)
    return tmp_path


def test_each_choice_has_its_learners_and_wrong_ones_their_misconception(submitted):
    beliefs, refused = gather_predictions([submitted])

    assert refused == []
    assert [(each.choice, each.right, each.learners, each.share) for each in beliefs] == [
        ("a", False, 1, 0.2),
        ("d", False, 1, 0.2),
        ("b", False, 0, 0.0),
        ("c", True, 3, 0.6),
    ]
    assert beliefs[1] == Belief(
        "l07-q1",
        QUESTION.text,
        "d",
        QUESTION.choices["d"],
        False,
        1,
        0.2,
        " ".join(QUESTION.wrong["d"].split()),
    )


def test_the_same_file_given_twice_is_one_learner(submitted):
    once, _ = gather_predictions([submitted])
    twice, _ = gather_predictions([submitted, submitted / "ann" / "lessons" / "predictions.json"])

    assert once == twice


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_counted(submitted):
    bad = submitted / "ann" / "lessons" / "predictions.json"
    bad.write_text("{", "utf-8")

    beliefs, refused = gather_predictions([submitted])

    assert sum(each.learners for each in beliefs) == 4
    [sentence] = refused
    assert sentence.startswith(f"{bad}: these are no predictions")


def test_the_command_writes_the_table_as_csv_and_no_name_of_a_learner(submitted, capsys):
    assert main([str(submitted)]) == 0

    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert err == ""
    assert list(rows[0]) == list(Belief._fields)
    assert [(row["choice"], row["learners"]) for row in rows] == [
        ("a", "1"),
        ("d", "1"),
        ("b", "0"),
        ("c", "3"),
    ]
    assert not {"ann", "ben", "cat", "dan", "eve"} & set(out.replace(",", " ").split())


def test_the_command_says_which_files_it_left_out(submitted, capsys):
    learner(submitted / "fay", "z")

    assert main([str(submitted)]) == 0

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"left out: {submitted / 'fay' / 'predictions.json'}: l07-q1 needs the")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda path: path, "no predictions in "),
        (lambda path: path / "nowhere", "nowhere is not there: give files of predictions"),
    ],
)
def test_the_command_says_in_one_line_why_there_is_no_table(made, words, tmp_path, capsys):
    assert main([str(made(tmp_path))]) == 2

    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert words in err

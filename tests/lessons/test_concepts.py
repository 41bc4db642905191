"""The twelve questions of lessons 00 and 15: they are whole, and nothing is told too early."""

from __future__ import annotations

from collections import Counter

import pytest

from fiberlab.lab.shared.concepts import (
    CONCEPTS,
    LETTERS,
    compare_answers,
    note_answers,
    show_concepts,
)

NONE = "............"
RIGHT = "".join(each.right for each in CONCEPTS)
WRONG = "".join(next(letter for letter in LETTERS if letter != right) for right in RIGHT)


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda each: each.text[:30])
def test_each_question_is_whole(concept):
    assert list(concept.choices) == list(LETTERS)
    assert set(concept.wrong) == set(LETTERS) - {concept.right}
    assert concept.lesson[:2].isdigit()
    for sentence in (concept.why, *concept.wrong.values()):
        assert sentence.endswith(".")


def test_every_letter_is_right_three_times():
    assert Counter(RIGHT) == dict.fromkeys(LETTERS, 3)


def test_the_longest_choice_is_not_a_sign_of_the_right_one():
    longest = [max(each.choices, key=lambda key: len(each.choices[key])) for each in CONCEPTS]

    assert sum(map(str.__eq__, longest, RIGHT)) <= 6


def test_the_questions_are_shown_as_text_and_as_markdown():
    shown = show_concepts()

    assert repr(shown).count("\n   a  ") == 12
    assert shown._repr_markdown_().count("\n- **a** ") == 12


def test_noting_answers_does_not_tell_which_are_right():
    assert note_answers(RIGHT).replace(RIGHT, "") == note_answers(WRONG).replace(WRONG, "")
    assert note_answers(NONE) == "not answered yet; put a letter, a to d, in place of each dot"


def test_noted_answers_are_told_in_one_form():
    assert note_answers("BA.. .... ....") == (
        'noted: "ba..........", 2 of 12 answered; keep this line for lesson 15'
    )


@pytest.mark.parametrize(
    ("letters", "words"),
    [
        ("abc", "12 questions, got 3 answers"),
        ("abcdabcdabce", "one of a, b, c, d or a dot, got 'e'"),
    ],
)
def test_letters_that_answer_nothing_are_refused(letters, words):
    with pytest.raises(ValueError, match=words):
        note_answers(letters)


def test_comparing_tells_nothing_while_nothing_is_answered():
    assert repr(compare_answers(RIGHT, NONE)) == note_answers(NONE)


def test_comparing_tells_what_changed_and_what_to_reread():
    then, now = WRONG[:4] + RIGHT[4:8] + NONE[8:], RIGHT[:2] + WRONG[2:6] + "." + RIGHT[7:]

    told = repr(compare_answers(then, now))

    [total, *lines] = told.splitlines()
    assert total == "right then: 4 of 12, right now: 7 of 12"
    verdicts = [line.split("  ")[-1] for line in lines if "->" in line]
    assert verdicts == [
        *["right now"] * 2,
        *["wrong, as before"] * 2,
        *["right before, wrong now"] * 2,
        "not answered",
        "right, as before",
        *["right now"] * 4,
    ]
    reread = [line.partition("Reread ")[2] for line in lines if "Reread" in line]
    assert reread == [f"{CONCEPTS[n].lesson}." for n in (2, 3, 4, 5, 6)]


def test_a_wrong_answer_is_told_its_misconception_and_why():
    concept = CONCEPTS[0]
    told = repr(compare_answers(NONE, WRONG[:1] + NONE[1:]))

    assert (
        f"{concept.wrong[WRONG[0]]} Right is {concept.right}: {concept.why} "
        f"Reread {concept.lesson}." in told
    )


def test_the_comparison_is_a_table_in_a_notebook():
    markdown = compare_answers(NONE, RIGHT)._repr_markdown_()

    assert markdown.count("\n| ") == 14
    assert "| 12 | . | c | right now |  |" in markdown

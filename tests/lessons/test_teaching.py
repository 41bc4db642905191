"""docs/teaching.md says of the lessons what they say themselves.

Of a lesson that is not there yet only its name is held; what is quoted of it is held as soon as
it is there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fiberlab.lab.exercises import find_question
from fiberlab.lab.normal_form import read_notebook
from fiberlab.lab.notebooks import main
from fiberlab.lab.shared.concepts import CONCEPTS

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TEACHING = (ROOT / "docs" / "teaching.md").read_text("utf-8")

PLANNED = [
    "00 Map",
    "01 Paused functions",
    "02 A scheduler in 15 lines",
    "03 One blocking server",
    "04 Readiness",
    "05 Fibers yield what they wait for",
    "06 WAIT",
    "07 Blocking pitfalls",
    "08 The scheduler, read whole",
    "09 Queues and tails",
    "10 Between two yields",
    "11 Endings",
    "12 Off the loop",
    "13 Overload and policy",
    "14 Other coats",
    "15 The replicator",
    "16 Every schedule",
    "17 Your own server",
]


def section(title: str) -> str:
    """Return what stands under a heading, up to the next of its rank or above."""
    [(marks, text)] = re.findall(
        rf"^(##+) {re.escape(title)}\n(.*?)(?=^##? |\Z)", TEACHING, re.MULTILINE | re.DOTALL
    )
    return re.split(rf"^{marks} ", text, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def bullets(title: str) -> list[str]:
    items = re.findall(r"^- (.*?)(?=^- |\n\n|\Z)", section(title), re.MULTILINE | re.DOTALL)
    return [" ".join(item.split()) for item in items]


def cells(path: Path, kind: str) -> str:
    found = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == kind]
    return "\n".join("".join(cell["source"]) for cell in found)


def question(title: str):
    return find_question(f"l{title[:2]}-q1")


# -- Names and times -------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_lesson_has_the_title_and_time_that_the_paths_say(path):
    told = cells(path, "markdown")
    title = told.partition("\n")[0].removeprefix("# ")
    [minutes] = re.findall(r"Time:\s(\d+)\sminutes", told)

    assert title in PLANNED
    assert {row[-1] for row in rows(TEACHING) if title in row and row[-1].isdigit()} == {minutes}


def test_the_four_weeks_have_every_lesson_in_order():
    assert [lesson for _, lesson, _ in rows(section("Four weeks"))] == PLANNED


def test_no_week_is_over_three_hours_and_a_half():
    weeks = rows(section("Four weeks"))

    for week in "1234":
        assert 150 <= sum(int(minutes) for each, _, minutes in weeks if each == week) <= 210


def test_an_hour_has_sixty_minutes_and_half_a_day_four_hours():
    hour, half_a_day = rows(section("One hour")), rows(section("Half a day"))

    assert sum(int(minutes) for _, minutes, _ in hour) + 5 == 60
    assert f"{sum(int(alone) for _, _, alone in hour)} minutes in all" in section("One hour")
    at_the_keyboard = sum(int(minutes) for _, minutes, _ in half_a_day)
    assert f"{at_the_keyboard} minutes at the keyboard, and 25 for breaks" in section("Half a day")
    assert at_the_keyboard + 25 == 240


def test_ninety_minutes_are_the_lessons_and_one_exercise_done_together():
    lessons = rows(section("Ninety minutes"))

    assert sum(int(minutes) for _, minutes, _ in lessons) + 14 == 90
    assert "The last 14\nminutes are for one exercise, done together: exercise 1 of lesson 07" in (
        section("Ninety minutes")
    )
    assert f"{sum(int(alone) for _, _, alone in lessons)} minutes in all" in (
        section("Ninety minutes")
    )
    titles = [title for title, _, _ in lessons]
    assert {"03 One blocking server", "04 Readiness"} < set(titles)  # 05 needs both
    assert "mystery" in cells(NOTEBOOKS[7], "code")


def test_the_asyncio_class_has_its_minutes_and_ends_with_the_students_own_server():
    lessons = rows(section("A class that writes asyncio"))

    assert lessons[-1][0] == "17 Your own server"
    assert f"{sum(int(minutes) for _, minutes, _ in lessons)} minutes at the keyboard" in (
        section("A class that writes asyncio")
    )


@pytest.mark.parametrize("path", ["One hour", "Ninety minutes", "Half a day"])
def test_a_path_asks_only_what_its_lessons_answer(path):
    lessons = [row[0] for row in rows(section(path))]

    assert "the questions 1, 2 and 3 of the twelve" in section(path)
    assert {CONCEPTS[number].lesson for number in range(3)} <= set(lessons) <= set(PLANNED)


# -- Wrong predictions -----------------------------------------------------------------


@pytest.mark.parametrize("title", PLANNED)
def test_each_wrong_prediction_is_one_of_the_lessons_question(title):
    quoted = [re.match(r"\*\*(\w)\*\* \*(.+?)\*\.", item) for item in bullets(title)]
    quoted = [match.groups() for match in quoted if match]
    asked = question(title)

    assert bullets(title)
    if quoted:
        assert quoted == [(letter, asked.choices[letter]) for letter in asked.wrong]


@pytest.mark.parametrize("title", PLANNED)
def test_what_the_twelve_questions_are_quoted_for_is_a_wrong_choice_of_that_lesson(title):
    for item in bullets(title):
        if item.startswith("Question "):
            number, letter, choice = re.findall(r"Question (\d+) \*\*(\w)\*\* \*(.+?)\*", item)[0]
            concept = CONCEPTS[int(number) - 1]
            assert concept.lesson == title
            assert letter in concept.wrong
            assert concept.choices[letter] == choice


def test_every_lesson_has_wrong_choices_quoted():
    silent = [each for each in PLANNED if not re.search(r"^- \*\*\w\*\* \*", section(each), re.M)]

    assert silent == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_goes_on_the_projector_is_in_the_lesson(path):
    title = next(each for each in PLANNED if each.startswith(path.stem[:2]))
    _, _, told = section(title).partition("On the projector:")
    code = cells(path, "code")

    assert told
    shown = [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", told)]
    assert [each for each in shown if "(" in each and each not in code] == []


def test_each_of_the_twelve_questions_is_said_to_be_answered_where_it_is():
    told = rows(section("The twelve questions"))

    assert told == [[str(n), concept.lesson] for n, concept in enumerate(CONCEPTS, 1)]


# -- The assignment --------------------------------------------------------------------


def test_the_command_makes_the_assignment_that_is_then_graded(tmp_path):
    told = section("An assignment for nbgrader")
    [(source, folder)] = re.findall(r"fiberlab\.lab\.notebooks assign (\S+) (\S+)", told)
    [name] = set(re.findall(r"nbgrader (?:generate_assignment|autograde) (\S+)", told))

    assert main(["assign", str(ROOT / source), str(tmp_path / folder)]) == 0

    assert (tmp_path / folder / "source" / name / f"{name}.ipynb").exists()
    assert f"`submitted/ann/{name}/{name}.ipynb`" in told
    assert "nbgrader:" in (ROOT / "Makefile").read_text("utf-8")

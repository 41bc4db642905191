"""Lessons as slides: what is shown, what is to be said, and a page that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from chromium import complaints, until

from fiberlab.lab.normal_form import normalise, read_notebook
from fiberlab.lab.notebooks import main
from fiberlab.lab.slides import as_slides, to_html

pytestmark = pytest.mark.once

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))


def cell(source: str, kind: str = "markdown", **metadata) -> dict:
    made = {"cell_type": kind, "metadata": metadata, "source": source}
    return made | ({"execution_count": 1, "outputs": []} if kind == "code" else {})


def slides_of(*cells: dict) -> list[tuple[str, str]]:
    """Return each part of a lesson, with its slide type."""
    slides = as_slides(normalise({"cells": list(cells), "metadata": {}}))["cells"]
    return [
        (each["metadata"]["slideshow"]["slide_type"], "".join(each["source"])) for each in slides
    ]


def test_a_heading_begins_a_slide_and_prose_is_to_be_said():
    assert slides_of(cell("## 1 Predict\n\nA long story.\n\nMore of it.")) == [
        ("slide", "## 1 Predict"),
        ("notes", "A long story.\n\nMore of it."),
    ]


@pytest.mark.parametrize(
    "shown",
    [
        "These:\n\n- a list",
        "These:\n\n1. a list",
        "These:\n\n| a | table |",
        "This:\n\n    some code",
        "A **new** word.",
        "Which of them?\n\n- **a** this\n- **b** that",
    ],
)
def test_what_a_class_must_see_is_shown(shown):
    assert slides_of(cell(f"# Title\n\nSaid.\n\n{shown}")) == [
        ("slide", "# Title"),
        ("notes", "Said."),
        ("-", shown),
    ]


def test_hints_and_answers_are_not_shown():
    folded = "<details><summary>Hint</summary>\n\n- try **this**\n\n</details>"

    assert slides_of(cell(f"# T\n\n{folded}")) == [("slide", "# T"), ("notes", folded)]


def test_what_comes_after_code_is_on_a_slide_of_its_own():
    assert slides_of(
        cell("# T"), cell("one()", "code"), cell("Said."), cell("two()", "code"), cell("- seen")
    ) == [
        ("slide", "# T"),
        ("-", "one()"),
        ("notes", "Said."),
        ("subslide", "two()"),
        ("subslide", "- seen"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import math",
        "from a import b",
        'predict("l07-q1", ...)',
        "show_source(one, two, folded=True)",
    ],
)
def test_a_cell_that_shows_a_class_nothing_is_left_out(source):
    assert slides_of(cell(source, "code")) == [("skip", source)]


def test_a_source_that_is_to_be_read_is_shown():
    assert slides_of(cell("show_source(one)", "code")) == [("subslide", "show_source(one)")]


def test_a_slider_is_left_out():
    assert slides_of(cell("play(draw)", "code", tags=["nbval-ignore-output"])) == [
        ("skip", "play(draw)")
    ]


def test_a_cell_keeps_the_slide_type_it_has():
    assert slides_of(cell("Said.", slideshow={"slide_type": "fragment"})) == [("fragment", "Said.")]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_shows_its_question_before_what_was_recorded(path):
    slides = as_slides(read_notebook(path))["cells"]
    shown = [
        "".join(each["source"])
        for each in slides
        if each["metadata"]["slideshow"]["slide_type"] not in ("skip", "notes")
    ]

    asked = next(n for n, text in enumerate(shown) if "- **a** " in text)
    told = next(n for n, text in enumerate(shown) if re.search(r"\breveal\(", text))
    assert asked < told
    assert shown[0].startswith(f"# {path.stem[:2]} ")


def test_a_page_loads_nothing_and_has_every_picture(tmp_path, capsys):
    source = NOTEBOOKS / "07_blocking_pitfalls.ipynb"

    assert main(["slides", str(source), str(tmp_path)]) == 0

    place = tmp_path / "07_blocking_pitfalls.slides.html"
    assert capsys.readouterr().out == f"{place}\n"
    page = place.read_text("utf-8")
    loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"([^\"]*)", page)
    loaded += re.findall(r"(?:url\(|@import |import\()[\"']?([^\"')]{1,80})", page)
    assert [each for each in loaded if not each.startswith(("data:", "#"))] == []
    words = re.findall(r'<img\s[^>]*?alt="([^"]*)"', page)
    assert len(words) == page.count("<img") == source.read_text("utf-8").count('"image/png": "')
    assert [text for text in words if len(text) < 30] == []


def test_a_folder_without_lessons_gives_no_slides_but_a_sentence(tmp_path, capsys):
    assert main(["slides", str(tmp_path), str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"error: {tmp_path} holds no lessons\n"


@pytest.mark.live
@pytest.mark.once
def test_in_a_browser_arrows_lead_from_slide_to_slide_and_n_shows_what_to_say(chromium, tmp_path):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    path = tmp_path / "page.html"
    path.write_text(to_html(read_notebook(NOTEBOOKS / "04_readiness.ipynb")), "utf-8")
    complaints(chromium)
    chromium.get(path.as_uri())
    body = chromium.find_element(By.TAG_NAME, "body")
    until(chromium, "place.textContent.startsWith('1 of ')")
    for key, number in ((Keys.ARROW_RIGHT, 2), (Keys.PAGE_DOWN, 3), (Keys.ARROW_LEFT, 2)):
        body.send_keys(key)
        until(chromium, f"place.textContent.startsWith('{number} of ')")
    notes = chromium.find_elements(By.TAG_NAME, "aside")
    hidden = [each.is_displayed() for each in notes]
    body.send_keys("n")

    assert set(hidden) == {False}
    assert {each.is_displayed() for each in notes} == {True}
    assert complaints(chromium) == []

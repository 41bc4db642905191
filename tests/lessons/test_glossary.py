"""The glossary is in order, and one word stands for one thing: a time-out is no timeout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fiberlab.lab.normal_form import read_notebook
from fiberlab.lab.notebooks import find_notebooks

ROOT = Path(__file__).parent.parent.parent
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
SECTIONS = re.split(r"^## .+$", GLOSSARY, flags=re.MULTILINE)[1:]
HEADWORD = re.compile(r"^\*\*(.+?)\*\*", re.MULTILINE)

MIXED_UP = re.compile(
    r"\btime outs?\b|\btime-outs? of \d|\b(?:long|short)\w* time-outs?\b"
    r"|\btimeouts? (?:happens?|ends?|is thrown|is raised)\b|\bthrows? a timeout\b",
    re.IGNORECASE,
)
"""A timeout is a length of time, as the parameter is; a time-out is what happens after it."""

TEXTS = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
TEXTS += find_notebooks([ROOT / "notebooks"])


def prose(path: Path) -> str:
    """Return what a text or a lesson says, without what stands between backticks."""
    if path.suffix == ".md":
        told = path.read_text("utf-8")
    else:
        cells = read_notebook(path)["cells"]
        told = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    return re.sub(r"`[^`]*`", "", told)


def test_each_section_is_in_alphabetical_order():
    for section in SECTIONS:
        words = HEADWORD.findall(section)
        assert words == sorted(words, key=str.casefold)


def test_no_word_is_explained_twice():
    words = HEADWORD.findall(GLOSSARY)

    assert [word for word in set(words) if words.count(word) > 1] == []


def test_each_entry_is_a_paragraph_of_one_form():
    for section in SECTIONS:
        for entry in section.strip().split("\n\n"):
            assert re.match(r"\*\*[^*]+\*\* — \S", entry), entry
            assert entry.endswith("."), entry


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_timeout_is_a_length_and_a_time_out_happens(path):
    assert MIXED_UP.findall(prose(path)) == []


def test_the_two_words_are_told_apart():
    assert MIXED_UP.findall("a time-out of 2 seconds, a timeout is raised, it throws a timeout")
    assert not MIXED_UP.findall("a timeout of 2 seconds passes; then a time-out is raised")

"""show_source: what runs here, as text that is the same everywhere."""

from __future__ import annotations

import functools
import time

import pytest

from fiberlab import Scheduler, waits
from fiberlab.lab import Source, show_source
from fiberlab.lab.source import Part


def shown(text):
    """Be shown."""
    return text


@functools.lru_cache
def wrapped(text):
    return text


def test_several_things_are_folded_under_their_names():
    source = show_source(shown, wrapped, folded=True)

    assert source._repr_markdown_().startswith(
        "<details><summary>The source of <code>shown</code>, <code>wrapped</code></summary>\n\n"
        "```python\n# test_lab_source.py\n"
    )
    assert source._repr_markdown_().endswith("\n```\n\n</details>\n")
    assert source.text.index("def shown") < source.text.index("def wrapped")
    assert source.text == f"{show_source(shown).text}\n\n{show_source(wrapped).text}"
    assert repr(source).startswith(repr(show_source(shown)))


def test_each_file_has_its_name_above():
    told = repr(show_source(shown, wrapped, waits.RECV)).splitlines()

    assert [row for row in told if row.startswith("#")] == ["# test_lab_source.py", "# waits.py"]


def test_of_nothing_there_is_no_source():
    with pytest.raises(TypeError, match="needs a function"):
        show_source()


def test_a_function_is_shown_with_its_file_and_its_lines():
    first = shown.__code__.co_firstlineno

    assert repr(show_source(shown)).splitlines() == [
        "# test_lab_source.py",
        f"{first}  def shown(text):",
        f'{first + 1}      """Be shown."""',
        f"{first + 2}      return text",
    ]


def test_line_numbers_stand_one_under_the_other():
    source = Source(Part("x.py", 9, "a\n\n    b"), Part("x.py", 100, "c"))

    assert repr(source) == "# x.py\n  9  a\n 10\n 11      b\n\n100  c"


def test_a_method_begins_at_the_margin():
    assert show_source(Scheduler.run_once).text.startswith("def run_once(self)")


def test_a_notebook_gets_it_as_python():
    assert show_source(shown)._repr_markdown_().startswith("```python\n# test_lab_source.py\n1")


def test_a_fence_in_the_source_does_not_end_it():
    def fenced():
        return "```"

    assert show_source(fenced)._repr_markdown_().startswith("````python\n")
    assert show_source(fenced)._repr_markdown_().endswith("\n````\n")


def test_a_class_a_module_and_what_is_wrapped_are_shown():
    assert show_source(waits.RECV).text.startswith("class RECV")
    assert repr(show_source(waits)).startswith('# waits.py\n  1  """The three things')
    assert "def wrapped" in show_source(wrapped).text


class Shelf:
    @property
    def book(self):
        return shown("a book")

    @functools.cached_property
    def page(self):
        yield shown("a page")


@pytest.mark.parametrize(
    ("thing", "first"),
    [
        (Shelf.book, "@property\ndef book(self)"),
        (Shelf.page, "@functools.cached_property\ndef page(self)"),
        (Shelf().page, "@functools.cached_property\ndef page(self)"),
        (functools.partial(shown, "x"), "def shown(text)"),
        (functools.partial(functools.partial(wrapped), "x"), "@functools.lru_cache\ndef wrapped"),
    ],
)
def test_what_stands_for_a_function_is_shown_as_that(thing, first):
    assert show_source(thing).text.startswith(first)


@pytest.mark.parametrize("thing", [time.sleep, 42, None])
def test_what_is_not_written_in_python_is_refused(thing):
    with pytest.raises(TypeError, match="needs something written in Python"):
        show_source(thing)

"""play: sliders for a plain function."""

from __future__ import annotations

import subprocess
import sys

import ipywidgets
import matplotlib.pyplot as plt
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

from fiberlab.lab import play, widgets


@pytest.fixture
def shown(monkeypatch):
    """The boxes that were shown."""
    boxes = []

    def show(thing):
        (boxes.append if isinstance(thing, ipywidgets.VBox) else display)(thing)

    monkeypatch.setattr(widgets, "display", show)
    return boxes


@pytest.fixture
def shell(monkeypatch):
    """An IPython, as in a notebook."""
    shell = InteractiveShell()
    monkeypatch.setattr(widgets, "get_ipython", lambda: shell)
    monkeypatch.setattr(InteractiveShell, "_instance", shell)
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: True)
    return shell


def test_each_choice_gets_a_slider_with_its_numbers_in_order(shown):
    play(lambda nap, clients: None, nap=[0.1, 0, 0.2], clients=range(1, 4))

    [box] = shown
    sliders = [(each.description, each.options, each.value) for each in box.children[:-1]]
    assert sliders == [("nap", (0, 0.1, 0.2), 0.1), ("clients", (1, 2, 3), 1)]
    assert all(each.continuous_update for each in box.children[:-1])


def test_a_slider_starts_at_the_parameters_default(shown):
    def draw(nap_ms=120, place="b"):
        print(nap_ms, place)

    play(draw, nap_ms=[0, 120, 60], place=["c", "b", "a"])

    [box] = shown
    sliders = [(each.description, each.options, each.value) for each in box.children[:-1]]
    assert sliders == [("nap ms", (0, 60, 120), 120), ("place", ("c", "b", "a"), "b")]


def test_a_default_that_cannot_be_chosen_is_refused(shown):
    with pytest.raises(ValueError, match=r"\(nap=\) starts at 5, the default .* among \[1, 2\]"):
        play(lambda nap=5: None, nap=[1, 2])


def test_what_is_printed_drawn_and_returned_replaces_the_old_in_one_piece(shown, shell):
    def draw(number):
        print("number", number)
        display(f"shown {number}")
        print("and", end=" ")
        print("more")
        return number

    play(draw, number=[1, 2])
    [box] = shown
    pieces = []
    box.children[-1].observe(lambda change: pieces.append(change.new), names="outputs")
    box.children[0].value = 2

    [outputs] = pieces
    assert [each.get("text") or each["data"]["text/plain"] for each in outputs] == [
        "number 2\n", "'shown 2'", "and more\n", "2",
    ]  # fmt: skip


def test_a_figure_is_shown_with_its_sliders(shown, shell):
    def draw(number):
        _, ax = plt.subplots()
        ax.set_title(str(number))
        display(ax.figure)
        plt.close(ax.figure)

    play(draw, number=[1])

    [output] = shown[0].children[-1].outputs
    assert output["data"]["text/plain"] == "<Figure size 640x480 with 1 Axes>"


def test_an_error_stands_in_the_place_of_the_picture(shown):
    def draw(number):
        print("before")
        raise ZeroDivisionError(f"{number} / 0")

    play(draw, number=[1])

    printed, failed = shown[0].children[-1].outputs
    assert printed["text"] == "before\n"
    assert (failed["ename"], failed["evalue"]) == ("ZeroDivisionError", "1 / 0")
    assert "in draw" in "".join(failed["traceback"])


def test_a_choice_without_values_is_refused(shown):
    with pytest.raises(ValueError, match=r"play\(nap=\) needs at least one value"):
        play(print, nap=[])


@pytest.mark.live
def test_without_ipywidgets_one_line_names_the_extra():
    blocked = "import sys; sys.modules['ipywidgets'] = None; from fiberlab.lab import record, play"
    ran = subprocess.run(
        [sys.executable, "-c", blocked], capture_output=True, text=True, timeout=60, check=False
    )

    assert ran.stderr.splitlines()[-1] == (
        "fiberlab.errors.MissingExtra: play needs ipywidgets, which is not installed; install "
        "fiberlab with its extra: python -m pip install -e '.[lessons]'"
    )
    assert "During handling" not in ran.stderr


@pytest.mark.parametrize(
    ("draw", "values", "words"),
    [
        ("draw", [1], "needs a function that draws, got 'draw'"),
        (print, "123", r"play\(nap=\) needs a list of values, got '123'"),
        (print, 3, r"play\(nap=\) needs a list of values, got 3"),
        (print, None, "needs a list of values"),
    ],
)
def test_what_is_no_function_or_no_list_is_refused(shown, draw, values, words):
    with pytest.raises(TypeError, match=words):
        play(draw, nap=values)

    assert shown == []

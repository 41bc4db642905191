"""play: sliders for a plain function."""

from __future__ import annotations

import subprocess
import sys

import ipywidgets
import pytest

from fiberlab.lab import play


@pytest.fixture
def shown(monkeypatch):
    """What was given to ipywidgets.interact, in place of showing it."""
    calls = []
    monkeypatch.setattr(ipywidgets, "interact", lambda *a, **k: calls.append((*a, k)))
    return calls


def test_each_choice_gets_a_slider_with_its_values(shown):
    def draw(nap, clients):
        raise AssertionError("the sliders decide when it is drawn")

    play(draw, nap=[0, 0.1, 0.2], clients=range(1, 4))

    [(function, sliders)] = shown
    values = {name: (slider.options, slider.value) for name, slider in sliders.items()}
    assert function is draw
    assert values == {"nap": ((0, 0.1, 0.2), 0), "clients": ((1, 2, 3), 1)}
    assert all(not slider.continuous_update for slider in sliders.values())


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

"""play: sliders for a plain function."""

from __future__ import annotations

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

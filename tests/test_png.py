"""Small pictures of figures: what is seen is there, and no more; and a notebook stores them."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from matplotlib import pyplot as plt
from PIL import Image

from fiberlab.figures.png import to_png
from fiberlab.lab.alternatives import show_alternatives_in

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_windows")]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


def as_matplotlib(figure: Any, dpi: float) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi, bbox_inches="tight")
    return file.getvalue()


def chart(width: float = 6.0, **subplot: Any) -> Any:
    figure, ax = plt.subplots(figsize=(width, 3), **subplot)
    ax.bar([1, 2, 3], [3, 1, 2], color="#1B4F8A", hatch="//", edgecolor="white")
    ax.text(3.2, -1, "a text that stands\nout of the figure", fontsize=20)
    ax.set_title("a title")
    return figure


@pytest.mark.parametrize("dpi", [80, 100])
@pytest.mark.parametrize("width", [6.0, 7.013])
def test_it_shows_what_matplotlib_shows_and_crops_as_much(dpi, width):
    figure = chart(width)
    whole = pixels(as_matplotlib(figure, dpi))

    small = pixels(to_png(figure, dpi))

    assert (
        np.abs(np.subtract(small.shape, whole.shape)).max() <= 6
    )  # it goes by what is seen, not by boxes
    assert (small < 128).mean() == pytest.approx((whole < 128).mean(), rel=0.02)
    assert small[0, 0].tolist() == [255, 255, 255]


def test_it_takes_less_than_half_of_the_room():
    figure = chart()

    assert len(to_png(figure)) < len(as_matplotlib(figure, figure.dpi)) / 2


def test_the_figure_is_drawn_once():
    figure, drawn = chart(), []
    figure.axes[0].add_artist(plt.Line2D([1], [1])).draw = lambda renderer: drawn.append(renderer)

    to_png(figure)

    assert len(drawn) == 1


@pytest.mark.parametrize("case", ["far", "transparent", "legend"])
def test_what_it_cannot_crop_is_matplotlibs_own(case):
    figure = chart()
    if case == "far":
        figure.axes[0].text(3, 1, "far" * 100)
    elif case == "legend":
        figure.legend(handles=figure.axes[0].patches[:1], labels=["a bar"], loc="upper left")
    else:
        figure.set_facecolor("none")

    assert to_png(figure) == as_matplotlib(figure, figure.dpi)


def shown(shell: Any, figure: Any) -> dict[str, Any]:
    return shell.display_formatter.format(figure)[0]


def test_a_notebook_stores_the_small_picture_whenever_ipython_registers_its_own():
    shell = InteractiveShell()
    show_alternatives_in(shell)
    figure = chart()
    for _ in range(2):
        select_figure_formats(shell, {"png"})

        assert shown(shell, figure)["image/png"] == to_png(figure)


def test_another_format_that_a_user_has_chosen_stands():
    shell = InteractiveShell()
    show_alternatives_in(shell)

    select_figure_formats(shell, {"svg"})
    assert set(shown(shell, chart())) == {"text/plain", "image/svg+xml"}

    select_figure_formats(shell, {"retina"})
    fine = base64.b64decode(shown(shell, chart())["image/png"])
    assert pixels(fine).shape[1] > 1.8 * pixels(to_png(chart())).shape[1]


def test_an_empty_figure_is_no_picture():
    shell = InteractiveShell()
    show_alternatives_in(shell)
    select_figure_formats(shell, {"png"})
    figure = plt.figure()

    assert set(shown(shell, chart())) == {"text/plain", "image/png"}
    assert set(shown(shell, figure)) == {"text/plain"}

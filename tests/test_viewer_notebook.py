"""show and step: a run as the value of a notebook's cell."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from base64 import b64decode, b64encode
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from chromium import complaints, until
from test_viewer import unpacked

from fiberlab import RECV, Trace, plot_comparison, plot_queue, plot_timeline, show, step
from fiberlab.figures.alternative import runs_drawn
from fiberlab.lab import serving
from fiberlab.lab.shared.rows import draw_rows
from fiberlab.spans.build import build_spans
from fiberlab.viewer.notebook import KEEP_RUNS, kept_runs

DATA = Path(__file__).resolve().parent.parent / "data"
WIDGET = "application/vnd.jupyter.widget-view+json"


def recorded() -> Trace:
    return Trace.load(DATA / "blocker.fiber.jsonl")


def test_the_output_has_the_still_picture_and_its_words():
    data, metadata = show(recorded())._repr_mimebundle_()

    assert b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert data["text/plain"] == "<a timeline to zoom and step through: 6 fibers>"
    assert metadata["image/png"]["alt"].startswith("6 fibers in 564 ms;")


def test_without_anywidget_the_picture_is_left(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    data, _ = show(recorded())._repr_mimebundle_()

    assert sorted(data) == ["image/png", "text/plain"]


def test_with_anywidget_there_is_a_widget_too():
    pytest.importorskip("anywidget", reason="needs anywidget: the extra `lessons`")

    data, _ = step(recorded())._repr_mimebundle_()

    assert set(data[WIDGET]) >= {"model_id"}


@pytest.mark.live
def test_the_widget_shows_the_run_and_steps(chromium, tmp_path):
    pytest.importorskip("anywidget", reason="needs anywidget: the extra `lessons`")
    widget = step(recorded(), recorded(), ask=True).widget()
    module = b64encode(widget._esm.encode()).decode()
    pictures = [b64encode(each).decode() for each in widget.pictures]
    page = tmp_path / "cell.html"
    page.write_text(
        "<!doctype html><style>" + widget._css + "</style><div id=cell></div><script type=module>"
        f"const widget = (await import('data:text/javascript;base64,{module}')).default;"
        "const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))"
        ".buffer);"
        f"const values = {{stepping: {str(widget.stepping).lower()}, asking:"
        f"{str(widget.asking).lower()}, pictures: {pictures}.map(bytes)}};"
        "await widget.render({el: document.querySelector('#cell'),"
        "model: {get: (name) => values[name], on: () => {}}});"
        "window.rendered = true;</script>",
        "utf-8",
    )
    complaints(chromium)

    chromium.get(page.as_uri())
    until(chromium, "window.rendered")
    forward = chromium.find_element("css selector", "[aria-label^='one event forward']")
    forward.click()

    said = chromium.find_element("css selector", ".fl-sentence").text
    assert said == "accept-1 was added to the scheduler."
    while not (question := chromium.find_element("css selector", ".fl-question").text):
        forward.click()
    assert question.split("\n") == ["Which fiber runs next?", "accept-1", "echo-2"]
    assert len(chromium.find_elements("css selector", ".fl-track")) == 2
    assert complaints(chromium) == []


@pytest.mark.live
def test_the_widget_of_a_run_that_goes_on_grows_while_its_loop_is_blocked():
    pytest.importorskip("anywidget", reason="needs anywidget: the extra `lessons`")
    release, given_up = threading.Event(), time.monotonic() + 20

    def blocker(sock, _address):
        yield RECV(sock)
        release.wait(20)

    with (
        serving(blocker, trace=Trace(stall_after=0.02)) as server,
        socket.create_connection(server.address, timeout=20) as client,
    ):
        client.sendall(b"x")
        widget = show(server.trace).widget()
        try:
            labels: list[str] = []
            while not labels and time.monotonic() < given_up:
                time.sleep(0.01)
                labels = unpacked(widget.pictures[0])[0]["heldLabels"]
        finally:
            release.set()
    while widget.live and time.monotonic() < given_up:
        time.sleep(0.01)

    assert labels[0].startswith("test_viewer_notebook.py:")
    assert not widget.live


# -- Runs that are kept --------------------------------------------------------------------


def test_a_picture_keeps_its_runs_only_if_the_environment_asks(monkeypatch):
    trace = Trace.load(DATA / "blocker.fiber.jsonl")
    monkeypatch.delenv(KEEP_RUNS, raising=False)
    assert set(step(trace)._repr_mimebundle_()[1]["image/png"]) == {"alt"}

    monkeypatch.setenv(KEEP_RUNS, "1")
    _, about = step(trace, ask=True)._repr_mimebundle_()
    kept = about["image/png"]
    header, _columns = unpacked(b64decode(kept["runs"][0]))

    assert len(header["fibers"]) == 6
    assert kept["alone"]
    assert kept["options"] == {"stepping": True, "asking": True, "between": [0, header["finish"]]}


def test_a_figure_keeps_each_run_and_says_whether_it_shows_more(monkeypatch):
    monkeypatch.setenv(KEEP_RUNS, "1")
    trace = Trace.load(DATA / "blocker.fiber.jsonl")
    spans, rows = build_spans(trace), plt.figure().subplots(2)
    for ax in rows:
        draw_rows(ax, spans, {"echo-3": "naps"})
    figures = [
        plot_timeline(trace, t0=0.1, t1=0.2).figure,
        plot_comparison(trace, trace, names=("old", "new")).figure,
        rows[0].figure,
        plot_queue(trace).figure,
    ]

    told = [runs_drawn(figure) for figure in figures]

    assert [([run.title for run in runs], alone) for runs, alone in told] == [
        ([""], True),
        (["old", "new"], False),
        ([""], False),
        ([], False),
    ]
    assert kept_runs(told[0][0])["options"] == {"between": [100_000_000, 200_000_000]}
    assert kept_runs(told[3][0]) == {}

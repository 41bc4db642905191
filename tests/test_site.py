"""The course as a site: a small one is built as `make site` builds the whole, and is read."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from chromium import complaints, opened, until

pytestmark = [pytest.mark.live, pytest.mark.once]

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "docs" / "site" / "build.py"
PYODIDE = os.environ.get("FIBERLAB_PYODIDE", "")
HOSTILE = "</script><img src=x onerror='window.pwned=1'>"
ATTRIBUTE = '" onerror="window.pwned=1'

LESSON = f"""
import matplotlib.pyplot as plt
from fiberlab.lab import check
from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, plot_timeline, show

def nap(seconds):
    print({HOSTILE!r} * 5)
    yield WAIT(seconds)

network, trace = SimulatedNetwork(), Trace()
scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
scheduler.add(nap(1), {HOSTILE!r})
scheduler.add(nap(2), {ATTRIBUTE!r})
scheduler.run()
_ = plot_timeline(trace, t0=0.5)
plt.show()
"""
PAGES = {
    "README.md": "# Readme\n\n[Words](docs/glossary.md#the-words), [map](notebooks/00_map.ipynb)",
    "CHANGELOG.md": "# Changes",
    "CONTRIBUTING.md": "# Contributing",
    "docs/glossary.md": "# Glossary\n\n## The words\n\n[Again](../README.md)",
    "bench/README.md": "# Bench",
    "data/README.md": "# Data",
}
OPENED = ("index.html", "notebooks/00_map.html", "api.html", "try.html")


def notebook(*cells: tuple[str, str]) -> str:
    told = [
        {"cell_type": kind, "metadata": {}, "source": text}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for kind, text in cells
    ]
    return json.dumps({"cells": told, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def built(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, BUILD, *arguments], capture_output=True, text=True, encoding="utf-8"
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of few pages: a lesson, its solution, what it links to, and the public names."""
    for library in ("sphinx", "myst_nb", "furo"):
        pytest.importorskip(library, reason="needs the extra `site`")
    root = tmp_path_factory.mktemp("root")
    lessons = root / "notebooks"
    (lessons / "solutions").mkdir(parents=True)
    links = "[word](../docs/glossary.md), [next](01_next.ipynb), [tried](solutions/00_map.ipynb)"
    cells = [("markdown", f"# 00 Map\n\n{links}"), ("code", LESSON), ("code", "show(trace)")]
    (lessons / "00_map.ipynb").write_text(notebook(*cells))
    (lessons / "01_next.ipynb").write_text(notebook(("markdown", "# 01 Next")))
    (lessons / "solutions" / "00_map.ipynb").write_text(notebook(("markdown", "# Solutions")))
    for name, text in PAGES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    ran = built(root / "site", "--root", root, *(["--pyodide", PYODIDE] if PYODIDE else []))
    # Sphinx fails where it warns; a kernel may say on stderr that it was interrupted at its end.
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    return root / "site"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(site: Path) -> Iterator[Any]:
    """A browser 1024 pixels wide."""
    with opened(width=1024) as browser:
        yield browser


@pytest.fixture
def lesson(browser: Any, address: str) -> Any:
    """The browser with the lesson and its two viewers."""
    browser.get(address + "notebooks/00_map.html")
    until(browser, "window.fiberlab?.viewers[1]?.scale")
    return browser


class Links(HTMLParser):
    """What a page links to, what it loads, and the ids in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str | None] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids.add(named.get("id"))
        if tag == "a" and (link := named.get("href")):
            self.links.append(link)
        self.loads += filter(None, [named.get("src"), named.get("href") if tag == "link" else None])


def dangling(site: Path) -> list[str]:
    """Return the links of a site that lead nowhere, and what it loads from another place."""
    pages = {path: Links(path.read_text("utf-8")) for path in site.rglob("*.html")}
    found = []
    for path, page in pages.items():
        for link in (*page.links, *page.loads):
            url = urlsplit(link)
            if url.scheme in ("http", "https") or url.netloc:
                found += [f"{path.name} loads {link}"] * (link in page.loads)
            elif url.scheme != "data":
                target = (path.parent / unquote(url.path)).resolve() if url.path else path
                known = target in pages and unquote(url.fragment) in pages[target].ids
                if not target.is_file() or (url.fragment and not known):
                    found.append(f"{path.name} links to {link}")
    return found


# -- Building ------------------------------------------------------------------------------


def test_every_link_has_its_target_and_nothing_is_loaded_from_another_host(site):
    lesson = Links((site / "notebooks" / "00_map.html").read_text("utf-8"))

    assert {"../docs/glossary.html", "01_next.html", "solutions/00_map.html"} <= set(lesson.links)
    assert dangling(site) == []


def test_what_is_no_site_is_left_alone(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra `site`")
    (tmp_path / "mine.txt").write_text("mine")

    ran = built(tmp_path, "--stored")

    assert (ran.returncode, ran.stderr) == (
        1,
        f"error: {tmp_path} is there and is no site: name another folder\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_without_pyodide_is_named(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra `site`")

    ran = built(tmp_path / "site", "--stored", "--pyodide", tmp_path)

    assert ran.stderr == (
        f"error: {tmp_path} is not npm's package pyodide: it has no pyodide.mjs\n"
    )


# -- Reading -------------------------------------------------------------------------------


@pytest.mark.parametrize("page", OPENED)
def test_a_page_asks_no_other_host_and_says_nothing_on_its_console(browser, address, page):
    complaints(browser)
    browser.get(address + page)
    until(browser, "document.readyState === 'complete' && !!window.fiberlab")

    asked = "return performance.getEntriesByType('resource').map((each) => each.name)"
    others = [each for each in browser.execute_script(asked) if not each.startswith(address)]
    assert (others, complaints(browser)) == ([], [])


def test_a_timeline_is_stepped_through(lesson):
    viewer = "window.fiberlab.viewers[0]"
    said = f"return {viewer}.steps.root.querySelector('.fl-sentence').textContent"
    lesson.execute_script(f"{viewer}.openSteps(true); {viewer}.steps.show({viewer}.runs[0], 0)")

    first = lesson.execute_script(said)
    lesson.switch_to.active_element.send_keys("\ue014")  # Right
    second = lesson.execute_script(said)

    assert first == "The run begins."
    assert second.endswith("was added to the scheduler.")


def test_the_viewer_shows_the_part_that_the_picture_shows_and_takes_its_place(lesson):
    window = lesson.execute_script("return Object.values(window.fiberlab.viewers[0].window)")
    pictures = (
        "return Array.from(document.querySelectorAll('.fiberlab-run img'), (each) => each.hidden)"
    )

    assert window == [500_000_000, 2_000_000_000]
    assert lesson.execute_script(pictures) == [True, True]


def test_what_a_trace_says_is_text(lesson):
    rows = "Array.from(document.querySelectorAll('.fl-space .fl-names span'))"

    names = lesson.execute_script(f"return {rows}.map((each) => each.title)")
    assert names == [HOSTILE, ATTRIBUTE] * 2
    assert lesson.execute_script("return typeof window.pwned") == "undefined"


def test_nothing_is_wider_than_the_page(lesson):
    assert (
        lesson.execute_script(
            "const page = document.scrollingElement; return page.scrollWidth - page.clientWidth"
        )
        == 0
    )


def test_the_viewer_has_the_theme_that_the_reader_chooses(lesson):
    dark = []
    for theme in ("dark", "light"):
        lesson.execute_script("document.body.dataset.theme = arguments[0]", theme)
        until(
            lesson, f"document.querySelector('.fl-dark') {'!' if theme == 'dark' else '='}== null"
        )
        dark.append(lesson.execute_script("return window.fiberlab.viewers[0].dark"))

    assert dark == [True, False]


def test_without_javascript_there_are_pictures_with_their_words(browser, address):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address + "notebooks/00_map.html")
        pictures = "Array.from(document.querySelectorAll('.fiberlab-run img'))"
        told = "each.width > 300, each.alt.split('\\n')[0], each.alt.includes('</script>')"
        seen = browser.execute_script(f"return {pictures}.map((each) => [{told}])")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    words = "2 fibers in 2.00 s; the scheduler waited in its poll for 2.00 s."
    assert seen == [[True, words, True]] * 2


# -- Trying --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trying(browser: Any, address: str) -> Any:
    """The page on which programs run, when Python is there."""
    if not PYODIDE:
        pytest.skip("FIBERLAB_PYODIDE names no Pyodide (CONTRIBUTING.md)")
    browser.get(address + "try.html")
    until(browser, "document.querySelector('#try-state').textContent === 'Ready.'")
    return browser


def try_program(browser: Any, text: str) -> tuple[str, str, str]:
    """Run a program on the page; return its state, what was printed, and what went wrong."""
    browser.execute_script("document.querySelector('#try-source').value = arguments[0]", text)
    browser.find_element("id", "try-run").click()
    until(browser, "!document.querySelector('#try-run').disabled")
    return tuple(
        browser.execute_script(f"return document.querySelector('#try-{part}').textContent")
        for part in ("state", "said", "wrong")
    )


@pytest.mark.skipif(bool(PYODIDE), reason="FIBERLAB_PYODIDE is set")
def test_a_site_without_pyodide_says_what_is_missing(site):
    text = (site / "try.html").read_text("utf-8")

    assert "This site was built without Python for the browser." in text
    assert "try-source" not in text


def test_every_program_to_begin_with_runs_and_is_shown(trying):
    titles = trying.execute_script(
        "return Array.from(document.querySelectorAll('#try-choice option'), (each) => each.text)"
    )
    programs = sorted((BUILD.parent / "programs").glob("*.py"))
    assert titles == [path.read_text().split('"""')[1].rstrip(".") for path in programs]

    for path in programs:
        _state, _said, wrong = try_program(trying, path.read_text())
        assert wrong.startswith("line 21: Deadlock: deadlock:") == ("deadlock" in path.name), wrong
        assert until(trying, "window.fiberlab.viewers[0].runs[0].events") > 10
        assert trying.find_elements("css selector", "#try-shown canvas")


def test_a_lost_update_is_stepped_through_with_its_source(trying):
    text = (BUILD.parent / "programs" / "3_lost_update.py").read_text()
    assert try_program(trying, text)[1] == "3 + 3 = 3\n"

    viewer = "window.fiberlab.viewers[0]"
    until(trying, f"{viewer} && !{viewer}.steps.root.hidden")
    told = "([place, quoted]) => [place, quoted.length]"
    lines = trying.execute_script(f"return {viewer}.runs[0].lines.map({told})")
    assert ["program.py:10", 9] in lines


@pytest.mark.parametrize(
    ("program", "wrong"),
    [
        ("x = 1\n1 / 0", "line 2: ZeroDivisionError: division by zero"),
        ("x = (", "line 1: '(' was never closed"),
        ("raise SystemExit", "line 1: SystemExit"),
        (f"raise ValueError({HOSTILE!r})", f"line 1: ValueError: {HOSTILE}"),
        (
            "from fiberlab import *\nplot_timeline(Trace())",
            "line 2: ModuleNotFoundError: No module named 'numpy'; this page draws by show(trace)",
        ),
        (
            "import threading\nthreading.Thread(target=print).start()",
            "line 2: RuntimeError: can't start new thread; this page has only simulated time",
        ),
        (
            "from fiberlab import *\nScheduler().listen(print)",
            "line 2: OSError: [Errno 138] Not supported; this page has only simulated time",
        ),
    ],
)
def test_what_goes_wrong_is_a_sentence(trying, program, wrong):
    state, said, told = try_program(trying, program)

    assert (state, said) == ("It went wrong.", "")
    assert told.startswith(wrong)
    assert trying.execute_script("return typeof window.pwned") == "undefined"


def test_a_program_that_does_not_end_is_stopped(trying):
    source = trying.find_element("id", "try-source")
    source.clear()
    source.send_keys("while True: pass", "\ue009\ue007")  # Control and Enter
    trying.find_element("id", "try-stop").click()
    until(trying, "document.querySelector('#try-state').textContent === 'Ready.'")

    assert try_program(trying, "print('again')")[:2] == ("It has ended.", "again\n")


def test_when_python_itself_fails_it_is_loaded_again(trying):
    deep = "import sys\nsys.setrecursionlimit(10**6)\ndef f(): return f()\nf()"

    assert try_program(trying, deep)[2].startswith("Python itself has failed")
    assert try_program(trying, "1 + 1")[1:] == ("2\n", "")

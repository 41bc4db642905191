"""The viewer in a browser: a page from disk is read, zoomed, searched and stepped through."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import complaints, until

from fiberlab import EventKind, Trace, TraceEvent, bill, write_html
from fiberlab.lab.shared.stepper import at_event
from fiberlab.spans.build import build_spans
from fiberlab.spans.spans import readable
from fiberlab.trace.events import printable
from fiberlab.viewer.sentences import sentence, tell

pytestmark = [pytest.mark.live, pytest.mark.once]
DATA = Path(__file__).resolve().parent.parent / "data"
MS = 1_000_000
HOSTILE = (
    "<img src=x onerror='window.pwned=1'>",
    "</script><script>window.pwned=1</script>",
    "</pre></main><svg onload=window.pwned=1>",
    "${window.pwned=1} {fiber} {by} $& $1",
    "javascript:window.pwned=1//\"'><b>",
    "\u202egnp \x1b[2J \ud800",
)


@pytest.fixture
def page(chromium, tmp_path):
    """Open a page of traces; return the browser when the viewer is there."""

    def open_it(trace, **options):
        path = tmp_path / "page.html"
        write_html(trace, path, **options)
        complaints(chromium)
        chromium.get(path.as_uri())
        until(chromium, "window.viewer?.scale")
        return chromium

    return open_it


def recorded(name: str) -> Trace:
    return Trace.load(DATA / f"{name}.fiber.jsonl")


def press(browser, *keys: str, shift: bool = False) -> None:
    """Press keys where the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    actions = ActionChains(browser, duration=0)
    if shift:
        actions.key_down(Keys.SHIFT)
    for key in keys:
        actions.send_keys(getattr(Keys, key, key))
    if shift:
        actions.key_up(Keys.SHIFT)
    actions.perform()


def text(browser, selector: str) -> str:
    look = "viewer.paint(); return document.querySelector(arguments[0]).innerText"
    return browser.execute_script(look, selector)


def focus(browser, selector: str) -> None:
    browser.execute_script("document.querySelector(arguments[0]).focus()", selector)


def window_of(browser) -> tuple[float, float]:
    return tuple(browser.execute_script("return Object.values(window.viewer.window)"))


# -- What is shown ------------------------------------------------------------------------


def test_a_page_opens_from_disk_and_asks_no_network(page):
    browser = page(recorded("blocker"), titles=["blocker"])

    asked = browser.execute_script("return performance.getEntriesByType('resource').length")
    assert asked == 0
    assert complaints(browser) == []
    assert text(browser, ".fl-space .fl-names").splitlines()[:3] == [
        "#1 accept-1",
        "└ #2 echo-2",
        "└ #3 echo-3",
    ]


def test_the_page_says_in_words_what_the_figure_says(page):
    browser = page(recorded("blocker"))

    described = browser.execute_script("return document.querySelector('.fl-words pre').textContent")
    assert described.startswith("6 fibers in 564 ms;")
    assert text(browser, ".fl-texts") == "record.py:63  400 ms"
    assert "echo-3 ran 400 ms without yielding" in text(browser, ".fl-findings")


def test_the_bars_have_the_colours_of_the_figures(page):
    from fiberlab.figures.palette import LOOKS
    from fiberlab.states import READY

    browser = page(recorded("blocker"))
    middle = "viewer.scale.x(280e6) * devicePixelRatio, (3 * 22 + 11) * devicePixelRatio, 1, 1"
    pixel = browser.execute_script(
        "return [...document.querySelector('.fl-space canvas').getContext('2d')"
        f".getImageData({middle}).data]"
    )

    assert "#" + "".join(f"{part:02X}" for part in pixel[:3]) == LOOKS[READY].colour


def test_few_rows_do_not_scroll(page):
    browser = page(recorded("blocker"))

    rows = "document.querySelector('.fl-rows')"
    assert browser.execute_script(f"return {rows}.scrollHeight - {rows}.clientHeight") == 0


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_trace_says_is_never_markup(page, tmp_path, hostile):
    (tmp_path / "own.py").write_bytes(f"before = 1\n# {hostile}\n".encode(errors="replace"))
    events = [
        TraceEvent(0, EventKind.START, 0, {"schema": 1, "clock": hostile}),
        TraceEvent(0, EventKind.SPAWN, 1, {"name": hostile, "by": 0, "src": "own.py:2"}),
        TraceEvent(0, EventKind.WAKE, 1, {"by": 0, "why": hostile, "q": 1}),
        TraceEvent(1, EventKind.RESUME, 1, {"step": 1, "q": 0}),
        TraceEvent(2, EventKind.OUTPUT, 1, {"text": hostile, "stream": hostile}),
        TraceEvent(3, EventKind.MARK, 1, {"name": hostile, "ph": "b", "id": 1}),
        TraceEvent(90 * MS, EventKind.STALL, 1, {"src": f"{hostile}:1", "func": hostile, "ran": 9}),
        TraceEvent(200 * MS, EventKind.EXIT, 1, {"how": "error", "err": hostile, "src": hostile}),
        TraceEvent(201 * MS, EventKind.STOP, 0, {"reason": hostile, "dropped": 0}),
    ]

    browser = page(events, source=True, other=events, titles=[hostile, hostile], folders=[tmp_path])
    browser.execute_script("viewer.choose(0, 0, 1); viewer.openSteps(true)")
    browser.execute_script("viewer.bill.open = true")
    for _ in events:
        browser.execute_script("viewer.steps.byEvent(1)")
        browser.execute_script("viewer.find(viewer.runs[0].fibers[0].name, 1)")
    seen = browser.execute_script("return document.body.innerText")

    assert browser.execute_script("return window.pwned ?? null") is None
    assert complaints(browser) == []
    assert browser.find_elements("css selector", "img, svg, b, iframe, main main") == []
    assert printable(hostile)[:10] in seen


def test_the_bill_of_each_request_is_told_and_leads_to_its_place(page):
    trace = recorded("blocker")
    made = bill(trace)
    slowest = made.slowest()[0]

    browser = page(trace)
    browser.find_element("xpath", "//summary[contains(., 'slowest requests')]").click()
    told = browser.find_elements("css selector", "details.fl-findings li button")
    told[0].click()

    assert [each.text for each in told] == [made.sentence(each) for each in made.slowest()]
    assert browser.execute_script("return viewer.runs[0].fibers[viewer.chosen.row].id") == (
        slowest.fiber
    )
    assert complaints(browser) == []


def test_each_key_of_the_legend_is_painted(page):
    browser = page(recorded("blocker"))
    painted = browser.execute_script(
        "return [...document.querySelectorAll('.fl-key canvas')].map((key) => "
        "key.getContext('2d').getImageData(0, 0, 28, 14).data.some((part) => part))"
    )

    assert painted == [True] * 8


def test_an_empty_run_is_a_page_too(page):
    browser = page([])

    browser.execute_script("viewer.openSteps(true); viewer.zoom(2); viewer.find('x', 1)")

    assert text(browser, ".fl-sentence") == "This run has no events."
    assert complaints(browser) == []


# -- Zooming and finding ----------------------------------------------------------------------


def test_wheel_and_drag_zoom_and_pan(page):
    from selenium.webdriver.common.action_chains import ActionChains

    browser = page(recorded("blocker"))
    begin, end = window_of(browser)
    rows = browser.find_element("css selector", ".fl-space canvas")
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    ActionChains(browser).scroll_from_origin(ScrollOrigin.from_element(rows), 0, -400).perform()
    zoomed = window_of(browser)
    ActionChains(browser).drag_and_drop_by_offset(rows, -100, 0).perform()
    panned = window_of(browser)

    assert zoomed[1] - zoomed[0] < 0.5 * (end - begin)
    assert panned[0] > zoomed[0]
    assert panned[1] - panned[0] == pytest.approx(zoomed[1] - zoomed[0])


def test_zoomed_in_a_time_is_where_the_pointer_was(page):
    browser = page(recorded("blocker"))

    where = browser.execute_script(
        "const at = viewer.scale.time(300); viewer.zoom(4, at); viewer.paint();"
        "return viewer.scale.x(at)"
    )

    assert where == pytest.approx(300)


def test_keys_alone_zoom_pan_choose_and_tell(page):
    browser = page(recorded("blocker"))
    whole = window_of(browser)
    focus(browser, ".fl-rows")

    press(browser, "+", "+", "ARROW_LEFT")
    zoomed = window_of(browser)
    press(browser, "ARROW_DOWN", "ARROW_DOWN", "ARROW_DOWN", "0")
    until(browser, f"viewer.window.end - viewer.window.begin > {0.999 * (whole[1] - whole[0])}")
    press(browser, *["ENTER"] * 11)

    assert zoomed[1] - zoomed[0] == pytest.approx((whole[1] - whole[0]) / 1.3**2)
    assert text(browser, ".fl-details").startswith("#3 echo-3 was ")
    assert "#3 echo-3" in browser.find_element("css selector", ".fl-rows").get_attribute(
        "aria-label"
    )


def test_keys_pressed_in_the_viewer_are_its_own(page):
    browser = page(recorded("blocker"))
    browser.execute_script(
        "window.taken = [];document.addEventListener('keydown', (key) => taken.push(key.key), true)"
    )

    for place in (".fl-rows", ".fl-bar input", ".fl-bar button"):
        focus(browser, place)
        press(browser, "0", "0", "a", "ARROW_DOWN")
    browser.execute_script("document.activeElement.blur()")
    press(browser, "x")

    assert browser.execute_script("return taken") == ["x"]
    assert browser.execute_script("return viewer.search.value") == "00a"


def test_a_click_on_a_step_tells_which_fibers_it_kept_waiting(page):
    from selenium.webdriver.common.action_chains import ActionChains

    browser = page(recorded("blocker"))
    rows = browser.find_element("css selector", ".fl-space canvas")
    ActionChains(browser).move_to_element_with_offset(rows, 0, -10).click().perform()
    told = text(browser, ".fl-details").split("\n\n")

    assert told[0].startswith("#3 echo-3 was running for 400 ms, from ")
    assert told[1].startswith("It began: echo-3 was first in the run queue")
    assert told[2].startswith("It ended: echo-3 ran for 400 ms, and waits until there is room")
    paid = "It kept waiting: echo-4 (400 ms), echo-5 (400 ms), echo-6 (400 ms), echo-2 (376 ms)."
    assert told[3] == paid
    assert told[4] == "Meanwhile the scheduler did not look for: accept-1, echo-2."


def test_a_finding_jumps_to_its_place(page):
    browser = page(recorded("blocker"))
    browser.execute_script("viewer.show(0, 1e6)")

    browser.find_element("css selector", ".fl-findings button").click()

    until(browser, "viewer.window.end > 450e6")
    assert text(browser, ".fl-details").startswith("#3 echo-3 was running for 400 ms")


def test_a_fiber_is_found_by_name_or_number_one_after_the_other(page):
    browser = page(recorded("blocker"))
    focus(browser, ".fl-bar input")

    press(browser, "echo", "ENTER", "ENTER")
    second = text(browser, ".fl-chosen")
    browser.execute_script("document.querySelector('.fl-bar input').value = '#5'")
    press(browser, "ENTER")

    assert (second, text(browser, ".fl-chosen")) == ("└ #3 echo-3", "└ #5 echo-5")
    assert text(browser, ".fl-found") == "1 of 6"


def test_a_fiber_below_the_others_is_scrolled_into_view(page):
    events = [TraceEvent(0, EventKind.SPAWN, n, {"name": f"f-{n}", "by": 0}) for n in range(1, 101)]
    browser = page(events)

    browser.execute_script("viewer.find('f-100', 1)")

    assert text(browser, ".fl-chosen") == "#100 f-100"
    assert text(browser, ".fl-note") == "100 fibers: scroll down for the others"
    assert browser.execute_script("return document.querySelector('.fl-rows').scrollTop") > 1000


def test_two_runs_stand_on_one_axis(page):
    browser = page(recorded("blocker"), other=recorded("cure"), titles=["before", "after"])

    scales = browser.execute_script(
        "viewer.zoom(2); viewer.paint();"
        "return [...document.querySelectorAll('.fl-rows canvas')].map((each) => each.clientWidth)"
    )

    assert [each.text for each in browser.find_elements("css selector", ".fl-title")] == [
        "before",
        "after",
    ]
    assert scales[0] == scales[1]


# -- Stepping -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blocker", "crash", "deadlock", "late-timers", "slow-reader"])
def test_after_each_event_the_page_knows_what_the_stepper_knows(page, name):
    trace = recorded(name)
    browser = page(trace)
    seen = browser.execute_script(
        "const run = viewer.runs[0], names = (list) => list.map(({row}) => run.nameOf(row));"
        "return [...run.columns.eventTime.keys()].map((event) => { const now = run.moment(event);"
        "return [now.running < 0 ? null : run.nameOf(now.running), names(now.queue),"
        "names([...now.parked, ...now.sleeping, ...now.sockets]).sort()] })"
    )
    known = [
        [moment.running, list(moment.queue), sorted(moment.waiting)]
        for moment in (at_event(trace, number) for number in range(1, len(trace) + 1))
    ]

    assert seen == known


def test_each_span_ends_where_python_says(page):
    trace = recorded("replicator-joined")
    browser = page(trace)

    ends = browser.execute_script(
        "const run = viewer.runs[0]; return [...run.place].map((place) => run.end[place])"
    )

    assert ends == list(build_spans(trace).end)


@pytest.mark.parametrize("name", ["blocker", "crash", "deadlock", "late-timers", "slow-reader"])
def test_the_page_says_of_each_event_what_python_says(page, name):
    trace = recorded(name)
    spans = build_spans(trace)
    names = {life.id: life.name for life in spans.lives}
    browser = page(trace)
    seen = browser.execute_script(
        "const run = viewer.runs[0];"
        "return [...run.columns.eventTime.keys()].map((event) => run.sentence(event))"
    )

    assert seen == [sentence(each, names) for each in tell(spans)]


def test_a_length_of_time_reads_as_in_python(page):
    lengths = [0, 1, 999, 1_500, 99_499, 99_500, 999_499, 999_500, 9_949_999, 9_950_000]
    lengths += [999_499_999, 999_500_000, 61 * 10**9]
    browser = page([])
    shown = browser.execute_script("return arguments[0].map(viewer.readable)", lengths)

    assert shown == [readable(length) for length in lengths]


def test_buttons_and_arrows_step_by_event_by_pass_and_by_fiber(page):
    browser = page(recorded("blocker"))
    browser.execute_script("viewer.openSteps(true); viewer.steps.show(viewer.runs[0], 4)")
    where = "Number(document.querySelector('.fl-where').innerText.split(' ')[1])"
    visited = []
    for key, shift in [
        ("ARROW_RIGHT", False),
        ("ARROW_LEFT", False),
        ("ARROW_RIGHT", True),
        ("ARROW_RIGHT", True),
        ("ARROW_LEFT", True),
        ("ARROW_DOWN", False),
        ("ARROW_UP", False),
    ]:
        press(browser, key, shift=shift)
        visited.append(until(browser, where))
    browser.find_element("css selector", "[aria-label^='one event forward']").click()

    assert visited == [6, 5, 9, 16, 9, 12, 9]
    assert until(browser, where) == 10


def test_stepping_shows_the_line_of_source_and_the_queue(page):
    browser = page(recorded("blocker"), source=True, folders=[DATA])
    browser.execute_script(
        "viewer.openSteps(true); viewer.steps.show(viewer.runs[0], viewer.runs[0].eventAt(200e6))"
    )

    assert "echo-3 has run for" in text(browser, ".fl-sentence")
    assert "time.sleep" in text(browser, ".fl-here")
    queue = browser.find_elements("css selector", ".fl-list")[1].text.splitlines()
    assert queue == ["run queue, the front first (3)", "echo-4", "echo-5", "echo-6"]


def test_it_can_ask_which_fiber_runs_next_and_waits_for_a_click(page):
    browser = page(recorded("blocker"))
    browser.execute_script(
        "viewer.openSteps(true); viewer.steps.asks.checked = true;"
        "viewer.steps.show(viewer.runs[0], 14); viewer.steps.byEvent(1)"
    )
    where = text(browser, ".fl-where")
    asked = text(browser, ".fl-question").split("\n")
    browser.find_element("css selector", ".fl-question button").click()

    assert where.startswith("event 15 ")
    assert asked == ["Which fiber runs next?", "accept-1", "echo-2"]
    assert text(browser, ".fl-question") == "No: echo-2 runs next, not accept-1."
    assert text(browser, ".fl-where").startswith("event 16 ")


# -- Many spans ---------------------------------------------------------------------------------


def test_a_million_spans_are_drawn_in_a_frame(page):
    browser = page(recorded("healthy"))
    took = browser.execute_script(
        """
        const old = viewer.runs[0], count = 1e6, rows = 50, length = 1000;
        const made = {...old.fibers[0], died: null};
        const fibers = Array.from({length: rows}, (_, id) => ({...made, id}));
        const row = Int32Array.from({length: count}, (_, i) => i % rows);
        const state = Uint8Array.from({length: count}, (_, i) => (i / rows | 0) % 3);
        const start = Float64Array.from({length: count}, (_, i) => i * length);
        const columns = {...old.columns, row, state, start, depthTime: start, depthLength: row};
        const before = performance.now();
        const run = new old.constructor({...old, fibers, columns, begin: 0, finish: count * length,
                                         findings: [], marks: [], deepest: undefined});
        viewer.runs[0] = run;
        viewer.whole();
        viewer.paint();
        const first = performance.now() - before, paints = [];
        for (let i = 0; i < 10; i++) {
          const since = performance.now();
          viewer.show(i * 1e6, count * length / 2 + i * 1e6);
          viewer.paint();
          paints.push(performance.now() - since);
        }
        return [first, Math.min(...paints)];
        """
    )

    # A second and a frame of 30 in a second, five times each: the machine may be busy.
    assert took[0] < 5_000
    assert took[1] < 5 * 33


# -- For everybody ------------------------------------------------------------------------------


def test_the_dark_page_has_a_dark_ground(page):
    browser = page(recorded("blocker"))
    ground = "getComputedStyle(document.querySelector('.fl-viewer')).backgroundColor"
    light = browser.execute_script(f"return {ground}")
    media = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    try:
        dark = until(browser, f"viewer.inks.dark && {ground}")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(27, 27, 29)")


def test_a_page_1024_pixels_wide_needs_no_scrolling_to_the_side(page):
    browser = page(recorded("replicator-joined"))
    metrics = {"width": 1024, "height": 768, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        browser.execute_script("viewer.openSteps(true); viewer.paint()")
        wide = browser.execute_script("return document.documentElement.scrollWidth")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    assert wide <= 1024


def test_who_wants_little_motion_sees_a_jump_at_once(page):
    browser = page(recorded("blocker"))
    media = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    try:
        at_once = browser.execute_script("viewer.glide(1e6, 2e6); return viewer.window")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    assert at_once == {"begin": 1e6, "end": 2e6}


def test_each_control_has_a_name_for_a_screen_reader(page):
    browser = page(recorded("blocker"))
    browser.execute_script("viewer.openSteps(true)")
    unnamed = browser.execute_script(
        "return [...document.querySelectorAll('button, input, [tabindex]')].filter((each) =>"
        "!each.getAttribute('aria-label') && !each.closest('label')).length"
    )

    assert unnamed == 0

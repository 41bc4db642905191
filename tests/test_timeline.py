"""The timeline: as a figure and in words."""

from __future__ import annotations

import math
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.patches import FancyArrowPatch
from stories import MS, event

from fiberlab.diagnosis.diagnose import diagnose
from fiberlab.figures.marks import Pixels
from fiberlab.figures.page import cut
from fiberlab.figures.palette import LOOKS, MARKED, STALLED, UNBLAMED, UNWATCHED
from fiberlab.figures.timeline import describe_timeline, plot_timeline
from fiberlab.figures.window import Columns, Window, highest, in_window, shares, split, stacks
from fiberlab.spans.build import build_spans
from fiberlab.spans.spans import Spans
from fiberlab.states import READY, RUNNING, STATES, FiberState
from fiberlab.trace.events import TraceEvent

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_windows")]

RECV = FiberState.RECV.code


def blocked_server(name: str = "echo-2") -> list[TraceEvent]:
    """Tell of a fiber that blocks for 300 ms while one is ready and one waits for data."""
    return [
        event(0, "start", schema=1, clock="perf_counter"),
        event(0, "spawn", 1, name="accept-1", by=0, src="server.py:1"),
        event(0, "wake", 1, by=0, why="spawn", q=1),
        event(1, "resume", 1, step=1, q=0),
        event(2, "yield", 1, op="RECV", fd=3, src="server.py:3"),
        event(3, "spawn", 2, name=name, by=1, src="server.py:9"),
        event(3, "wake", 2, by=1, why="spawn", q=1),
        event(4, "spawn", 3, name="echo-3", by=1, src="server.py:9"),
        event(4, "wake", 3, by=1, why="spawn", q=2),
        event(5, "resume", 2, step=2, q=1),
        event(60, "stall", 2, src="server.py:12", func="time.sleep(0.3)", ran=55 * MS),
        event(305, "yield", 2, op="SEND", fd=5, src="server.py:13", cpu=20_000),
        event(306, "resume", 3, step=3, q=0),
        event(307, "exit", 3, how="error", err="OSError: gone", src="server.py:15"),
        event(308, "poll", timeout=0, q=0, nfd=2, ntimer=0),
        event(400, "polled", n=1),
        event(400, "wake", 1, by=0, why="io", q=1),
        event(410, "stop", reason="stopped", dropped=0),
    ]


def drawn(ax: plt.Axes) -> bytes:
    file = BytesIO()
    ax.figure.savefig(file)
    return file.getvalue()


def test_a_figure_of_its_own_has_a_row_for_each_fiber_in_order():
    ax = plot_timeline(blocked_server())

    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == ["run queue", "scheduler", "#1 accept-1", "└ #2 echo-2", "└ #3 echo-3"]
    assert ax.get_xlabel().startswith("time (ms)")
    assert ax.get_xlim() == (0.0, 410.0)
    assert drawn(ax)


def test_the_legend_tells_how_long_each_state_lasted():
    ax = plot_timeline(blocked_server())

    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "running: 302 ms, 27 %",
        "ready: 315 ms, 28 %",
        "recv: 398 ms, 36 %",
        "send: 105 ms, 9 %",
        "waits unwatched: 300 ms",
        "held the loop: 300 ms",
        "scheduler polls: 92 ms",
    ]


def test_the_line_that_held_the_loop_is_written_in_the_figure():
    ax = plot_timeline(blocked_server())

    assert "server.py:12  300 ms" in [text.get_text() for text in ax.texts]


def test_each_row_ends_with_its_shares_if_they_are_asked_for():
    ax = plot_timeline(blocked_server(), shares=True)
    assert not any("%" in text.get_text() for text in plot_timeline(blocked_server()).texts)

    shares_of_rows = [
        text.get_text().replace("\u2007", "") for text in ax.texts if "%" in text.get_text()
    ]
    assert shares_of_rows == ["0 / 3 / 97 %", "74 / 0 / 26 %", "0 / 100 / 0 %"]


def test_shares_that_leave_nothing_over_end_in_zero():
    run, ready = 1, 2  # in floats, 100 - 100 * 1 / 3 - 100 * 2 / 3 is a little below 0
    ax = plot_timeline(
        [
            event(0, "start", schema=1, clock="perf_counter"),
            event(0, "spawn", 1, name="a-1", by=0),
            event(0, "wake", 1, by=0, why="spawn", q=1),
            event(ready, "resume", 1, step=1, q=0),
            event(ready + run, "exit", 1, how="return"),
            event(ready + run, "stop", reason="done", dropped=0),
        ],
        shares=True,
    )

    told = [text.get_text().replace("\u2007", "") for text in ax.texts if "%" in text.get_text()]
    assert told == ["33 / 67 / 0 %"]


def test_it_draws_on_the_axes_it_is_given():
    figure, (above, below) = plt.subplots(2)

    ax = plot_timeline(blocked_server(), below)

    assert ax is below
    assert figure.axes == [above, below]
    assert not above.has_data()


@pytest.mark.parametrize(("end", "unit"), [(1.999, "ms"), (2.0, "s")])
def test_time_is_in_milliseconds_or_seconds(end, unit):
    ax = plot_timeline(blocked_server(), t0=0, t1=end)

    assert ax.get_xlabel().startswith(f"time ({unit})")


def test_a_window_is_asked_for_in_seconds():
    ax = plot_timeline(blocked_server(), t0=0.1, t1=0.2)

    assert ax.get_xlim() == (100.0, 200.0)
    with pytest.raises(ValueError, match="t0 before t1"):
        plot_timeline(blocked_server(), t0=0.2, t1=0.1)


def test_zooming_shows_what_was_merged():
    ax = plot_timeline(blocked_server(), t1=1000)
    assert "narrower than a pixel" in ax.get_xlabel()

    ax.set_xlim(0.0, 0.41)

    assert "narrower than a pixel" not in ax.get_xlabel()


@pytest.mark.parametrize(
    "name",
    [
        r"$\frac{",
        r"$\frac{$",
        "a\nb\x1b[2J",
        "x" * 5000,
        "$1 to $2",
        "\u202egnp",
        "\U0001f980",
        "_",
        "",
    ],
)
def test_hostile_names_are_drawn_as_text(name):
    ax = plot_timeline(blocked_server(name))

    assert drawn(ax)
    label = ax.get_yticklabels()[3].get_text()
    assert label.isprintable()
    assert len(label) < 60


def test_names_are_cut():
    assert cut("x" * 100) == "x" * 21 + "..."
    assert cut("a\nb") == r"a\nb"


@pytest.mark.parametrize("events", [[], blocked_server()[:1], blocked_server()[:2]])
def test_a_trace_with_hardly_anything_in_it_is_drawn(events):
    assert drawn(plot_timeline(events))


def test_a_thousand_fibers_are_drawn():
    events = []
    for fid in range(1, 1001):
        events.append(event(fid, "spawn", fid, name=f"f-{fid}"))
        events.append(event(fid, "wake", fid, by=0, why="spawn", q=fid))

    assert drawn(plot_timeline(events))


def test_spans_are_taken_for_a_trace():
    assert plot_timeline(build_spans(blocked_server())).get_xlim() == (0.0, 410.0)


# -- The text alternative -------------------------------------------------------------


def test_the_timeline_in_words():
    text = describe_timeline(blocked_server(), steps=2)

    assert text.splitlines() == [
        "3 fibers in 410 ms; the scheduler waited in its poll for 92 ms.",
        "",
        "fiber          born    life   ready  running    recv    send  sleep  parked",
        "#1 accept-1    0 µs  410 ms   11 ms   1.0 ms  398 ms       -      -       -",
        "#2 echo-2    3.0 ms  407 ms  2.0 ms   300 ms       -  105 ms      -       -",
        "#3 echo-3    4.0 ms  303 ms  302 ms   1.0 ms       -       -      -       -",
        "together             1.12 s  315 ms   302 ms  398 ms  105 ms      -       -",
        "",
        "longest steps:",
        "  300 ms by #2 echo-2, at server.py:12",
        "  1.0 ms by #1 accept-1, at server.py:1 to server.py:3",
    ]


def test_words_escape_what_a_terminal_would_obey():
    assert "\x1b" not in describe_timeline(blocked_server("\x1b[2J"))


def test_a_timeline_of_its_own_is_drawn_once():
    """A layout engine would draw all of it first, to measure it."""
    ax = plot_timeline(blocked_server())
    counted = []
    ax.add_artist(plt.Line2D([1], [1])).draw = counted.append

    assert drawn(ax)
    assert len(counted) == 1


# -- The picture of merged spans ------------------------------------------------------


@pytest.mark.parametrize(("dpi", "across"), [(100, (2, 9)), (73, (2, 9)), (200, (9, 2))])
def test_pixels_show_what_imshow_shows(dpi, across):
    picture = np.random.default_rng(1).integers(0, 256, (20, 300, 4), np.uint8)
    picture[..., 3] = 255
    drawn = []
    for ours in (True, False):
        figure, ax = plt.subplots(figsize=(5, 2))
        if ours:
            ax.add_artist(Pixels(picture, 1.0, 8.0, 0.5, 4.5))
        else:
            ax.imshow(picture, extent=(1, 8, 4.5, 0.5), aspect="auto", interpolation="nearest")
        ax.set(xlim=across, ylim=(6, -1))
        drawn.append(pixels_of(figure, dpi))

    # At the edges of a pixel the two may round otherwise.
    assert (drawn[0] == drawn[1]).all(axis=-1).mean() > 0.7


def pixels_of(figure: plt.Figure, dpi: float) -> np.ndarray:
    file = BytesIO()
    figure.savefig(file, format="rgba", dpi=dpi)
    return np.frombuffer(file.getvalue(), np.uint8).reshape(round(2 * dpi), -1, 4)


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_merged_spans_are_drawn_in_every_format(ending):
    ax = plot_timeline(blocked_server(), t1=1000)
    [merged] = [each for each in ax.get_children() if isinstance(each, Pixels)]
    sizes = []
    for shown in (True, False):
        merged.set_visible(shown)
        file = BytesIO()
        ax.figure.savefig(file, format=ending)
        sizes.append(len(file.getvalue()))

    assert sizes[0] > sizes[1]


@pytest.mark.parametrize("size", [(0.5, 0.5), (2, 1), (30, 2)])
def test_a_figure_of_any_size_is_drawn_in(size):
    _, ax = plt.subplots(figsize=size)

    assert drawn(plot_timeline(blocked_server(), ax, t1=1000))


# -- Arithmetic -----------------------------------------------------------------------


def columns(*spans: tuple[int, int, int, int]) -> Columns:
    return Columns(*np.array(spans, np.int64).reshape(-1, 4).T)


def test_merged_pixels_hold_all_the_time_of_their_spans():
    rng = np.random.default_rng(1)
    start = rng.integers(0, 1000, 500)
    spans = columns(
        *(
            (row, state, a, min(a + length, 1000))
            for row, state, a, length in zip(
                rng.integers(0, 3, 500), rng.integers(0, 6, 500), start, rng.integers(1, 90, 500),
                strict=True,
            )
        )
    )  # fmt: skip

    time = shares(spans, Window(0, 1000, 40, 10), 3)

    for row in range(3):
        for state in range(len(LOOKS)):
            mine = (spans.row == row) & (spans.state == state)
            whole = (spans.end - spans.start)[mine].sum() / 25
            assert time[row, :, state].sum() == pytest.approx(whole)


def test_a_pixel_is_stacked_by_share_with_running_at_the_bottom():
    spans = columns((0, RECV, 0, 50), (0, READY, 50, 75), (0, RUNNING, 75, 100))

    row, place, states = stacks(shares(spans, Window(0, 400, 4, 10), 1), levels=4)

    assert (row.tolist(), place.tolist()) == ([0], [0])
    assert states.tolist() == [[RUNNING, READY, RECV, RECV]]


def test_a_step_that_took_no_time_is_seen():
    window = Window(0, 1000, 10, 10)

    seen = in_window(columns((0, RUNNING, 500, 500), (0, RECV, 500, 500)), window)

    assert (seen.state.tolist(), shares(seen, window, 1)[0, 5, RUNNING] > 0) == ([RUNNING], True)


def test_only_so_many_bars_are_drawn_and_they_are_the_widest():
    spans = columns(*((0, RECV, 100 * n, 100 * n + 10 * n) for n in range(1, 9)))

    wide, narrow = split(spans, Window(0, 1000, 1000, 10), most=3)

    assert (wide.end - wide.start).tolist() == [70, 80]
    assert len(wide.row) + len(narrow.row) == 8


def test_a_thinned_curve_keeps_its_peaks():
    times = np.arange(10_000)
    values = np.where(times == 5_000, 7, 1)

    x, y = highest(times, values, Window(0, 10_000, 100, 10))

    assert len(x) < 250
    assert (y.max(), x[y.argmax()]) == (7, 5_000)


def test_a_stall_narrower_than_a_pixel_is_still_marked():
    ax = plot_timeline(blocked_server(), t1=3_000)

    [mark] = [each for each in ax.collections if each.get_hatch() == STALLED.hatch]
    [path] = mark.get_paths()
    pixel = 3_000 / ax.get_window_extent().width
    assert np.ptp(path.vertices[:, 0]) >= 2.5 * pixel


def long_step(*, cpu: int | None, func: str, clock: str = "perf_counter") -> list[TraceEvent]:
    """Tell of a step of 300 ms that used `cpu` ns, and was seen at `func` if that is something."""
    events = []
    for each in blocked_server():
        fields = dict(each.fields)
        if each.ev == "start":
            fields["clock"] = clock
        if each.ev == "stall":
            if not func:
                continue
            fields["func"] = func
        if fields.get("cpu") is not None:
            fields["cpu"] = cpu
        events.append(each._replace(fields=fields))
    return events


@pytest.mark.parametrize(
    ("steps", "held", "label"),
    [
        # What did the step, and whether that is seen: `diagnose` and the picture say the same.
        (long_step(cpu=20_000, func="time.sleep(0.3)"), True, "server.py:12  300 ms"),
        (long_step(cpu=290 * MS, func="total += n"), True, "server.py:12  300 ms"),
        (long_step(cpu=290 * MS, func=""), True, "300 ms"),
        (long_step(cpu=5 * MS, func="total += n"), False, "300 ms, machine busy?"),
        (long_step(cpu=5 * MS, func="sock.recv(10)"), False, "300 ms, machine busy?"),
        (long_step(cpu=20_000, func=""), False, "300 ms, cause not seen"),
        (long_step(cpu=None, func=""), False, "300 ms, cause not seen"),
        (long_step(cpu=None, func="", clock="simulated"), True, "300 ms"),
    ],
)
def test_a_step_is_drawn_as_held_only_if_the_diagnosis_blames_the_program(steps, held, label):
    ax = plot_timeline(steps)

    blamed = [each for each in diagnose(steps, most=None) if each.blames and each.name == "echo-2"]
    hatched = [each for each in ax.collections if each.get_hatch() == STALLED.hatch]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert (bool(blamed), bool(hatched)) == (held, held)
    assert ("held the loop: 300 ms" in legend, "long, cause unknown: 300 ms" in legend) == (
        held,
        not held,
    )
    [text] = [text for text in ax.texts if text.get_text() == label]
    assert text.get_color() == (STALLED if held else UNBLAMED).edge


def test_a_pause_of_the_machine_is_told_in_words_too():
    steps = long_step(cpu=5 * MS, func="total += n")

    assert "  300 ms by #2 echo-2, at server.py:12 (machine busy?)" in describe_timeline(steps)


def test_a_pause_of_the_machine_is_framed_and_not_hatched():
    ax = plot_timeline(long_step(cpu=5 * MS, func="total += n"))

    grey = to_rgba(UNBLAMED.edge)
    [frame] = [each for each in ax.collections if (each.get_edgecolor() == grey).all(axis=-1).any()]
    assert frame.get_hatch() is None
    assert drawn(ax)


def test_unwatched_waits_are_hatched():
    ax = plot_timeline(blocked_server())

    [waits] = [each for each in ax.collections if each.get_hatch() == UNWATCHED.hatch]
    [path] = waits.get_paths()
    assert (path.vertices[:, 0].min(), path.vertices[:, 0].max()) == (5.0, 305.0)


@pytest.mark.parametrize("never", [math.inf, None])
def test_infinity_or_none_marks_no_step_and_no_wait(never):
    ax = plot_timeline(blocked_server(), stalled=never, unwatched=never)

    hatches = {each.get_hatch() for each in ax.collections}
    assert UNWATCHED.hatch not in hatches
    assert drawn(ax)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"unwatched": math.nan}, ValueError, r"plot_timeline\(unwatched=\) cannot be negative"),
        ({"unwatched": -1}, ValueError, r"plot_timeline\(unwatched=\) cannot be negative"),
        ({"stalled": "1"}, TypeError, r"plot_timeline\(stalled=\) needs a number of seconds"),
        ({"stalled": True}, TypeError, r"plot_timeline\(stalled=\) needs a number of seconds"),
        ({"t0": math.nan}, ValueError, r"plot_timeline\(t0=\) needs a finite number of seconds"),
        ({"t1": math.inf}, ValueError, r"plot_timeline\(t1=\) needs a finite number of seconds"),
        ({"t1": "2"}, TypeError, r"plot_timeline\(t1=\) needs a finite number of seconds"),
    ],
)
def test_times_that_make_no_sense_are_refused(options, error, words):
    with pytest.raises(error, match=words):
        plot_timeline(blocked_server(), **options)


# -- Told apart -----------------------------------------------------------------------

# Machado, Oliveira and Fernandes (2009), severity 1.0.
EYES = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


def lab(colour: str, eye: str) -> np.ndarray:
    """Return a colour as an eye sees it, in CIE L*a*b* (white D65)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(EYES[eye] @ linear, 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ linear / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eye", EYES)
def test_the_loud_states_are_told_apart_by_every_eye(eye):
    colours = [LOOKS[RUNNING].colour, LOOKS[READY].colour, LOOKS[RECV].colour, STALLED.edge]

    nearest = min(np.linalg.norm(lab(a, eye) - lab(b, eye)) for a, b in combinations(colours, 2))
    assert nearest >= 40


DISTANCES = {
    ("running", "ready"): [119, 110, 121, 78],
    ("ready", "recv"): [103, 93, 100, 80],
    ("running", "recv"): [50, 47, 48, 45],
    ("running", "stalled"): [86, 52, 76, 99],
    ("ready", "stalled"): [72, 69, 51, 44],
    ("recv", "send"): [44, 37, 34, 19],
}


@pytest.mark.parametrize(("first", "other"), DISTANCES)
def test_colours_are_as_far_apart_as_was_planned(first, other):
    colours = {STATES[code].value: look.colour for code, look in LOOKS.items()}
    colours["stalled"] = STALLED.edge

    one, two = colours[first], colours[other]
    seen = [round(np.linalg.norm(lab(one, eye) - lab(two, eye))) for eye in EYES]
    assert seen == DISTANCES[first, other]


def test_signs_stand_out_from_the_bars_they_stand_on():
    bars = [LOOKS[state].colour for state in (RUNNING, READY, RECV)]

    for eye in EYES:
        assert min(np.linalg.norm(lab(MARKED, eye) - lab(bar, eye)) for bar in bars) >= 29


def test_states_of_one_height_differ_in_hatch():
    looks = [(look.height, look.hatch) for look in LOOKS.values()]

    assert len(set(looks)) == len(LOOKS) == len(STATES) - 1


def test_a_million_spans_need_no_object_each():
    spans = Spans([])
    for name, values in {
        "row": [0] * 1000,
        "state": [RECV] * 1000,
        "start": range(1000),
        "end": range(1, 1001),
    }.items():
        getattr(spans, name).extend(values)

    view = Columns.of(spans)

    assert np.shares_memory(view.start, np.asarray(spans.start))


# -- Rows, wakes and signs ------------------------------------------------------------


def rows_of(ax: plt.Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()][2:]


def test_children_stand_under_their_parents():
    events = [
        event(n, "spawn", fid, name=name, by=by)
        for n, (fid, name, by) in enumerate(
            [(1, "a", 0), (2, "b", 0), (3, "c", 1), (4, "d", 3), (5, "e", 2)]
        )
    ]

    assert rows_of(plot_timeline(events)) == ["#1 a", "└ #3 c", "└ #4 d", "#2 b", "└ #5 e"]
    assert rows_of(plot_timeline(events, order="spawn")) == [
        "#1 a", "#2 b", "#3 c", "#4 d", "#5 e",
    ]  # fmt: skip


def test_rows_can_be_ordered_by_time_ready():
    assert rows_of(plot_timeline(blocked_server(), order="ready")) == [
        "#3 echo-3", "#1 accept-1", "#2 echo-2",
    ]  # fmt: skip
    with pytest.raises(ValueError, match='"family", "spawn" or "ready", got \'size\''):
        plot_timeline(blocked_server(), order="size")


def wakes_in(ax: plt.Axes) -> int:
    return sum(isinstance(each, FancyArrowPatch) for each in ax.patches)


def test_few_wakes_by_fibers_are_arrows():
    assert wakes_in(plot_timeline(crowd(20))) == 19
    assert wakes_in(plot_timeline(blocked_server())) == 0  # these were only spawned


def test_the_wakes_of_one_fiber_can_be_asked_for():
    assert wakes_in(plot_timeline(blocked_server(), highlight="echo-3")) == 1
    assert wakes_in(plot_timeline(blocked_server(), highlight=1)) == 4
    with pytest.raises(ValueError, match="there is no fiber 'nobody'"):
        plot_timeline(blocked_server(), highlight="nobody")


def crowd(wakes: int) -> list[TraceEvent]:
    events = [event(0, "spawn", fid, name=f"f-{fid}") for fid in (1, 2)]
    events.append(event(0, "wake", 1, by=0, why="spawn", q=1))
    for n in range(wakes):
        events += [
            event(n, "wake", 2, by=1, why="fiber" if n else "spawn", q=2),
            event(n + 0.1, "resume", 2, step=n, q=1),
            event(n + 0.2, "yield", 2, op="WAIT"),
        ]
    return events


def test_many_wakes_are_no_arrows_unless_one_fiber_is_asked_for():
    assert wakes_in(plot_timeline(crowd(60))) == 0
    assert wakes_in(plot_timeline(crowd(60), highlight=2)) == 60

    ax = plot_timeline(crowd(300), highlight=2)
    assert wakes_in(ax) == 0
    assert "300 wakes are left out" in ax.get_xlabel()


def test_marks_and_output_stand_on_the_rows():
    ax = plot_timeline([
        *blocked_server()[:-1],
        event(400, "mark", 1, name="request 7", ph="b", id=7),
        event(401, "mark", 1, name="note", ph="i"),
        event(402, "output", 1, text="hello", stream="stdout"),
        event(409, "mark", 1, name="request 7", ph="e", id=7),
    ], t0=0.398, t1=0.41)  # fmt: skip

    assert [text.get_text() for text in ax.get_legend().get_texts()][-3:] == [
        "requests: 1", "notes: 1", "lines printed: 1",
    ]  # fmt: skip
    assert "request 7" in [text.get_text() for text in ax.texts]
    assert sorted(line.get_marker() for line in ax.lines) == ["D", "X", "v", "|"]


def test_data_that_lay_in_the_kernel_is_filled_as_ready():
    events = [
        each._replace(fields={**each.fields, "hidden": 90 * MS})
        if each.fields.get("why") == "io"
        else each
        for each in blocked_server()
    ]

    ax = plot_timeline(events)

    assert "data was there: 90 ms" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert any(
        path.vertices[:, 0].min() == 310 and path.vertices[:, 0].max() == 400
        for each in ax.collections
        for path in each.get_paths()
        if len(path.vertices) == 5
    )

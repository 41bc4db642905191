"""Where a fiber's prints go, and that no other's are touched (design.md, 2.3)."""

from __future__ import annotations

import contextlib
import gc
import io
import re
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections import deque

import pytest

from fiberlab.io.clock import RealClock
from fiberlab.output import Output
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.waits import RECV, WAIT


@pytest.fixture
def file():
    """Where the schedulers of a test write."""
    return io.StringIO()


@pytest.fixture
def make(network, clock, file):
    """Make a scheduler in simulated time that writes to `file`."""

    def scheduler(output, **options):
        return Scheduler(clock=clock, poller=network, output=output, file=file, **options)

    return scheduler


def prints(*lines, pause=0):
    """Print `lines`, with a wait between each two."""
    for line in lines:
        print(line)
        yield WAIT(pause)


# -- Withheld -----------------------------------------------------------------


def test_withheld_keeps_a_fibers_lines_until_it_ends_and_writes_them_as_one_block(make, file):
    scheduler = make("withheld")
    scheduler.add(prints("one", "two", pause=1.5), "slow")
    scheduler.add(prints("three", pause=0.5), "quick")
    scheduler.run()

    assert file.getvalue() == (
        "--- 0.000 s  quick\n"
        "     0.000  three\n"
        "--- 0.000 s  slow\n"
        "     0.000  one\n"
        "     1.500  two\n"
    )


def test_withheld_counts_the_seconds_since_the_fiber_began(make, file):
    scheduler = make("withheld")

    def parent():
        yield WAIT(10)
        scheduler.add(prints("begins", "goes on", pause=2), "child")

    scheduler.add(parent())
    scheduler.run()

    assert file.getvalue() == "--- 10.000 s  child\n     0.000  begins\n     2.000  goes on\n"


def test_withheld_writes_nothing_for_a_fiber_that_printed_nothing(make, file):
    scheduler = make("withheld")
    scheduler.add(prints(pause=1))
    scheduler.run()

    assert file.getvalue() == ""


def test_withheld_keeps_stderr_with_stdout_in_order(make, file):
    def fiber():
        print("out")
        print("err", file=sys.stderr)
        print("out again")
        yield WAIT(0)

    scheduler = make("withheld")
    scheduler.add(fiber(), "both")
    scheduler.run()

    assert re.findall(r"0\.000  (.*)", file.getvalue()) == ["out", "err", "out again"]


def test_partial_lines_are_joined_and_the_last_is_written_without_its_end(make, file):
    def fiber():
        print("a", end="")
        yield WAIT(1)
        print("b", end="\nc")
        yield WAIT(1)
        sys.stdout.write("d")

    scheduler = make("withheld")
    scheduler.add(fiber(), "parts")
    scheduler.run()

    assert file.getvalue() == "--- 0.000 s  parts\n     1.000  ab\n     2.000  cd\n"


def test_partial_lines_of_two_fibers_are_not_mixed(make, file):
    def fiber(word):
        for letter in word:
            print(letter, end="")
            yield WAIT(0)

    scheduler = make("direct")
    scheduler.add(fiber("left"))
    scheduler.add(fiber("wing"))
    scheduler.run()

    assert file.getvalue() == "[1] left\n[2] wing\n"


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_prints_in_finally_are_kept_with_their_fiber_when_run_is_left(make, file, output):
    def fiber():
        try:
            print("begins")
            yield WAIT(9)
        finally:
            print("ends")

    def interrupts():
        yield WAIT(1)
        raise KeyboardInterrupt

    scheduler = make(output)
    scheduler.add(fiber(), "guarded")
    scheduler.add(interrupts())
    with pytest.raises(KeyboardInterrupt):
        scheduler.run()

    assert {
        "withheld": "--- 0.000 s  guarded\n     0.000  begins\n     1.000  ends\n",
        "direct": "[1] ends\n",
    }[output] in file.getvalue()


def test_an_error_is_the_last_line_of_its_fibers_block(make, file):
    def fiber():
        print("begins")
        yield WAIT(1)
        raise ValueError("no")

    scheduler = make("withheld")
    scheduler.add(fiber(), "bad")
    scheduler.run()

    assert file.getvalue() == (
        "--- 0.000 s  bad\n     0.000  begins\n     1.000  error: ValueError: no (fiber 'bad')\n"
    )


def test_the_header_tells_the_time_of_day_in_real_time(file):
    scheduler = Scheduler(output="withheld", file=file)
    scheduler.add(prints("x"), "named")
    scheduler.run()

    assert re.fullmatch(
        r"--- \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  named\n {5}0\.\d{3}  x\n", file.getvalue()
    )


# -- Direct -------------------------------------------------------------------


def test_direct_writes_each_line_at_once_with_the_fibers_id(make, file):
    seen = []

    def fiber(word):
        print(word)
        seen.append(file.getvalue())
        yield WAIT(0)

    scheduler = make("direct")
    scheduler.add(fiber("one"))
    scheduler.add(fiber("two"))
    scheduler.run()

    assert seen == ["[1] one\n", "[1] one\n[2] two\n"]


def test_direct_writes_an_error_with_the_fibers_id(make, file):
    def fiber():
        yield WAIT(0)
        raise ValueError("no")

    scheduler = make("direct")
    scheduler.add(fiber(), "bad")
    scheduler.run()

    assert file.getvalue() == "[1] error: ValueError: no (fiber 'bad')\n"


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_control_characters_are_shown_not_done(make, file, output):
    scheduler = make(output)
    scheduler.add(prints("\x1b[2J\x07 \r\x85 \u202e tab\there"), "evil\n\x1b")
    scheduler.run()

    assert "\\x1b[2J\\x07 \\r\\x85 \\u202e tab\there\n" in file.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", file.getvalue())


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_what_the_file_cannot_take_is_written_out_and_ends_nothing(network, clock, output, log):
    raw = io.BytesIO()
    scheduler = Scheduler(
        clock=clock, poller=network, output=output, file=io.TextIOWrapper(raw, "ascii")
    )

    def other():
        yield WAIT(1)
        log.append("other went on")

    scheduler.add(prints("caf\xe9 \u20ac"))
    scheduler.add(other())
    scheduler.run()

    assert (b"caf\\xe9 \\u20ac\n" in raw.getvalue(), log) == (True, ["other went on"])


# -- None ---------------------------------------------------------------------


def test_none_leaves_print_alone(make, file, capsys):
    streams = []

    def fiber():
        streams.append((sys.stdout, sys.stderr))
        print("out")
        print("err", file=sys.stderr)
        yield WAIT(0)

    before = sys.stdout, sys.stderr
    scheduler = make(None)
    scheduler.add(fiber())
    scheduler.run()

    assert (streams, capsys.readouterr(), file.getvalue()) == ([before], ("out\n", "err\n"), "")


def test_without_a_file_errors_go_to_stdout(network, clock, capsys):
    def fiber():
        yield WAIT(0)
        raise ValueError("no")

    scheduler = Scheduler(clock=clock, poller=network)
    scheduler.add(fiber(), "bad")
    scheduler.run()

    assert capsys.readouterr() == ("error: ValueError: no (fiber 'bad')\n", "")


@pytest.mark.parametrize("wrong", ["out.txt", 1])
def test_a_file_that_cannot_be_written_to_is_refused(wrong):
    with pytest.raises(TypeError, match=f"file= needs an open file to write to, got {wrong!r}"):
        Scheduler(file=wrong)


@pytest.mark.parametrize("output", [None, "withheld", "direct"])
def test_without_any_stdout_what_is_written_is_lost_and_nothing_else(
    network, clock, monkeypatch, log, output
):
    def fails():
        yield WAIT(0)
        raise ValueError("no")

    def goes_on():
        yield WAIT(1)
        log.append("went on")

    monkeypatch.setattr(sys, "stdout", None)  # as under pythonw
    scheduler = Scheduler(clock=clock, poller=network, output=output)
    scheduler.add(fails())
    scheduler.add(goes_on())
    scheduler.run()

    assert log == ["went on"]


def test_a_file_that_is_empty_is_a_file_all_the_same(network, clock, capsys):
    class Lines(list):
        def write(self, text):
            self.append(text)

        def flush(self):
            pass

    lines = Lines()
    scheduler = Scheduler(clock=clock, poller=network, output="direct", file=lines)
    scheduler.add(prints("one"))
    scheduler.run()

    assert (lines, capsys.readouterr().out) == (["[1] one\n"], "")


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="output is None, 'withheld' or 'direct', got 'loud'"):
        Output("loud", None, RealClock())


def test_what_the_server_itself_has_to_say_is_not_withheld(make, network, file, log):
    scheduler = make("withheld")
    address = scheduler.listen(lambda sock, address: None)

    def client():
        print("from the client")
        yield RECV(network.connect(address))
        log.append(file.getvalue())
        scheduler.stop()

    scheduler.add(client(), "client")
    scheduler.run()

    [said] = log
    assert re.fullmatch(r"error: no fiber for .*\n", said)
    assert "from the client" in file.getvalue()


# -- Who else prints ----------------------------------------------------------


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_stdout_and_stderr_are_as_they_were_afterwards(make, output):
    before = sys.stdout, sys.stderr

    def fails():
        yield WAIT(0)
        raise KeyboardInterrupt

    for generator in (prints("x"), fails()):
        scheduler = make(output)
        scheduler.add(generator)
        with contextlib.suppress(KeyboardInterrupt):
            scheduler.run()

    assert (sys.stdout, sys.stderr) == before


def test_what_the_observer_and_the_run_queue_print_is_not_the_fibers(network, clock, file, capsys):
    def observer(event):
        if event.ev == "poll":
            print("polling")

    scheduler = Scheduler(trace=observer, clock=clock, poller=network, output="withheld", file=file)
    scheduler.add(prints("x", pause=1), "fiber")
    scheduler.run()

    assert (capsys.readouterr().out, file.getvalue()) == (
        "polling\n",
        "--- 0.000 s  fiber\n     0.000  x\n",
    )


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_what_the_file_and_signal_handlers_print_during_a_write_is_not_the_fibers(
    network, clock, output, capsys
):
    class Noisy(io.StringIO):
        def write(self, text):
            print("writing")
            return super().write(text)

    file = Noisy()
    scheduler = Scheduler(clock=clock, poller=network, output=output, file=file)
    scheduler.add(prints("x"), "fiber")
    scheduler.run()

    assert (capsys.readouterr().out, "writing" in file.getvalue()) == ("writing\n", False)


def test_every_line_is_told_to_the_trace(make, file, events):
    scheduler = make("withheld", trace=events.append)

    def fiber():
        print("one")
        print("two", end="", file=sys.stderr)
        yield WAIT(1)

    scheduler.add(fiber())
    scheduler.run()
    told = [
        (event.t, event.fid, event.text, event.stream) for event in events if event.ev == "output"
    ]

    assert told == [(0, 1, "one", "stdout"), (1_000_000_000, 1, "two", "stderr")]


def test_a_scheduler_inside_a_fiber_of_another_keeps_its_own_prints(make, file):
    inner_file = io.StringIO()
    network = SimulatedNetwork()

    def outer():
        print("before")
        inner = Scheduler(clock=network.clock, poller=network, output="direct", file=inner_file)
        inner.add(prints("inside"))
        inner.run()
        print("after")
        yield WAIT(0)

    scheduler = make("direct")
    scheduler.add(outer())
    scheduler.run()

    assert (file.getvalue(), inner_file.getvalue()) == ("[1] before\n[1] after\n", "[1] inside\n")


def test_what_an_observer_prints_is_not_the_fibers(network, clock, file, capsys):
    def observer(event):
        if event.ev in ("resume", "output"):
            print(event.ev, event.fid)

    scheduler = Scheduler(trace=observer, clock=clock, poller=network, output="withheld", file=file)
    scheduler.add(prints("mine"), "f")
    scheduler.run()

    assert file.getvalue() == "--- 0.000 s  f\n     0.000  mine\n"
    assert capsys.readouterr().out == "resume 1\noutput 1\nresume 1\n"


def test_what_the_observer_of_an_inner_scheduler_prints_is_the_outer_fibers(make, file):
    network = SimulatedNetwork()

    def observer(event):
        if event.ev == "start":
            print("start")

    def outer():
        inner = Scheduler(
            trace=observer,
            clock=network.clock,
            poller=network,
            output="withheld",
            file=io.StringIO(),
        )
        inner.add(prints("inside"))
        inner.run()
        yield WAIT(0)

    scheduler = make("direct")
    scheduler.add(outer())
    scheduler.run()

    assert file.getvalue() == "[1] start\n"


def test_the_warning_of_an_observer_that_fails_is_not_withheld(network, clock, file, capsys):
    def observer(event):
        if event.ev == "resume":
            raise ValueError("tired")

    def shows(message, *_rest, **_options):
        print(message, file=sys.stderr)

    scheduler = Scheduler(trace=observer, clock=clock, poller=network, output="withheld", file=file)
    scheduler.add(prints("mine"), "f")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = shows
        scheduler.run()

    assert file.getvalue() == "--- 0.000 s  f\n     0.000  mine\n"
    assert "raised ValueError('tired') and was removed" in capsys.readouterr().err


class FullDisk(io.StringIO):
    """A file that takes nothing."""

    def write(self, text):
        raise OSError(28, "No space left on device")


def closed():
    """Return a file that is closed."""
    file = io.StringIO()
    file.close()
    return file


@pytest.mark.parametrize("make_file", [FullDisk, io.BytesIO, closed])
@pytest.mark.parametrize("output", ["withheld", "direct", None])
def test_a_file_that_cannot_be_written_disturbs_no_fiber_and_is_told_once(
    network, clock, make_file, output
):
    def fails():
        yield WAIT(0)
        raise RuntimeError("no")

    scheduler = Scheduler(clock=clock, poller=network, output=output, file=make_file())
    scheduler.add(fails())
    good = scheduler.add(prints("one", "two", pause=1))
    scheduler.add(fails())
    with pytest.warns(RuntimeWarning, match="cannot be written to .* goes on") as warned:
        scheduler.run()

    assert (len(warned), good.error, good.state.value) == (1, None, "done")


def test_a_file_needs_to_write_only(network, clock):
    class Writes:
        write = [].append

    scheduler = Scheduler(clock=clock, poller=network, output="withheld", file=Writes())
    scheduler.add(prints("one"), "f")
    scheduler.run()

    assert Writes.write.__self__ == ["--- 0.000 s  f\n     0.000  one\n"]


def test_redirect_stdout_around_run_takes_what_the_server_writes(network, clock):
    buffer = io.StringIO()
    with contextlib.redirect_stdout(buffer):
        scheduler = Scheduler(clock=clock, poller=network, output="direct")
        scheduler.add(prints("inside"))
        scheduler.run()
        print("cell")

    assert buffer.getvalue() == "[1] inside\ncell\n"


def test_redirect_stdout_inside_a_fiber_is_obeyed(make, file):
    buffer = io.StringIO()

    def fiber():
        print("before")
        with contextlib.redirect_stdout(buffer):
            print("redirected")
        print("after")
        yield WAIT(0)

    scheduler = make("direct")
    scheduler.add(fiber())
    scheduler.run()

    assert (file.getvalue(), buffer.getvalue()) == ("[1] before\n[1] after\n", "redirected\n")


@pytest.mark.live
def test_a_redirection_that_outlasts_the_run_puts_back_what_was_there(file, monkeypatch):
    before, ready, leave = sys.stdout, threading.Event(), threading.Event()
    monkeypatch.setattr(sys, "stdout", before)

    def fiber():
        ready.set()
        while not leave.is_set():
            yield WAIT(0.01)

    scheduler = Scheduler(output="withheld", file=file)
    scheduler.add(fiber())
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    ready.wait()
    with contextlib.redirect_stdout(io.StringIO()):
        leave.set()
        thread.join()
    # The redirection puts our stand-in back; the next run lets go of it.
    Scheduler(output="withheld", file=file).run()

    assert sys.stdout is before


@pytest.mark.live
@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_two_schedulers_and_the_main_thread_print_thousands_of_lines_and_none_is_lost(output):
    count = 3000
    files = {name: io.StringIO() for name in ("left", "right")}
    begun = threading.Barrier(3)

    def chatters(name, number):
        for line in range(count // 10):
            stream = sys.stderr if line % 2 else sys.stdout
            print(f"{name}-{number}-{line}", file=stream)
            if line % 7 == 0:
                yield WAIT(0)

    def begins():
        begun.wait(20)
        yield WAIT(0)

    def serve(name):
        scheduler = Scheduler(output=output, file=files[name])
        scheduler.add(begins())
        for number in range(10):
            scheduler.add(chatters(name, number))
        scheduler.run()

    buffer = io.StringIO()
    errors = io.StringIO()
    with contextlib.redirect_stdout(buffer), contextlib.redirect_stderr(errors):
        before = sys.stdout, sys.stderr
        threads = [threading.Thread(target=serve, args=[name]) for name in files]
        for thread in threads:
            thread.start()
        begun.wait(20)
        for line in range(count):
            print(f"main-{line}")
            print(f"main-{line}", file=sys.stderr)
        for thread in threads:
            thread.join(30)
        after = sys.stdout, sys.stderr

    assert after == before
    expected = [f"main-{line}" for line in range(count)]
    assert (buffer.getvalue().split(), errors.getvalue().split()) == (expected, expected)
    for name, file in files.items():
        words = re.findall(r"\S+-\d+-\d+$", file.getvalue(), re.MULTILINE)
        for number in range(10):
            mine = [word for word in words if word.startswith(f"{name}-{number}-")]
            assert mine == [f"{name}-{number}-{line}" for line in range(count // 10)]
        assert len(words) == count


@pytest.mark.live
def test_a_thread_that_a_fiber_started_prints_where_threads_print(capsys, file):
    def fiber():
        thread = threading.Thread(target=print, args=["from the thread"])
        thread.start()
        thread.join()
        print("from the fiber")
        yield WAIT(0)

    scheduler = Scheduler(output="direct", file=file)
    scheduler.add(fiber())
    scheduler.run()

    assert (capsys.readouterr().out, file.getvalue()) == (
        "from the thread\n",
        "[1] from the fiber\n",
    )


def test_the_stand_in_behaves_as_the_stream_it_stands_for(make, file):
    told = []

    def fiber():
        now = sys.stdout
        told.append((now.writable(), now.isatty(), now.encoding, now.errors))
        now.writelines(["a\n", "b\n"])
        now.flush()
        now.close()
        print("still open")
        yield WAIT(0)

    before = sys.stdout
    scheduler = make("direct")
    scheduler.add(fiber())
    scheduler.run()

    assert told == [(True, before.isatty(), before.encoding, before.errors)]
    assert file.getvalue() == "[1] a\n[1] b\n[1] still open\n"


# -- Progress bars, redirections, questions ---------------------------------------------


@pytest.mark.parametrize("output", ["withheld", "direct"])
@pytest.mark.parametrize("piece", ["\r{} of many" + "#" * 60, "\r", "."])
def test_pieces_of_a_line_that_does_not_end_cost_the_same_each(make, file, output, piece):
    def bar():
        for number in range(16_000):
            print(piece.format(number), end="", file=sys.stderr)
        yield WAIT(0)

    scheduler = make(output)
    scheduler.add(bar(), "bar")
    began = time.perf_counter()
    scheduler.run()
    took = time.perf_counter() - began

    shown = "".join(piece.format(number) for number in range(16_000)).replace("\r", "\\r")
    assert file.getvalue().endswith(f" {shown}\n")
    assert took < 2  # about 0.1; it was 5 when each piece was added to a copy


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_an_empty_print_is_no_line(make, file, output):
    scheduler = make(output)

    def fiber():
        print("", end="")
        yield WAIT(0)
        print(end="")

    scheduler.add(fiber())
    scheduler.run()

    assert file.getvalue() == ""


@pytest.mark.parametrize("output", ["withheld", "direct"])
@pytest.mark.parametrize("redirect", [contextlib.redirect_stdout, contextlib.redirect_stderr])
def test_a_redirection_held_across_a_yield_is_the_fibers_own(make, file, output, redirect, capsys):
    name = redirect.__name__.removeprefix("redirect_")
    buffers = {"left": io.StringIO(), "right": io.StringIO()}

    def redirected(word, pause):
        with redirect(buffers[word]):
            for line in range(3):
                print(word, line, file=getattr(sys, name))
                yield WAIT(pause)
        print(word, "after", file=getattr(sys, name))

    def plain():
        for line in range(3):
            print("plain", line)
            yield WAIT(1.1)

    before = sys.stdout, sys.stderr
    scheduler = make(output)
    # They end in the order in which they began, which leaves a global sys.stdout at `left`.
    for generator in (redirected("left", 1), redirected("right", 1.5), plain()):
        scheduler.add(generator)
    scheduler.run()

    words = re.findall(r"(?:left|right|plain) \w+", file.getvalue())
    assert {word: buffer.getvalue() for word, buffer in buffers.items()} == {
        word: f"{word} 0\n{word} 1\n{word} 2\n" for word in buffers
    }
    assert sorted(words) == ["left after", "plain 0", "plain 1", "plain 2", "right after"]
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("", "")


def test_print_and_sys_stdout_obey_a_redirection_alike(make, file):
    buffer = io.StringIO()

    def fiber():
        with contextlib.redirect_stdout(buffer):
            print("a", flush=True)
            yield WAIT(1)
            sys.stdout.write("b\n")
            assert sys.stdout is buffer
        sys.stdout.write("c\n")

    scheduler = make("direct")
    fiber = scheduler.add(fiber())
    scheduler.run()

    assert (buffer.getvalue(), file.getvalue(), fiber.error) == ("a\nb\n", "[1] c\n", None)


def test_a_redirection_to_none_prints_nothing_and_ends_with_its_fiber(make, file):
    def silent():
        sys.stdout = None
        print("no")
        yield WAIT(0)
        print("no", flush=True)

    scheduler = make("direct")
    scheduler.add(silent())
    scheduler.add(prints("a", "b", "c"))
    scheduler.run()
    before = sys.stdout

    assert before is not None
    assert file.getvalue() == "[2] a\n[2] b\n[2] c\n"


def test_a_tee_in_a_fiber_gets_each_text_once(make, file):
    class Tee(io.StringIO):
        def __init__(self, other):
            super().__init__()
            self.other = other

        def write(self, text):
            self.other.write(text)
            return super().write(text)

    made = []

    def fiber():
        made.append(Tee(sys.stdout))
        with contextlib.redirect_stdout(made[0]):
            print("one")
            yield WAIT(0)
            sys.stdout.write("two\n")

    scheduler = make("direct")
    scheduler.add(fiber())
    scheduler.run()

    assert (made[0].getvalue(), file.getvalue()) == ("one\ntwo\n", "[1] one\n[1] two\n")


def test_a_redirection_around_an_inner_scheduler_takes_what_that_writes(make, file):
    buffer = io.StringIO()
    network = SimulatedNetwork()

    def outer():
        with contextlib.redirect_stdout(buffer):
            yield WAIT(0)
            inner = Scheduler(clock=network.clock, poller=network, output="direct")
            inner.add(prints("inside"))
            inner.run()

    scheduler = make("direct")
    scheduler.add(outer())
    scheduler.run()

    assert (buffer.getvalue(), file.getvalue()) == ("[1] inside\n", "")


def test_a_redirection_outside_of_fibers_holds_for_all_that_is_no_fiber(make, file):
    buffer = io.StringIO()

    class Queue(deque):
        def popleft(self):
            if not buffer.getvalue():
                sys.stdout = buffer  # no fiber is running yet
                print("from the queue")
            return super().popleft()

    before = sys.stdout
    try:
        scheduler = make("direct", run_queue=Queue())
        scheduler.add(prints("x"))
        scheduler.run()
        after = sys.stdout
    finally:
        sys.stdout = before

    assert (after, buffer.getvalue()) == (buffer, "from the queue\nx\n")


def test_sys_stdout_can_be_deleted_and_is_then_missing(make, log, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())

    class Queue(deque):
        def popleft(self):
            if hasattr(sys, "stderr"):
                del sys.stderr
            return super().popleft()

    def fiber():
        log.append(hasattr(sys, "stderr"))
        yield WAIT(0)

    scheduler = make("direct", run_queue=Queue())
    scheduler.add(fiber())
    scheduler.run()
    sys.stderr = None  # so that it can be put back

    assert log == [False]


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_a_question_is_seen_before_its_answer_is_read(make, file, monkeypatch, capsys, output):
    class Asked(io.StringIO):
        def readline(self, *_size):
            seen.append((file.getvalue(), capsys.readouterr().out))
            return super().readline()

    seen = []
    monkeypatch.setattr(sys, "stdin", Asked("Ada\n42\n"))

    def fiber():
        print("hello")
        print("who", end=" ")
        name = input("are you? ")
        print("so", name)
        yield WAIT(1)
        print("then", input("age? "))

    before = input
    scheduler = make(output)
    scheduler.add(fiber(), "asks")
    scheduler.run()

    first, second = {
        "withheld": (
            "--- 0.000 s  asks\n     0.000  hello\nwho ",
            "--- 0.000 s  asks\n     0.000  so Ada\n",
        ),
        "direct": ("[1] hello\nwho ", "[1] so Ada\n"),
    }[output]
    assert seen == [(first, "are you? "), (first + second, "age? ")]
    assert file.getvalue().endswith(" then 42\n")
    assert file.getvalue().count("hello") == 1
    assert input is before


def test_a_question_of_another_thread_is_asked_as_ever(make, monkeypatch, capsys, log):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Ada\n"))

    def fiber():
        thread = threading.Thread(target=lambda: log.append(input("who? ")))
        thread.start()
        thread.join()
        yield WAIT(0)

    scheduler = make("withheld")
    scheduler.add(fiber())
    scheduler.run()

    assert (log, capsys.readouterr().out) == (["Ada"], "who? ")


def run_script(script, *arguments, stdin=""):
    """Run a program of its own; return what it wrote on stdout, and on stderr."""
    ran = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ran.stdout, ran.stderr


DEBUGGED = """
import sys
from fiberlab import Scheduler, WAIT
def fiber():
    number = 6
    print("before")
    breakpoint()
    number += 1
    yield WAIT(0)
    print("got", number)
scheduler = Scheduler(output=sys.argv[1])
scheduler.add(fiber(), "bugged")
scheduler.run()
"""


@pytest.mark.live
@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_a_breakpoint_in_a_fiber_can_be_talked_to(output):
    out, _ = run_script(DEBUGGED, output, stdin="p number * 7\nnumber = 40\nn\nc\n")

    before, first, second, *_, last = out.split("(Pdb) ")
    assert "before" in before
    assert "<module>" not in before
    assert "fiber()" in before
    assert first.split()[-1] == "42"
    assert second == ""
    assert re.search(r"(\[1\]|0\.\d{3}) +got 41\n$", last)


# -- Forks ------------------------------------------------------------------------------

FORKS = """
import os, sys, multiprocessing, concurrent.futures
from fiberlab import Scheduler, WAIT

def child(word):
    print("child", word)
    print("child of", word, file=sys.stderr, end="")
    return word

def process():
    forked = multiprocessing.get_context("fork").Process(target=child, args=["one"])
    forked.start(); forked.join()

def pool():
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        executor.submit(child, "one").result()

def fork(leave=lambda: os._exit(0)):
    pid = os.fork()
    if pid == 0:
        child("one")
        leave()
    os.waitpid(pid, 0)

def fork_and_exit():
    fork(sys.exit)

def fork_and_fail():
    fork(lambda: 1 / 0)

def fiber():
    print("parent before")
    print("part", end=" ")
    globals()[sys.argv[2]]()
    print("of a line")
    yield WAIT(0)
    print("parent after")

def other():
    print("other before")
    yield WAIT(0)
    print("other after")

print("main before")
scheduler = Scheduler(output=sys.argv[1])
scheduler.add(other())
scheduler.add(fiber())
here = os.getpid()
try:
    scheduler.run()
finally:
    if os.getpid() != here:
        os._exit(0)
print("main after")
"""


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("output", ["withheld", "direct"])
@pytest.mark.parametrize("how", ["process", "pool", "fork", "fork_and_exit"])
def test_what_a_forked_child_prints_is_neither_lost_nor_doubled(output, how):
    out, err = run_script(FORKS, output, how)

    lines = ["main before", "other before", "parent before", "child one", "part of a line"]
    lines += ["other after", "parent after", "main after"]
    assert [out.count(line) for line in lines] == [1] * len(lines), out
    assert (out.count("part"), err) == (1, "child of one")


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_a_child_that_goes_on_with_the_fibers_tells_what_is_its_own(output):
    out, err = run_script(FORKS, output, "fork_and_fail")

    once = ["main before", "other before", "parent before", "child one", "error: ZeroDivision"]
    assert [out.count(line) for line in once] == [1] * len(once), out
    assert (out.count("other after"), err) == (2, "child of one")  # both run that fiber


# -- A notebook ---------------------------------------------------------------

CELL_WITH_A_SERVER = """
import sys, threading
from fiberlab import Scheduler, WAIT
before = sys.stdout, sys.stderr
begun, done = threading.Event(), threading.Event()

def chatters(name):
    begun.set()
    for line in range(50):
        print(name, line, file=sys.stderr if line % 2 else sys.stdout)
        yield WAIT(0.001)

def serve():
    scheduler = Scheduler(output="direct", file=collected)
    for name in ("a", "b"):
        scheduler.add(chatters(name))
    scheduler.run()
    done.set()

import io
collected = io.StringIO()
threading.Thread(target=serve).start()
begun.wait()
for line in range(500):
    print("cell", line)
done.wait()
print("restored", (sys.stdout, sys.stderr) == before)
"""

CELL_THAT_CHECKS = """
lines = collected.getvalue().splitlines()
assert len(lines) == 100, len(lines)
for number, name in ((1, "a"), (2, "b")):
    mine = [line for line in lines if line.startswith(f"[{number}] ")]
    assert mine == [f"[{number}] {name} {line}" for line in range(50)], mine
scheduler = Scheduler(output="withheld")
scheduler.add(chatters("here"))
scheduler.run()
"""


@pytest.mark.live
def test_in_a_notebook_the_cells_prints_and_the_fibers_stay_apart():
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [nbformat.v4.new_code_cell(text) for text in (CELL_WITH_A_SERVER, CELL_THAT_CHECKS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    first, second = (
        "".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells
    )

    assert first.splitlines() == [f"cell {line}" for line in range(500)] + ["restored True"]
    assert re.findall(r"here (\d+)$", second, re.MULTILINE) == [str(line) for line in range(50)]
    assert {output.output_type for cell in notebook.cells for output in cell.outputs} == {"stream"}


def test_a_stand_in_outlives_its_run_for_a_thread_that_is_just_printing(capsys):
    seen = []

    def fiber():
        seen.append(weakref.ref(sys.stdout))
        yield WAIT(0)

    for _ in range(2):
        scheduler = Scheduler(output="withheld")
        scheduler.add(fiber())
        scheduler.run()
        gc.collect()

    first, second = (each() for each in seen)
    assert first is not None
    assert first is second


def test_code_that_runs_often_finds_the_same_stream_each_time(capsys):
    """Python reads what it has read before straight from the module, from 3.14 on."""
    found = []

    def fiber():
        for _ in range(30):
            found.append(sys.stdout)
            yield WAIT(0)

    scheduler = Scheduler(output="withheld")
    scheduler.add(fiber())
    scheduler.run()

    assert len(found) == 30
    assert len({id(each) for each in found}) == 1


def test_the_main_thread_prints_while_others_come_and_go(capsys):
    """Each run puts a stand-in in place of sys.stdout and takes it away, amid a print."""
    over = threading.Event()

    def fiber():
        yield WAIT(0)

    def runs():
        for _ in range(2_000):
            scheduler = Scheduler(output="withheld")
            scheduler.add(fiber())
            scheduler.run()
        over.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=runs)
    thread.start()
    count = 0
    try:
        while not over.is_set():
            print(f"main-{count}")
            count += 1
    finally:
        sys.setswitchinterval(before)
        thread.join()
    assert capsys.readouterr().out.splitlines() == [f"main-{line}" for line in range(count)]

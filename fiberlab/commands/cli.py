"""The command line: one function for each command, from serve to export.

The rule kept here: what came from a client or a file, and the names of files too, are shown
through `printable`, so that no terminal obeys them. What cannot be written, or would overwrite
what is read, is reported before any work is done. How a command fails is said in ``console``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from .. import __version__
from ..console import Parser, UserError, listening_at, port, run, seconds, writable
from ..trace.events import printable
from ..trace.file import descriptor_of, replacing
from ..trace.trace import Trace
from .arguments import (
    clients,
    count,
    load_function,
    process,
    source_of,
    up_to_a_day,
    with_ending,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    arguments: without the program's name; None: those of the process.
    """

    def work() -> None:
        options = _parser().parse_args(arguments)
        options.command(options)

    return run("fiberlab", work)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="fiberlab", description="Cooperative scheduling with real, running code.")
    parser.add_argument("--version", action="version", version=f"fiberlab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve a generator function on this machine")
    serve.add_argument("function", metavar="MODULE:FUNCTION", help="or FILE.py:FUNCTION")
    serve.add_argument("--port", type=port, default=0, help="0, the default, takes a free one")
    serve.add_argument(
        "--timeout", type=seconds, help="seconds of inactivity after which a fiber is timed out"
    )
    serve.add_argument(
        "--debug", action="store_true", help="write prints at once and errors with tracebacks"
    )
    serve.add_argument("--trace", metavar="FILE", type=Path, help="write the trace here at the end")
    serve.add_argument(
        "--live", action="store_true", help="serve a page beside it that shows what it does"
    )
    serve.add_argument(
        "--stalls", metavar="FILE", type=Path, help="write the last minute's stalls here, on "
        "SIGUSR1, at the end, and when the loop was held for a second"
    )  # fmt: skip
    serve.set_defaults(command=serve_command)

    demo = commands.add_parser("demo", help="a live server with one fiber that blocks")
    demo.add_argument("--clients", type=clients, default=8, help="how many, 8 to 500; default 8")
    demo.add_argument(
        "--trace", metavar="FILE", type=Path, default=Path("fiberlab-demo.fiber.jsonl")
    )
    demo.add_argument("--figure", metavar="FILE", type=Path, default=Path("fiberlab-demo.png"))
    demo.set_defaults(command=demo_command)

    program = commands.add_parser("run", help="run a program that uses asyncio, and record it")
    program.add_argument(
        "--trace", metavar="FILE", type=Path, default=Path("fiberlab-run.fiber.jsonl")
    )
    program.add_argument("--figure", metavar="FILE", type=Path, default=Path("fiberlab-run.png"))
    program.add_argument(
        "--stall",
        type=seconds,
        default=0.05,
        help="seconds that are long for a step; default 0.05",
    )
    program.add_argument(
        "--seconds", type=up_to_a_day, help="interrupt it after so many, as by ^C; default: never"
    )
    program.add_argument(
        "--live", action="store_true", help="serve a page beside it that shows what its loop does"
    )
    program.add_argument(
        "--stalls", metavar="FILE", type=Path, help="record only the last minute's stalls; written "
        "here at the end, on SIGUSR1, and when the loop was held for a second"
    )  # fmt: skip
    program.add_argument(
        "-m", dest="module", metavar="MODULE", nargs=argparse.REMAINDER, help="as python -m does"
    )
    program.add_argument("program", metavar="FILE.py ...", nargs=argparse.REMAINDER)
    program.set_defaults(command=run_command)

    attach = commands.add_parser("attach", help="record a Python process that runs already")
    attach.add_argument("pid", metavar="PID", type=process, help="a Python 3.14 process of yours")
    attach.add_argument("--seconds", type=up_to_a_day, default=10.0, help="how long; default 10")
    attach.add_argument(
        "--trace", metavar="FILE", type=Path, default=Path("fiberlab-attach.fiber.jsonl")
    )
    attach.set_defaults(command=attach_command)

    plot = commands.add_parser("plot", help="draw the timeline of a saved trace")
    plot.add_argument("file", metavar="FILE", type=Path)
    plot.add_argument("-o", "--output", metavar="PNG", type=Path, help="default: FILE with .png")
    plot.set_defaults(command=plot_command)

    diagnose = commands.add_parser("diagnose", help="say what held the loop in saved traces")
    diagnose.add_argument("files", metavar="FILE", type=Path, nargs="+")
    diagnose.add_argument("--most", type=count, default=5, help="findings for each file; default 5")
    diagnose.set_defaults(command=diagnose_command)

    summary = commands.add_parser("summary", help="sum up a saved trace, fiber by fiber")
    summary.add_argument("file", metavar="FILE", type=Path)
    summary.add_argument("--csv", action="store_true", help="as comma-separated values")
    summary.set_defaults(command=summary_command)

    bill = commands.add_parser("bill", help="say what the latency of each request consists of")
    bill.add_argument("file", metavar="FILE", type=Path)
    bill.add_argument("--csv", action="store_true", help="as comma-separated values")
    bill.set_defaults(command=bill_command)

    view = commands.add_parser("view", help="make a page to zoom and step through saved traces")
    view.add_argument("file", metavar="FILE", type=Path)
    view.add_argument("other", metavar="OTHER", type=Path, nargs="?", help="a second, below it")
    view.add_argument("-o", "--output", metavar="HTML", type=Path, help="default: FILE with .html")
    view.add_argument("--source", action="store_true", help="put the lines that are named into it")
    view.set_defaults(command=view_command)

    compare = commands.add_parser("compare", help="hold two saved traces against each other")
    compare.add_argument("file", metavar="FILE", type=Path)
    compare.add_argument("other", metavar="OTHER", type=Path)
    compare.add_argument("-o", "--output", metavar="PNG", type=Path, help="draw both, here")
    compare.set_defaults(command=compare_command)

    export = commands.add_parser("export", help="write a saved trace for ui.perfetto.dev")
    export.add_argument("file", metavar="FILE", type=Path)
    export.add_argument(
        "-o", "--output", metavar="JSON", type=Path, help="default: FILE with .json"
    )
    export.add_argument("--no-prints", action="store_true", help="leave out what fibers printed")
    export.set_defaults(command=export_command)
    return parser


# -- The commands -------------------------------------------------------------


def serve_command(options: argparse.Namespace) -> None:
    """Serve until ^C, SIGHUP or SIGTERM, and write the trace if that is asked for."""
    from ..server import spawn

    home = Path.cwd()  # what is served may change directory
    function = load_function(options.function)
    if options.stalls is not None:
        return _serve_with_stalls(function, options, home / options.stalls)
    trace = None if options.trace is None and not options.live else Trace(cpu=True)
    if options.trace is not None:
        writable(home / options.trace, *source_of(function))
    try:
        with listening_at(options.port), _live(options.live, trace, options.function):
            spawn(function, options.port, options.timeout, options.debug, trace=trace)
    finally:
        if trace and options.trace is not None:
            trace.save(home / options.trace)
            _say(f"trace: {options.trace}", options.trace)


def _serve_with_stalls(function: Any, options: argparse.Namespace, place: Path) -> None:
    """Serve as `serve_command` does, and record nothing but stalls."""
    from ..recording.stall_recorder import StallRecorder
    from ..server import spawn

    if options.trace is not None or options.live:
        raise UserError("--stalls records less than --trace and --live do: give one of the two")
    writable(place, *source_of(function))
    recorder = StallRecorder(path=place, write_after=1.0)
    with listening_at(options.port):
        spawn(function, options.port, options.timeout, options.debug, trace=recorder)
    recorder.save()  # what spawn has left there, or the reason why it could not
    _say(f"{recorder.stalls:,} stalls; written to {options.stalls}", options.stalls)


@contextlib.contextmanager
def _live(
    asked: bool, trace: Trace | None, title: str, out: TextIO | None = None
) -> Iterator[None]:
    """Serve the live page if that is asked for, and say where; out: None is stdout."""
    if trace is None or not asked:
        yield
        return
    from ..viewer.live import LivePage

    with LivePage(trace, title) as page:
        print(f"live: {page.url}", file=out, flush=True)
        yield


def demo_command(options: argparse.Namespace) -> None:
    """Serve some clients, one of which makes its fiber block; tell, save and draw it."""
    from ..diagnosis.diagnose import diagnose
    from ..figures.timeline import plot_timeline
    from ..lab import demo, record

    writable(options.trace, options.figure)
    _check_figure(options.figure)
    with _progress(f"{options.clients} clients talk to a live server"):
        trace = record(demo.echo, demo.clients(options.clients), deadline=60.0)
    trace.save(options.trace)
    with _progress("drawing"):
        _draw(lambda: plot_timeline(trace), options.figure)
    targets = (options.trace, options.figure)
    _say(f"An echo server on this machine answered {options.clients} clients at once.", *targets)
    _say(str(diagnose(trace)), *targets)
    _say(f"trace:  {options.trace}\nfigure: {options.figure}", *targets)


def run_command(options: argparse.Namespace) -> None:
    """Run a program and record its loops; say at its end what was found, and draw it."""
    from ..elsewhere.asyncio_ import watching
    from .program import before_exit, run_program

    command = options.program if options.module is None else options.module
    if options.module is None and command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise UserError("run needs a program: fiberlab run FILE.py ..., or fiberlab run -m MODULE")
    script = [] if options.module is not None else [Path(command[0])]
    if options.stalls is not None:
        return _run_with_stalls(command, script, options)
    writable(options.trace, options.figure, *script)
    writable(options.figure, *script)
    _check_figure(options.figure)
    trace, process = Trace(cpu=True, stall_after=options.stall / 2), os.getpid()
    watched, own = watching(trace, any_thread=True), _own_streams()
    places = options.trace.absolute(), options.figure.absolute()  # the program may leave this one

    def tell() -> None:
        if os.getpid() != process:  # a child that the program has forked
            return
        unseen = watched.unseen
        watched.stop()
        with own():
            for sentence in unseen:
                _say(f"not seen: {sentence}", on_stdout=False)
            _tell_and_draw(trace, options, *places)

    with watched, _live(options.live, trace, command[0], sys.stderr), before_exit(tell):
        code = run_program(command, module=options.module is not None, seconds=options.seconds)
        tell()
    raise SystemExit(code)


def _run_with_stalls(command: list[str], script: list[Path], options: argparse.Namespace) -> None:
    """Run a program as `run_command` does, and record nothing but stalls."""
    from ..elsewhere.asyncio_ import watching
    from ..recording.stall_recorder import StallRecorder
    from .program import before_exit, run_program

    if options.live:
        raise UserError("--stalls records less than --live does: give one of the two")
    writable(options.stalls, *script)
    # Absolute, since the program may change directory.
    recorder = StallRecorder(options.stall, path=options.stalls.absolute(), write_after=1.0)
    watched, process, own = watching(recorder, any_thread=True), os.getpid(), _own_streams()

    def tell() -> None:
        if os.getpid() != process:  # a child that the program has forked
            return
        unseen = watched.unseen
        watched.stop()
        if recorder.count() == (0, 0):
            told = "nothing recorded: no loop of asyncio ran in this process"
        else:
            recorder.save()
            told = f"{recorder.stalls:,} stalls; written to {options.stalls}"
        with own():
            for sentence in [*(f"not seen: {each}" for each in unseen), told]:
                _say(sentence, on_stdout=False)

    module, write = options.module is not None, recorder.write
    with watched, before_exit(tell):
        code = run_program(command, module=module, seconds=options.seconds, on_sigusr1=write)
        tell()
    raise SystemExit(code)


def _own_streams() -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Return a with-block in which stdout and stderr are those of now, or None once closed."""
    out, err = sys.stdout, sys.stderr

    @contextlib.contextmanager
    def own() -> Iterator[None]:
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (
            None if stream is None or stream.closed else stream for stream in (out, err)
        )
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before

    return own


def _tell_and_draw(
    trace: Trace, options: argparse.Namespace, trace_at: Path, figure_at: Path
) -> None:
    """Say what was found on stderr, since stdout is the program's; save and draw the trace."""
    from ..diagnosis.diagnose import diagnose
    from ..diagnosis.limits import Limits
    from ..figures.timeline import plot_timeline

    if not any(event.ev == "spawn" for event in trace):
        told = "nothing recorded: no loop of asyncio ran in this process; for trio and gevent see "
        _say(f"{told}fiberlab.elsewhere", on_stdout=False)
        return
    long = options.stall
    limits = Limits(step=long, ready=long, hidden=long, late=long / 5, turn=2 * long)
    found = diagnose(trace, limits=limits)
    _say(str(found) or "nothing found: no step held the loop", on_stdout=False)
    trace.save(trace_at)
    _say(f"trace:  {options.trace}", on_stdout=False)
    _draw(lambda: plot_timeline(trace), figure_at)
    _say(f"figure: {options.figure}", on_stdout=False)


def attach_command(options: argparse.Namespace) -> None:
    """Record for a while what another process does; say what was found, and save the trace."""
    from ..diagnosis.diagnose import diagnose
    from ..elsewhere.attach import attach

    writable(options.trace)

    def begun(what: str) -> None:
        told = (
            f"process {options.pid}: a thread of fiberlab in it records {what} for "
            f"{options.seconds:g} s, then takes all of it out again; ^C does so at once"
        )
        _say(told, on_stdout=False)

    with _progress(f"process {options.pid}: recording"):
        trace = attach(options.pid, options.seconds, begun=begun)
    trace.save(options.trace)
    _say(str(diagnose(trace)) or "nothing found: nothing held the loop", options.trace)
    _say(f"trace: {options.trace}", options.trace)


def plot_command(options: argparse.Namespace) -> None:
    """Draw the timeline of a saved trace."""
    from ..figures.timeline import describe_timeline, plot_timeline

    target = options.output or with_ending(options.file, ".png")
    _check_figure(target, options.file)
    trace = _load(options.file, target)
    with _progress("drawing"):
        _draw(lambda: plot_timeline(trace), target)
    _say(describe_timeline(trace), target)
    _say(f"figure: {target}", target)


def diagnose_command(options: argparse.Namespace) -> None:
    """Say what is wrong in saved traces, if anything is."""
    from ..diagnosis.diagnose import diagnose

    for path in options.files:
        if len(options.files) > 1:
            _say(f"{path}:")
        findings = diagnose(_load(path), most=options.most)
        _say(str(findings) or "nothing found: no fiber held the loop")


def summary_command(options: argparse.Namespace) -> None:
    """Sum up a saved trace: each fiber's times, waits and longest step."""
    from ..report.summary import summarize

    trace = _load(options.file, on_stdout=not options.csv)
    summary = summarize(trace)
    _say(summary.csv() if options.csv else str(summary))


def bill_command(options: argparse.Namespace) -> None:
    """Divide the latency of each request in a saved trace into its parts."""
    from ..billing.bill import bill

    billed = bill(_load(options.file, on_stdout=not options.csv))
    _say(billed.csv() if options.csv else str(billed))


def view_command(options: argparse.Namespace) -> None:
    """Write a page in which saved traces can be zoomed, searched and stepped through."""
    from ..viewer.page import write_html

    target = options.output or with_ending(options.file, ".html")
    paths = [options.file] if options.other is None else [options.file, options.other]
    for path in paths:
        os.stat(path)  # a missing trace is the first thing to say
    writable(target, *paths)
    traces = [_load(path, target) for path in paths]
    with _progress("packing"):
        write_html(
            traces[0],
            target,
            options.source,
            other=None if options.other is None else traces[1],
            titles=[path.name for path in paths],
            folders=[*(path.absolute().parent for path in paths), Path.cwd()],
        )
    _say(f"open it in a browser: {target}", target)


def compare_command(options: argparse.Namespace) -> None:
    """Hold two saved traces against each other, and draw both if that is asked for."""
    from ..figures.charts import plot_comparison
    from ..report.comparison import compare

    if options.output is not None:
        _check_figure(options.output, options.file, options.other)
    target = options.output or Path()
    trace, other = _load(options.file, target), _load(options.other, target)
    names = (printable(options.file.name), printable(options.other.name))
    _say(str(compare(trace, other, names=names)), target)
    if options.output is not None:
        with _progress("drawing"):
            _draw(lambda: plot_comparison(trace, other, names=names), target)
        _say(f"figure: {target}", target)


def export_command(options: argparse.Namespace) -> None:
    """Write a saved trace for Perfetto."""
    from ..report.perfetto import write_perfetto

    target = options.output or with_ending(options.file, ".json")
    os.stat(options.file)
    writable(target, options.file)
    trace = _load(options.file, target)
    write_perfetto(trace, target, name=options.file.name, output=not options.no_prints)
    _say(f"open it at ui.perfetto.dev: {target}", target)


# -- What is said ---------------------------------------------------------------


def _load(path: Path, *targets: Path, on_stdout: bool = True) -> Trace:
    """Load a trace, and say if it was cut; `on_stdout`: False says it on stderr."""
    trace = Trace.load(path)
    if trace.unfinished:
        last = trace.rows[-1][0] / 1e9
        cut = (
            f"{path} was cut off: it has no end, and the last of its {len(trace):,} events is at "
            f"{last:.3f} s; what was under way counts up to there"
        )
        _say(cut, *targets, on_stdout=on_stdout)
    return trace


def _say(text: str, *targets: Path, on_stdout: bool = True) -> None:
    """Print lines on stdout; on stderr if that is one of the `targets`, or for other programs."""
    aside = not on_stdout or any(_is_stdout(target) for target in targets)
    if aside and (sys.stderr is None or sys.stderr.closed):
        return
    # What cannot be said aside could not be said anywhere else, either.
    with contextlib.suppress(OSError) if aside else contextlib.nullcontext():
        for line in text.splitlines():
            print(printable(line), file=sys.stderr if aside else sys.stdout)


def _is_stdout(target: Path) -> bool:
    return descriptor_of(target) == 1


# -- Figures and progress -------------------------------------------------------


def _check_figure(path: Path, *others: Path) -> None:
    """Raise UserError if no figure can be written to `path`."""
    from ..figures.timeline import figure_formats

    for other in others:
        os.stat(other)  # a missing trace is the first thing to say
    writable(path, *others)
    try:
        known = figure_formats()
    except ValueError as error:  # MPLBACKEND names what is none
        raise UserError(f"matplotlib cannot be loaded: {error}") from None
    if _format(path) not in known:
        raise UserError(f"{path}: a figure ends in .png or another of {', '.join(known)}")


def _format(path: Path) -> str:
    return path.suffix[1:].lower() or "png"


def _draw(plot: Callable[[], Any], path: Path) -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")  # a file is drawn, no window: any machine will do
    picture = io.BytesIO()
    try:
        plot().figure.savefig(picture, format=_format(path))
    except (ValueError, RuntimeError) as error:  # as of .pgf, which needs another program
        raise UserError(f"{path}: {error}") from None
    if sys.stdout is not None:  # a program that was run may have closed it
        sys.stdout.flush()  # the two may be one
    with replacing(path) as file:
        file.write(picture.getvalue())


@contextlib.contextmanager
def _progress(what: str) -> Iterator[None]:
    """Show on a terminal that something is under way, and for how long."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    began = time.monotonic()

    def show() -> None:
        with contextlib.suppress(OSError):  # a terminal that was closed
            while not done.wait(0.1):
                print(f"\r{what} ... {time.monotonic() - began:.1f} s", end="", file=sys.stderr)

    shower = threading.Thread(target=show, daemon=True)
    shower.start()
    try:
        yield
    finally:
        done.set()
        shower.join()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)

"""The command line: serve, demo, plot, diagnose, summary, compare, export.

The rule kept here: what the user got wrong is told in one line on stderr, with what and where,
and exit code 2; ^C is exit code 130. What came from a client or a file is shown through
`printable`, so that no terminal obeys it. Each command is one function of the parsed arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .. import __version__
from ..errors import TraceError
from ..trace.events import printable
from ..trace.trace import Trace
from .arguments import (
    UserError,
    check_writable,
    clients,
    count,
    load_function,
    port,
    seconds,
    with_ending,
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say it in one line; the usage is a screen away."""
        self.exit(2, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    arguments: without the program's name; None: those of the process.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except (UserError, TraceError) as error:
        return _complain(str(error))
    except BrokenPipeError:
        # Who read the output has left (as `head` does); at exit nothing may be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    return 0


def _complain(sentence: str) -> int:
    print(f"fiberlab: {printable(' '.join(sentence.split()))}", file=sys.stderr)
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fiberlab", description="Cooperative scheduling with real, running code.")
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
    serve.set_defaults(command=serve_command)

    demo = commands.add_parser("demo", help="a live server with one fiber that blocks")
    demo.add_argument("--clients", type=clients, default=8, help="how many, 8 to 500; default 8")
    demo.add_argument(
        "--trace", metavar="FILE", type=Path, default=Path("fiberlab-demo.fiber.jsonl")
    )
    demo.add_argument("--figure", metavar="FILE", type=Path, default=Path("fiberlab-demo.png"))
    demo.set_defaults(command=demo_command)

    plot = commands.add_parser("plot", help="draw the timeline of a saved trace")
    plot.add_argument("file", metavar="FILE", type=Path)
    plot.add_argument("-o", "--output", metavar="PNG", type=Path, help="default: FILE with .png")
    plot.set_defaults(command=plot_command)

    diagnose = commands.add_parser("diagnose", help="say who held the loop in saved traces")
    diagnose.add_argument("files", metavar="FILE", type=Path, nargs="+")
    diagnose.add_argument("--most", type=count, default=5, help="findings for each file; default 5")
    diagnose.set_defaults(command=diagnose_command)

    summary = commands.add_parser("summary", help="sum up a saved trace, fiber by fiber")
    summary.add_argument("file", metavar="FILE", type=Path)
    summary.add_argument("--csv", action="store_true", help="as comma-separated values")
    summary.set_defaults(command=summary_command)

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
    """Serve until ^C or SIGHUP, and write the trace if that is asked for."""
    from ..server import spawn

    function = load_function(options.function)
    trace = None if options.trace is None else Trace(cpu=True)
    if options.trace is not None:
        check_writable(options.trace)
    try:
        spawn(function, options.port, options.timeout, options.debug, trace=trace)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(f"port {options.port}: {reason}") from None
    finally:
        if trace:
            trace.save(options.trace)
            print(f"trace: {options.trace}")


def demo_command(options: argparse.Namespace) -> None:
    """Serve some clients, one of which makes its fiber block; tell, save and draw it."""
    from ..diagnosis.diagnose import diagnose
    from ..figures.timeline import plot_timeline
    from ..lab import demo, record

    for path in (options.trace, options.figure):
        check_writable(path)
    with _progress(f"{options.clients} clients talk to a live server"):
        trace = record(demo.echo, demo.clients(options.clients), deadline=60.0)
    trace.save(options.trace)
    with _progress("drawing"):
        _draw(lambda: plot_timeline(trace), options.figure)
    print(f"An echo server on this machine answered {options.clients} clients at once.")
    print(printable(str(diagnose(trace))))
    print(f"trace:  {options.trace}\nfigure: {options.figure}")


def plot_command(options: argparse.Namespace) -> None:
    """Draw the timeline of a saved trace."""
    from ..figures.timeline import describe_timeline, plot_timeline

    trace = Trace.load(options.file)
    target = options.output or with_ending(options.file, ".png")
    check_writable(target)
    with _progress("drawing"):
        _draw(lambda: plot_timeline(trace), target)
    _print_lines(describe_timeline(trace))
    print(f"figure: {target}")


def diagnose_command(options: argparse.Namespace) -> None:
    """Say what is wrong in saved traces, if anything is."""
    from ..diagnosis.diagnose import diagnose

    for path in options.files:
        findings = diagnose(Trace.load(path), most=options.most)
        if len(options.files) > 1:
            print(f"{path}:")
        for finding in findings:
            print(printable(str(finding)))
        if not findings:
            print("nothing found: no fiber held the loop")


def summary_command(options: argparse.Namespace) -> None:
    """Sum up a saved trace: each fiber's times, waits and longest step."""
    from ..report.summary import summarize

    summary = summarize(Trace.load(options.file))
    _print_lines(summary.csv() if options.csv else str(summary))


def compare_command(options: argparse.Namespace) -> None:
    """Hold two saved traces against each other, and draw both if that is asked for."""
    from ..figures.charts import plot_comparison
    from ..report.comparison import compare

    trace, other = Trace.load(options.file), Trace.load(options.other)
    names = (options.file.name, options.other.name)
    _print_lines(str(compare(trace, other, names=names)))
    if options.output is not None:
        check_writable(options.output)
        with _progress("drawing"):
            _draw(lambda: plot_comparison(trace, other, names=names), options.output)
        print(f"figure: {options.output}")


def _print_lines(text: str) -> None:
    for line in text.splitlines():
        print(printable(line))


def export_command(options: argparse.Namespace) -> None:
    """Write a saved trace for Perfetto."""
    from ..report.perfetto import write_perfetto

    trace = Trace.load(options.file)
    target = options.output or with_ending(options.file, ".json")
    check_writable(target)
    write_perfetto(trace, target, name=options.file.name, output=not options.no_prints)
    print(f"open it at ui.perfetto.dev: {target}")


# -- Figures and progress -------------------------------------------------------


def _draw(plot: Callable[[], Any], path: Path) -> None:
    os.environ.setdefault("MPLBACKEND", "Agg")  # a file is drawn, no window: any machine will do
    try:
        plot().figure.savefig(path)
    except ValueError as error:  # an ending that matplotlib has no format for
        raise UserError(f"{path}: {error}") from None


@contextlib.contextmanager
def _progress(what: str) -> Iterator[None]:
    """Show on a terminal that something is under way, and for how long."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    began = time.monotonic()

    def show() -> None:
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

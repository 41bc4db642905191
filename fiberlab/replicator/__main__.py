"""The command line of the proxy: ``python -m fiberlab.replicator --port 8080 --cache DIR``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from ..console import Parser, above_zero, listening_at, port, run, writable
from ..errors import MissingExtra
from ..server import spawn
from ..trace.trace import Trace


def _parser() -> Parser:
    about = "A caching HTTP proxy for this machine: one download, however many ask. ^C ends it."
    parser = Parser(prog="python -m fiberlab.replicator", description=about)
    add = parser.add_argument
    add("--port", type=port, default=8080, help="where to listen; 0: any free port (8080)")
    add("--cache", metavar="DIR", default="cache", help="the folder of the files (cache)")
    add(
        "--timeout",
        type=above_zero,
        default=15,
        help="seconds of silence; twice that for a head (15)",
    )
    add("--static", action="store_true", help="files never change: serve without asking again")
    add("--offline", action="store_true", help="ask no origin: serve what is in the cache")
    add("--limit", type=above_zero, metavar="KIB", help="the most KiB a second, but for tunnels")
    add("--tunnel", type=port, nargs="+", default=[443], help="where CONNECT may lead (443)")
    add("--debug", action="store_true", help="print at once; errors with their traceback")
    add("--trace", metavar="FILE", type=Path, help="write what the fibers did to FILE at the end")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proxy until ^C; return the exit code."""
    return run("fiberlab.replicator", lambda: _serve(_parser().parse_args(arguments)))


def _serve(options: argparse.Namespace) -> None:
    try:
        from .cache import Cache
        from .proxy import Proxy
    except ModuleNotFoundError as error:
        raise MissingExtra.of("the replicator", error.name, "replicator") from None
    trace = None if options.trace is None else Trace()
    if options.trace is not None:
        writable(options.trace)
    with closing(Cache(options.cache)) as cache:
        limit = options.limit and options.limit * 1024
        rules = options.static, options.offline, limit, options.tunnel
        proxy = Proxy(cache, *rules, patience=2 * options.timeout)
        with listening_at(options.port):
            spawn(proxy.serve, options.port, options.timeout, options.debug, trace=trace)
    if trace:
        trace.save(options.trace)


if __name__ == "__main__":
    sys.exit(main())

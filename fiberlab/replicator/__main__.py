"""The command line of the proxy: ``python -m fiberlab.replicator --port 8080 --cache DIR``."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from contextlib import closing

from ..server import spawn
from ..trace.trace import Trace
from .cache import Cache
from .proxy import Proxy


def _parser() -> argparse.ArgumentParser:
    about = "A caching HTTP proxy for this machine: one download, however many ask. ^C ends it."
    parser = argparse.ArgumentParser(prog="python -m fiberlab.replicator", description=about)
    add = parser.add_argument
    add("--port", type=int, default=8080, help="where to listen; 0: any free port (8080)")
    add("--cache", metavar="DIR", default="cache", help="the folder of the files (cache)")
    add(
        "--timeout",
        type=_positive,
        default=15,
        help="seconds of silence; twice that for a head (15)",
    )
    add("--static", action="store_true", help="files never change: serve without asking again")
    add("--offline", action="store_true", help="ask no origin: serve what is in the cache")
    add("--limit", type=_positive, metavar="KIB", help="the most KiB a second, but for tunnels")
    add("--tunnel", type=int, nargs="+", default=[443], help="where CONNECT may lead (443)")
    add("--debug", action="store_true", help="print at once; errors with their traceback")
    add("--trace", metavar="FILE", help="write what the fibers did to FILE at the end")
    return parser


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proxy until ^C; return the exit code."""
    told = _parser().parse_args(arguments)
    trace = Trace() if told.trace else None
    try:
        with closing(Cache(told.cache)) as cache:
            limit = told.limit and told.limit * 1024
            options = told.static, told.offline, limit, told.tunnel
            proxy = Proxy(cache, *options, patience=2 * told.timeout)
            spawn(proxy.serve, told.port, told.timeout, told.debug, trace=trace)
        if trace is not None:
            trace.save(told.trace)
    except (OSError, OverflowError) as error:
        print(f"fiberlab.replicator: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

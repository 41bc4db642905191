"""Runs a reader's program in the browser as a notebook runs a cell, and says what came of it."""

from __future__ import annotations

import io
import traceback
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from pyodide.code import eval_code

from fiberlab import Trace, show
from fiberlab.viewer.notebook import Shown
from fiberlab.viewer.picture import pack

NAME = "program.py"
MOST = 100_000  # characters of output that a page shows

DRAWN = "this page draws by show(trace), without matplotlib"
SIMULATED = "this page has only simulated time: use SimulatedNetwork"
HINTS = {
    "No module named 'numpy'": DRAWN,
    "No module named 'matplotlib'": DRAWN,
    "Not supported": SIMULATED,  # a real socket
    "start new thread": SIMULATED,
    "stack switch": SIMULATED,  # asyncio.run
}


def run(source: str) -> dict[str, Any]:
    """Run a program; return what it said, what went wrong, and pictures of the run that it shows.

    That run is the value of the last line; after an error the variable `trace`, as far as it went.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    value, wrong, out = None, "", io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            value = eval_code(source, names, filename=NAME)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too
            value, wrong = names.get("trace"), sentence(error)
        if isinstance(value, Trace):
            value = show(value)
        elif value is not None and not isinstance(value, Shown):
            print(repr(value))
    said = out.getvalue()
    if len(said) > MOST:
        said = f"{said[:MOST]}\n... and {len(said) - MOST:,} characters more"
    shown = value if isinstance(value, Shown) else None
    return {
        "said": said,
        "wrong": wrong,
        "pictures": [pack(each, source=True) for each in shown.runs] if shown else [],
        "options": {
            "stepping": bool(shown and shown.stepping),
            "asking": bool(shown and shown.asking),
        },
    }


def sentence(error: BaseException) -> str:
    """Say in one sentence what went wrong, and in which line of the program."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [
        each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == NAME
    ]
    where = f"line {lines[-1]}: " if lines else ""
    told = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}".rstrip(": ")
    hints = [hint for words, hint in HINTS.items() if words in told]
    return where + "; ".join([told, *hints[:1]])

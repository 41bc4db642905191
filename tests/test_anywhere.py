"""A simulated run needs no thread, no real socket and few constants, and so works in Pyodide."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PROGRAM = TESTS / "anywhere.py"
PYODIDE = os.environ.get("FIBERLAB_PYODIDE", "")

POOR = """
import runpy, socket, sys, threading

def refuse(*args, **kwargs):
    raise RuntimeError("not on this system")

threading.Thread.start = socket.socket.__init__ = refuse
for name in ("SO_REUSEADDR", "SO_REUSEPORT", "MSG_DONTWAIT", "MSG_NOSIGNAL", "TCP_INFO"):
    if hasattr(socket, name):
        delattr(socket, name)
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def printed_by(*command: str | Path) -> str:
    """Return what a command prints; fail, and show what it said, if it fails."""
    ran = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def test_a_simulated_run_needs_no_thread_no_socket_and_no_odd_constant() -> None:
    there = printed_by(sys.executable, "-X", "utf8", "-c", POOR, PROGRAM)

    assert there == printed_by(sys.executable, "-X", "utf8", PROGRAM)
    assert "ran 200 ms without yielding" in there


@pytest.mark.skipif(
    not PYODIDE or not shutil.which("node"),
    reason="FIBERLAB_PYODIDE names no Pyodide, or there is no Node (CONTRIBUTING.md)",
)
def test_in_pyodide_a_simulated_run_is_the_same() -> None:
    """Trace, spans, diagnosis, numbers and the file for Perfetto, to the last byte."""
    there = printed_by(
        "node", TESTS / "anywhere_pyodide.mjs", PYODIDE, TESTS.parent, "tests/anywhere.py"
    )

    assert there == printed_by(sys.executable, "-X", "utf8", PROGRAM)

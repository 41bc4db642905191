"""The processes that are measured: started, pinned, asked, and ended.

The rule kept here: whoever is started here is ended here, also when a measurement fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class ChildFailed(Exception):
    """A measured process ended without a result; the last line it wrote says why."""


@contextlib.contextmanager
def child(core: int | None, kind: str, name: str, *more: object) -> Iterator[tuple[int, Any]]:
    """Start a child on `core`; give its process id and what it told; end it when left."""
    arguments = [sys.executable, "-m", "bench.child", kind, name, *map(str, more)]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True
        )
        try:
            if core is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(process.pid, {core})
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait()
                complaints.seek(0)
                said = complaints.read().strip().splitlines() or ["it said nothing"]
                raise ChildFailed(f"{kind} {name}: {said[-1]}")
            yield process.pid, json.loads(line)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def result(core: int | None, kind: str, name: str, *more: object) -> Any:
    """Let a child compute, and return what it told."""
    with child(core, kind, name, *more) as (_, told):
        return told

"""A pytest fixture that tells of the stalls in a test that fails.

Ask for it in a ``conftest.py``: ``pytest_plugins = ["fiberlab.pytest_plugin"]``.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from .diagnosis.diagnose import diagnose
from .recording.stall_recorder import StallRecorder

_RECORDER = pytest.StashKey[StallRecorder]()


@pytest.fixture
def stall_recorder(request: pytest.FixtureRequest, tmp_path: Path) -> StallRecorder:
    """A StallRecorder to give as ``trace=``.

    If the test fails, the stalls that it holds are written into the test's ``tmp_path``, and the
    report of the test says where, and what held the loop.
    """
    recorder = StallRecorder(path=tmp_path / "stalls.fiber.jsonl")
    request.node.stash[_RECORDER] = recorder
    return recorder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Add the stalls to the report of a test that has failed."""
    report = yield
    recorder = item.stash.get(_RECORDER, None)
    if recorder is not None and recorder.stalls and report.failed:
        recorder.write()
        found = diagnose(recorder.trace())
        report.sections.append(("stalls", f"{found}\nwritten to {recorder.path}"))
    return report

"""docs/every_schedule.md: each block of code runs, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "every_schedule.md"


def test_each_block_prints_what_the_page_says():
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    names: dict[str, Any] = {"__name__": "page"}
    printed = []
    for code, _ in blocks:
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(code, names)
        printed.append(output.getvalue())

    assert printed == [told for _, told in blocks]
    assert len(blocks) == PAGE.read_text("utf-8").count("```python")

"""Read the README's example: what it runs, and what it says that prints."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def example(number: int = 0) -> str:
    """Return a block of Python of the README: the first, or the one with this number."""
    return _blocks("python")[number]


def printed(number: int = 0) -> str | None:
    """Return the block of text that the README shows after an example, if there is one."""
    return next(iter(_blocks("text")[number:]), None)


def same_but_for_numbers(text: str) -> list[str]:
    """Return the lines with every number and unit masked: times differ from run to run.

    "up to" goes with them: whether a wait is known exactly depends on when a victim's data came.
    """
    number = r"\d+(?:\.\d+)?(?: (?:µs|ms|s)\b)?"
    return [
        re.sub(number, "0", line.rstrip()).replace("up to 0", "0")
        for line in text.strip().splitlines()
    ]


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.S | re.M)

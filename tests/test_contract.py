"""docs/contract.md: each promise has a test, that test is there, and it does not sleep."""

from __future__ import annotations

import ast
import re
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CONTRACT = TESTS.parent / "docs" / "contract.md"


def rows() -> list[tuple[str, str]]:
    """Return the promises, each with the file and name of its test as pytest takes them."""
    lines = CONTRACT.read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| ") and "---" not in line]
    return [
        (promise, node)
        for promise, node in (line.strip("| ").split(" | ") for line in table)
        if promise != "promise"
    ]


def names_in(file: str) -> set[str]:
    """Return the names of the tests in a file."""
    path = TESTS / file
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_promise_names_a_test():
    without = [
        row for row in rows() if not re.fullmatch(r"`(\w+/)?test_\w+\.py::test_\w+`", row[1])
    ]

    assert (without, len(rows()) > 100) == ([], True)


@pytest.mark.once
def test_every_test_that_the_contract_names_is_there():
    named = [node.strip("`").split("::") for _, node in rows()]
    there = {file: names_in(file) for file, _ in named}

    assert [f"{file}::{name}" for file, name in named if name not in there[file]] == []


def test_a_test_that_sleeps_fails():
    with pytest.raises(AssertionError, match="only tests marked live sleep"):
        time.sleep(0)


@pytest.mark.live
def test_one_that_is_marked_live_may_sleep():
    time.sleep(0)

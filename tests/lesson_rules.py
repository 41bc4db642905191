"""What a lesson or an optional sheet must keep to: its limits, and what cannot be compared.

Each rule is a function of a notebook that yields a sentence for each offence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

CELLS = 35
WORDS = 1300
SHEET = {"most_cells": 20, "most_words": 700}
LINES = 25
SIZE_BYTES = 300_000
IGNORED = 0.1

IGNORE = "nbval-ignore-output"
KNOWN_TAGS = {IGNORE, "raises-exception"}


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def tags(cell: dict[str, Any]) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def code_cells(notebook: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    return [(n, c) for n, c in enumerate(notebook["cells"], 1) if c["cell_type"] == "code"]


# -- The template's limits -------------------------------------------------------------


def over_the_limits(
    notebook: dict[str, Any],
    size_bytes: int = 0,
    *,
    most_cells: int = CELLS,
    most_words: int = WORDS,
) -> Iterator[str]:
    cells = notebook["cells"]
    if len(cells) > most_cells:
        yield f"{len(cells)} cells; the most is {most_cells}"
    prose = " ".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    words = len(re.findall(r"[^\W_][\w'-]*", re.sub(r"<[^>]*>|\]\([^)]*\)", " ", prose)))
    if words > most_words:
        yield f"{words} words; the most is {most_words}"
    if size_bytes >= SIZE_BYTES:
        yield f"{size_bytes} bytes; the most is {SIZE_BYTES}"
    code = code_cells(notebook)
    for number, cell in code:
        lines = source(cell).count("\n") + 1
        if lines > LINES:
            yield f"cell {number} has {lines} lines; the most is {LINES}"
    ignored = [number for number, cell in code if IGNORE in tags(cell)]
    if len(ignored) > max(1, IGNORED * len(code)):
        yield f"{len(ignored)} of {len(code)} code cells are ignored; the most is a tenth"


def not_a_lesson(notebook: dict[str, Any]) -> Iterator[str]:
    cells = notebook["cells"]
    if not cells or cells[0]["cell_type"] != "markdown" or not source(cells[0]).startswith("# "):
        yield "cell 1 is no title"
    code = code_cells(notebook)
    if code and not _only_imports(source(code[0][1])):
        yield f"cell {code[0][0]} is the first of code: it may only import"
    for number, cell in code:
        if unknown := tags(cell) - KNOWN_TAGS:
            yield f"cell {number} has the tag {', '.join(sorted(unknown))}"
        errors = [o["ename"] for o in cell["outputs"] if o["output_type"] == "error"]
        if "raises-exception" in tags(cell) and not errors:
            yield f"cell {number} has the tag raises-exception and no stored error"
        if errors and "raises-exception" not in tags(cell):
            yield f"cell {number} stores {errors[0]} and has no tag raises-exception"


def _only_imports(text: str) -> bool:
    try:
        body = ast.parse(text).body
    except SyntaxError:
        return False
    return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


# -- What cannot be compared -----------------------------------------------------------

INCOMPARABLE_NAMES = {
    "_": "the last value, which is not kept while lessons are compared",
    "__": "an earlier value, which is not kept while lessons are compared",
    "In": "the history, which is not kept while lessons are compared",
    "Out": "the history, which is not kept while lessons are compared",
    "display_id": "an update that is not seen while lessons are compared",
    "clear_output": "a removal that is not seen while lessons are compared",
    "interact": "a widget's output, which is compared as the cell's own",
    "interactive": "a widget's output, which is compared as the cell's own",
    "interactive_output": "a widget's output, which is compared as the cell's own",
    "Output": "a widget's output, which is compared as the cell's own",
    "input": "an answer that nobody gives",
    "uuid4": "a different value each time",
}
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+|127\.0\.0\.1['\"]?[:,] ?\d{4,5}\b")


def not_comparable(notebook: dict[str, Any]) -> Iterator[str]:
    for number, cell in code_cells(notebook):
        text = source(cell)
        if "NBVAL_" in text:
            yield f"cell {number} is marked by a comment: use the tag"
        if re.search(r"^\s*(!|%%(bash|sh|script|cmd)|%(pip|conda)\b)", text, re.MULTILINE):
            yield f"cell {number} runs a command of the system"
        elif re.search(r"^\s*%", text, re.MULTILINE) and IGNORE not in tags(cell):
            yield f"cell {number} has a magic, which measures or changes settings"
        if IGNORE not in tags(cell):
            for sentence in (*_in_source(text), *_in_outputs(cell["outputs"])):
                yield f"cell {number} {sentence}"


def _in_source(text: str) -> Iterator[str]:
    if text.rstrip().endswith(";"):
        yield "ends with a semicolon, which does not hide the value while lessons are compared"
    plain = re.sub(r"^\s*[%!].*$", "", text, flags=re.MULTILINE)
    try:
        nodes = list(ast.walk(ast.parse(plain)))
    except SyntaxError:
        return
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Load()) | ast.keyword(arg=name):
                used = name
            case ast.Attribute(attr=name):
                used = name if name not in ("_", "__", "input") else None
            case _:
                continue
        if used and (used in INCOMPARABLE_NAMES or re.fullmatch(r"_\d+", used)):
            yield f"uses {used}: {INCOMPARABLE_NAMES.get(used, INCOMPARABLE_NAMES['__'])}"


def _in_outputs(outputs: list[dict[str, Any]]) -> Iterator[str]:
    for output in outputs:
        texts = [output.get("text", []), *output.get("data", {}).values()]
        for text in texts:
            if found := ADDRESS.search("".join(text) if isinstance(text, (str, list)) else ""):
                yield f"shows {found.group()!r}, another one each time"

"""A lesson as slides, for a class: headings, questions, code and pictures; the prose is to be said.

    python -m fiberlab.lab.notebooks slides notebooks slides

The rule kept here: a lesson stays the one source, and what is shown follows from its cells. A
heading begins a slide, and so does what comes after a cell of code. Shown are lists, tables, what
stands just before one, and paragraphs with a bold word; other prose, answers and hints are the
speaker's notes. The imports, the prediction's cell, folded sources and the slider are left out. A
cell that has a slide type of its own (``slideshow``, as JupyterLab writes it) keeps it.
nbconvert makes the page, which loads nothing from anywhere.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from .normal_form import Cell, Notebook, first_line, to_text

_GOES_ON = "-"  # the type of what goes on with the slide before it
_TEMPLATE = Path(__file__).with_name("slides.html.j2")
_LEFT_OUT = re.compile(r"predict\(|show_source\([^()]*folded=True\)\s*\Z")
_FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
_SHOWN = re.compile(r"([-*|]|\d+\.) |\||    |```|.*?\*\*", re.DOTALL)
_BLOCK = re.compile(r"([-*|]|\d+\.) |\||    |```")


def as_slides(lesson: Notebook) -> Notebook:
    """Return a lesson with a slide type for each cell; Markdown is cut where its type changes."""
    cells: list[Cell] = []
    after_code = False
    for cell in lesson["cells"]:
        for part, kind in _parts(cell):
            if kind == _GOES_ON and (after_code or not cells):
                kind = "subslide"
            if kind not in ("notes", "skip"):
                after_code = part["cell_type"] == "code"
            slideshow = {"slideshow": {"slide_type": kind}}
            cells.append({**part, "metadata": {**part["metadata"], **slideshow}})
    title = first_line(lesson["cells"][0]).lstrip("# ") if lesson["cells"] else ""
    return {**lesson, "cells": cells, "metadata": {**lesson["metadata"], "title": title}}


def to_html(lesson: Notebook) -> str:
    """Return the page of a lesson's slides, whole: it loads nothing from anywhere."""
    import nbformat
    from nbconvert import SlidesExporter

    slides: Any = nbformat.reads(  # type: ignore[no-untyped-call]
        to_text(as_slides(lesson)), as_version=4
    )
    exporter: Any = SlidesExporter(  # type: ignore[no-untyped-call]
        template_file=str(_TEMPLATE)
    )
    page, _ = exporter.from_notebook_node(slides)
    return str(page)


def _parts(cell: Cell) -> list[tuple[Cell, str]]:
    """Return the parts of a cell, each with its type."""
    source = "".join(cell["source"])
    if (chosen := cell["metadata"].get("slideshow", {}).get("slide_type")) is not None:
        return [(cell, chosen)]
    if cell["cell_type"] == "code":
        slider = "nbval-ignore-output" in cell["metadata"].get("tags", [])
        left_out = slider or bool(_LEFT_OUT.match(source)) or _only_imports(source)
        return [(cell, "skip" if left_out else _GOES_ON)]
    kinds = _kinds(source)
    return [
        ({**cell, "id": f"{cell['id']}-{number}", "source": text}, kind)
        for number, (text, kind) in enumerate(kinds)
    ]


def _only_imports(source: str) -> bool:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # a magic, perhaps
        return False
    return all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in body)


def _kinds(source: str) -> list[tuple[str, str]]:
    """Cut Markdown into blocks of one type."""
    blocks = _blocks(source)
    found: list[tuple[str, str]] = []
    for block, following in zip(blocks, [*blocks[1:], ""], strict=True):
        if block.startswith("#"):
            found.append((block, "slide"))
            continue
        shown = _SHOWN.match(block) or (_BLOCK.match(following) and not _FOLDED.match(block))
        kind = _GOES_ON if shown and not block.startswith("<") else "notes"
        if found and found[-1][1] == kind:
            found[-1] = (f"{found[-1][0]}\n\n{block}", kind)
        else:
            found.append((block, kind))
    return found


def _blocks(source: str) -> list[str]:
    """Return the blocks between empty lines; what is folded is one."""
    kept = [each.group() for each in _FOLDED.finditer(source)]
    plain = _FOLDED.sub("\n\n<folded>\n\n", source)
    blocks = [block for block in re.split(r"\n{2,}", plain) if block.strip()]
    folded = iter(kept)
    return [next(folded) if block.strip() == "<folded>" else block.strip("\n") for block in blocks]

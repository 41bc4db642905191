"""The one form in which a lesson is stored, so that it holds nothing of one machine.

The rule kept here: a lesson on disk is what `normalise` makes of it. Running it again on
another machine then changes only the outputs that really differ, and nbval can compare them.
No times, versions, paths or widgets are stored; counts, cell ids and the order of keys are always
the same.

What this module does not know: how a lesson is run, and what nbval is able to compare.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]
Cell = dict[str, Any]

_NOTEBOOK_METADATA = {
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
_CELL_METADATA = ("jupyter", "slideshow", "tags")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_PICTURE = "image/png"
_MACHINE_PATTERNS = (
    r"(?<![\w.-])/(?:home|Users)/[\w.-]+",
    r"\b[A-Za-z]:\\{1,2}(?:Users|Windows)\\",
    r"\bipykernel_\d+",
    r"\b(?:site|dist)-packages\b",
)


class LessonError(ValueError):
    """A lesson that cannot be stored: the message names the file, the cell and the reason."""


def read_notebook(path: str | Path) -> Notebook:
    """Read a notebook.

    Raises LessonError if the file holds none.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise LessonError(f"{path}: this is no notebook ({error})") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise LessonError(f"{path}: this is no notebook of format 4 (it has no cells)")
    return notebook


def to_text(notebook: Notebook) -> str:
    """Return the text of a notebook as it is stored."""
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def normalise(notebook: Notebook) -> Notebook:
    """Return the notebook without anything that tells when and where it was run.

    A second call changes nothing. A stored error keeps its class and message and loses its
    traceback, which is full of paths.
    """
    cells: list[Cell] = []
    count = 0
    for number, cell in enumerate(notebook["cells"], 1):
        plain = _plain_cell(cell, f"c{number:02d}")
        if cell["cell_type"] == "code":
            count += bool(plain["source"])
            plain["execution_count"] = count if plain["source"] else None
            plain["outputs"] = _plain_outputs(cell.get("outputs", []), plain["execution_count"])
        cells.append(plain)
    return {
        "cells": cells,
        "metadata": copy.deepcopy(_NOTEBOOK_METADATA),
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def without_outputs(notebook: Notebook) -> Notebook:
    """Return the notebook as a student opens it: nothing in it has been run."""
    stripped = normalise(notebook)
    for cell in stripped["cells"]:
        if cell["cell_type"] == "code":
            cell.update(execution_count=None, outputs=[])
    return stripped


def _plain_cell(cell: Cell, name: str) -> Cell:
    metadata = cell.get("metadata", {})
    plain: Cell = {
        "cell_type": cell["cell_type"],
        "id": name,
        "metadata": {key: metadata[key] for key in _CELL_METADATA if metadata.get(key)},
        "source": _lines(_text(cell["source"]).rstrip()),
    }
    if cell.get("attachments"):
        plain["attachments"] = copy.deepcopy(cell["attachments"])
    return plain


def _plain_outputs(outputs: Iterable[Cell], count: int | None) -> list[Cell]:
    plain: list[Cell] = []
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            text = _text(output["text"])
            if plain and plain[-1].get("name") == output["name"]:
                text = _text(plain.pop()["text"]) + text
            plain.append({"name": output["name"], "output_type": kind, "text": _lines(text)})
        elif kind == "error":
            told = {key: output[key] for key in ("ename", "evalue", "output_type")}
            plain.append({**told, "traceback": [f"{output['ename']}: {output['evalue']}"]})
        elif _WIDGET not in (data := output["data"]) or _PICTURE in data:
            # A widget is of one session, and has a random id; a picture beside it is stored.
            kept = {mime: value for mime, value in data.items() if mime != _WIDGET}
            shown: Cell = {
                "data": {mime: _data(mime, value) for mime, value in kept.items()},
                "metadata": copy.deepcopy(output.get("metadata", {})),
                "output_type": kind,
            }
            if kind == "execute_result":
                shown["execution_count"] = count
            plain.append(shown)
    return plain


def _text(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "".join(value)


def _lines(text: str) -> list[str]:
    # Only "\n" ends a line here: splitlines would also cut at "\r", and lose progress lines.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _data(mime: str, value: Any) -> Any:
    # As the notebook format writes it: text as a list of lines, an image as one string.
    if mime.startswith("text/") or mime in ("image/svg+xml", "application/javascript"):
        return _lines(_text(value))
    return copy.deepcopy(value)


# -- What may not be stored ------------------------------------------------------------


def machine_paths(notebook: Notebook, folder: str | Path = ".") -> Iterator[str]:
    """Yield a sentence for each output that holds a path of a machine, naming its cell.

    folder: where the notebook lies. Besides what looks like a path of any machine, it looks
    for this one's home, working and temporary directory and the place of its Python.
    """
    here = [Path.home(), Path.cwd(), Path(folder).resolve(), tempfile.gettempdir(), sys.prefix]
    exact = {re.escape(str(path)) for path in here if len(str(path)) > 3}
    pattern = re.compile(
        "|".join([*_MACHINE_PATTERNS, *(rf"(?<![\w./-]){path}(?![\w-])" for path in sorted(exact))])
    )
    for number, cell in enumerate(notebook["cells"], 1):
        for output in cell.get("outputs", []):
            found = pattern.search(_readable(output))
            if found:
                yield (
                    f"cell {number} ({first_line(cell)!r}) shows {found.group()!r}, "
                    f"a path of this machine: print a name without its directory"
                )
                break


def _readable(output: Cell) -> str:
    """Return all text of an output; an image is left out."""
    parts = [_text(output[key]) for key in ("text", "traceback") if key in output]
    for mime, value in output.get("data", {}).items():
        if mime.startswith("text/") or mime.endswith(("xml", "javascript")):
            parts.append(_text(value))
        elif mime.endswith("json"):
            parts.append(json.dumps(value, ensure_ascii=False))
    return "\n".join(parts)


def first_line(cell: Cell) -> str:
    """Return the start of a cell's source, by which a reader finds it."""
    return _text(cell["source"]).strip().partition("\n")[0][:60]

"""Tables: rows of cells as text, as HTML and as CSV.

The rule kept here: a cell comes from programs and their clients and is never obeyed. Control
characters are written out, HTML is escaped, and a spreadsheet takes no cell for a formula.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from html import escape
from io import StringIO

from ..trace.events import printable

Cell = str | int | float | None
Cells = Sequence[Sequence[Cell]]

_WORDS: dict[str, Cell] = {
    "": None,
    "True": True,
    "False": False,
    **{text: float(text) for text in ("inf", "-inf", "nan")},
}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def text_table(head: Sequence[str], rows: Cells, *, left: int = 1) -> list[str]:
    """Return a table as lines of text; the first `left` columns are aligned to the left."""
    cells = [[_plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if at < left else text.rjust(width)
            for at, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def html_table(head: Sequence[str], rows: Cells, caption: str, *, left: int = 1) -> str:
    """Return a table as HTML, its first column as the headings of the rows."""
    align = ["left" if at < left else "right" for at in range(len(head))]
    heads = "".join(
        f'<th scope="col" style="text-align:{side}">{_escaped(cell)}</th>'
        for side, cell in zip(align, head, strict=True)
    )
    body = "".join(f"<tr>{_html_row(row, align)}</tr>" for row in rows)
    return (
        f'<table><caption style="text-align:left">{_escaped(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    )


def _html_row(row: Sequence[Cell], align: list[str]) -> str:
    first, *others = row
    cells = "".join(
        f'<td style="text-align:{side}">{_escaped(cell)}</td>'
        for side, cell in zip(align[1:], others, strict=True)
    )
    return f'<th scope="row" style="text-align:left">{_escaped(first)}</th>{cells}'


def csv_text(head: Sequence[str], rows: Cells) -> str:
    """Return a table as CSV; a text that a spreadsheet would compute gets an apostrophe."""
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(map(_harmless, head))
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return file.getvalue()


def read_csv(text: str) -> list[list[Cell]]:
    """Return the cells of what `csv_text` has written, its head among them.

    What reads as a number is one, whatever it was; True and False stay, nothing is None.
    """
    return [[_value(cell) for cell in row] for row in csv.reader(StringIO(text), strict=True)]


def _value(text: str) -> Cell:
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if text.startswith("'") and text[1:].lstrip().startswith(_FORMULA):
        return text[1:]
    return text


def _harmless(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    text = printable(cell).replace("\t", " ")
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def _plain(cell: Cell) -> str:
    return "" if cell is None else printable(str(cell)).replace("\t", " ")


def _escaped(cell: Cell) -> str:
    return escape(_plain(cell))

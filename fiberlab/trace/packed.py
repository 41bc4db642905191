"""Packed rows: the events of a loaded trace in columns of numbers, a quarter of a list's size.

The rule kept here: what was put in comes out, equal and in order, but as a new object each
time it is read. A row of Python objects takes some 200 bytes, and a file may have millions.

A trace that is being recorded is a list: nothing is appended as fast.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, Generic, TypeVar, overload

from .events import EV, FIELDS, Row

_NONE = -(1 << 63)  # stands for None in a column of numbers
_BUFFER = 1_000  # rows that are packed at once


AnyTuple = TypeVar("AnyTuple", bound=tuple[Any, ...])


class Table(Sequence[AnyTuple], Generic[AnyTuple]):
    """Tuples of one length, in columns; append and read, like a list of them.

    make: makes one of its values, such as ``Poll._make``. texts: shared with other tables.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, width: int, make: Callable[[Iterable[Any]], AnyTuple], texts: Texts | None = None
    ) -> None:
        texts = Texts() if texts is None else texts
        self.columns = [_Column(texts) for _ in range(width)]
        self._make = make
        self._packed = 0
        self._buffer: list[AnyTuple] = []

    def append(self, row: AnyTuple) -> None:
        """Add `row` at the end."""
        self._buffer.append(row)
        if len(self._buffer) >= _BUFFER:
            self.pack()

    def pack(self) -> None:
        """Put into columns what is not in them yet."""
        if self._buffer:
            for column, values in zip(self.columns, zip(*self._buffer, strict=True), strict=True):
                column.extend(values)
            self._packed += len(self._buffer)
            self._buffer.clear()

    def __len__(self) -> int:
        return self._packed + len(self._buffer)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    def __iter__(self) -> Iterator[AnyTuple]:
        yield from map(self._make, zip(*self.columns, strict=True))
        yield from self._buffer

    @overload
    def __getitem__(self, index: int) -> AnyTuple: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnyTuple]: ...
    def __getitem__(self, index: int | slice) -> AnyTuple | list[AnyTuple]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if index >= self._packed:
            return self._buffer[index - self._packed]
        return self._make([column[index] for column in self.columns])


class Texts:
    """Texts that come again and again, each held once, by number; number 0 is None."""

    def __init__(self) -> None:
        self.texts: list[str | None] = [None]
        self._number: dict[str | None, int] = {None: 0}

    def number(self, text: str | None) -> int:
        """Return the number of `text`."""
        number = self._number.get(text)
        if number is None:
            number = self._number[text] = len(self.texts)
            self.texts.append(text)
        return number


class _Column:
    """One column: of numbers, of texts, of anything; with None here and there, or only."""

    __slots__ = ("kind", "nones", "texts", "values")

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.kind: type | None = None  # None: nothing but None came
        self.nones = 0  # whether numbers stand beside Nones; before, how many Nones came
        self.values: Any = array("q")

    def extend(self, values: Sequence[Any]) -> None:
        """Add `values`."""
        if self.kind is None:
            first = next((value for value in values if value is not None), None)
            if first is None:
                self.nones += len(values)
                return
            self.kind = type(first) if type(first) in (int, str) else object
            self.values = array("i" if self.kind is str else "q")
            values = (*repeat(None, self.nones), *values)
            if self.kind is object:
                self.values = []
        if not self._took(map(self.texts.number, values) if self.kind is str else values):
            self._extend_slowly(values)

    def _extend_slowly(self, values: Sequence[Any]) -> None:
        if self.kind is int and self._took([_NONE if value is None else value for value in values]):
            self.nones = 1
            return
        # Of several types, or a number of more than 63 bits.
        self.values = list(self)
        self.kind = object
        self.values.extend(values)

    def _took(self, values: Iterable[Any]) -> bool:
        """Add all of `values`, or none if they do not fit; return whether they did."""
        before = len(self.values)
        try:
            self.values.extend(values)
        except (TypeError, OverflowError):
            del self.values[before:]
            return False
        return True

    def __iter__(self) -> Iterator[Any]:
        if self.kind is None:
            return repeat(None, self.nones)
        if self.kind is str:
            return map(self.texts.texts.__getitem__, self.values)
        if self.kind is int and self.nones:
            return (None if value == _NONE else value for value in self.values)
        return iter(self.values)

    def __getitem__(self, index: int) -> Any:
        if self.kind is None:
            return None
        value = self.values[index]
        if self.kind is int:
            return None if value == _NONE else value
        return self.texts.texts[value] if self.kind is str else value


class PackedRows(Sequence[Row]):
    """The rows of a trace, of every kind, in order."""

    def __init__(self) -> None:
        texts = Texts()
        self._kinds = bytearray()
        self._places = array("I")  # where among those of its kind each row stands
        self._tables = [Table(2 + len(fields), tuple, texts) for fields in FIELDS.values()]

    def append(self, row: Row) -> None:
        """Add `row` at the end."""
        code = _CODES[row[EV]]
        table = self._tables[code]
        self._kinds.append(code)
        self._places.append(len(table))
        table.append((row[0], *row[2:]))

    def __len__(self) -> int:
        return len(self._kinds)

    def pack(self) -> None:
        """Put into columns what is not in them yet, as at the end of a file."""
        for table in self._tables:
            table.pack()

    def __iter__(self) -> Iterator[Row]:
        self.pack()
        rows = [_with_kind(kind, table) for kind, table in zip(_KINDS, self._tables, strict=True)]
        for code in self._kinds:
            yield next(rows[code])

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        code = self._kinds[index]
        t, *values = self._tables[code][self._places[index]]
        return (t, _KINDS[code], *values)


def _with_kind(kind: str, table: Table[Row]) -> Iterator[Row]:
    t, *values = table.columns
    return zip(t, repeat(kind), *values)


_KINDS = tuple(FIELDS)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}

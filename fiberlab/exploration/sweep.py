"""A sweep: one function for many cases, and a table of what it returns.

    table = sweep(simulate, {"load": [0.5, 0.9], "seed": range(20)}, path="sweep.csv")

The rule kept here: the table holds what its CSV says, so that it is the same whether a row was
computed just now or read from the file that a sweep goes on with.
"""

from __future__ import annotations

import csv
import inspect
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields, is_dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import one_line
from ..report.tables import Cell, csv_text, html_table, read_csv, text_table
from .progress import Progress, telling
from .workers import Workers


@dataclass(frozen=True)
class Table:
    """What a sweep has given: a row for each case, in the order of the cases.

    columns: the arguments, then what the function returns. complete: whether no case is left out,
    as ^C does. note: how many were run in this process though an executor was given; None: none.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, Cell]]
    complete: bool = True
    note: str | None = None

    def csv(self) -> str:
        """Return the table as CSV."""
        return csv_text(self.columns, self._cells())

    def to_pandas(self) -> Any:
        """Return the table as a pandas.DataFrame; ImportError if pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: python -m pip install pandas") from error
        return pandas.DataFrame(self.rows, columns=list(self.columns))

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        lines = text_table(self.columns, self._cells(), left=0) if self.columns else []
        return "\n".join([*lines, *self._remarks()])

    def _repr_html_(self) -> str:
        return html_table(self.columns or ("",), self._cells(), "; ".join(self._remarks()))

    def _cells(self) -> list[list[Cell]]:
        return [[row[name] for name in self.columns] for row in self.rows]

    def _remarks(self) -> Iterator[str]:
        count = len(self.rows)
        yield f"{count:,} case{'' if count == 1 else 's'}{'' if self.complete else ', cut short'}"
        if self.note is not None:
            yield self.note


def sweep(
    function: Callable[..., Any],
    cases: Iterable[Any] | Mapping[str, Iterable[Any]],
    executor: Executor | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    progress: Progress | bool | None = None,
) -> Table:
    """Call `function` for each case, and return a table of the arguments and the results.

    cases: dicts of arguments, tuples of arguments, or single arguments; or one dict of lists:
    every combination. Arguments are text, numbers, True, False or None; so is what the function
    returns, or a dict, a named tuple or a dataclass of such, the same columns each time.
    path: a CSV file. Each row is appended to it at once, and a case that it has already is not
    run again: so a sweep goes on where it was cut off. executor, progress, ^C: as for `explore`.

    Raises RuntimeError, naming the case, if the function raises; the rows before it are in the
    file. Raises ValueError for a file with other columns.
    """
    if not callable(function):
        raise TypeError(f"sweep() needs a function, got {function!r}")
    wanted = [_Case.of(function, number, each) for number, each in enumerate(_each(cases), 1)]
    wanted = [case.arranged(number, wanted[0].names) for number, case in enumerate(wanted, 1)]
    workers = Workers(executor, function, "the function")
    kept = _Kept(wanted[0].names if wanted else (), path)
    known = [kept.take(case) for case in wanted]
    todo = [case for case, row in zip(wanted, known, strict=True) if row is None]
    results = workers.in_order(_call, ((function, case) for case in todo))
    tell = telling(progress, "cases", len(wanted))
    rows: list[dict[str, Cell]] = []
    here, complete = 0, True
    try:
        for case, row in zip(wanted, known, strict=True):
            if row is None:
                result, there = next(results)
                here += there
                row = kept.append(case, result)
            rows.append(row)
            tell(len(rows), 0)
        tell.end(len(rows), 0)
    except KeyboardInterrupt:
        complete = False
    finally:
        tell.close()
    return Table(kept.columns, rows, complete, workers.note(here))


# -- Cases -------------------------------------------------------------------------------


class _Case(NamedTuple):
    """One call: its arguments, and what they are in the table."""

    args: tuple[Any, ...]
    keywords: dict[str, Any]
    names: tuple[str, ...]
    cells: tuple[Cell, ...]

    @classmethod
    def of(cls, function: Callable[..., Any], number: int, given: Any) -> _Case:
        """Bind what was given to the function's arguments; TypeError if it does not fit."""
        args: tuple[Any, ...] = ()
        keywords: dict[str, Any] = {}
        if isinstance(given, Mapping):
            keywords = dict(given)
        else:
            args = given if isinstance(given, tuple) else (given,)
        try:
            bound = inspect.signature(function).bind(*args, **keywords).arguments
        except TypeError as error:
            raise TypeError(
                f"case {number}, {given!r}, does not fit {_named(function)}: {error}"
            ) from None
        except ValueError:  # a function of C, which does not tell its arguments
            bound = keywords or {f"argument {place}": arg for place, arg in enumerate(args, 1)}
        named = keywords or bound
        cells = _as_read([_cell(name, value) for name, value in named.items()])
        return cls(args, keywords, tuple(named), tuple(cells))

    def arranged(self, number: int, names: tuple[str, ...]) -> _Case:
        """Return it with its columns in the order of `names`; ValueError if it has others."""
        if sorted(self.names) != sorted(names):
            raise ValueError(
                f"case {number} has the arguments {_listed(self.names)}, and the first case has "
                f"{_listed(names)}; give each the same"
            )
        cells = dict(zip(self.names, self.cells, strict=True))
        return self._replace(names=names, cells=tuple(cells[name] for name in names))

    def __str__(self) -> str:
        pairs = zip(self.names, self.cells, strict=True)
        return ", ".join(f"{name}={cell!r}" for name, cell in pairs)


def _each(cases: Iterable[Any] | Mapping[str, Iterable[Any]]) -> Iterator[Any]:
    if isinstance(cases, Mapping):
        for name, values in cases.items():
            _check_iterable(f"the values of {name!r}", values)
        for values in product(*cases.values()):
            yield dict(zip(cases, values, strict=True))
    else:
        _check_iterable("sweep(cases=)", cases)
        yield from cases


def _check_iterable(what: str, given: Any) -> None:
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{what} must be a list, or what can be gone through as one; got {given!r}")


def _call(function: Callable[..., Any], case: _Case) -> dict[str, Cell]:
    """Return what the function returns for a case, as cells."""
    try:
        returned = function(*case.args, **case.keywords)
    except Exception as error:
        raise RuntimeError(f"{_named(function)} for {case} raised {one_line(error)}") from error
    return {str(name): _cell(name, value) for name, value in _columns_of(returned)}


def _columns_of(returned: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(returned, Mapping):
        return returned.items()
    if isinstance(returned, tuple) and hasattr(returned, "_asdict"):
        return list(returned._asdict().items())
    if is_dataclass(returned):
        return [(each.name, getattr(returned, each.name)) for each in fields(returned)]
    return [("result", returned)]


def _cell(name: str, value: Any) -> Cell:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if callable(getattr(value, "item", None)) and getattr(value, "ndim", 0) == 0:
        return _cell(name, value.item())  # a number of numpy's
    raise TypeError(
        f"{name!r} is {value!r}; in a table it must be text, a number, True, False or None"
    )


def _named(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__name__', repr(function))}()"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


# -- The file ----------------------------------------------------------------------------


class _Kept:
    """The rows of a sweep, appended to a file if there is one.

    columns: those of the arguments, until the first row says what the results are.
    """

    def __init__(self, names: tuple[str, ...], path: str | os.PathLike[str] | None) -> None:
        self.columns = names
        self._names = names
        self._path = path
        self._rows: dict[str, list[dict[str, Cell]]] = defaultdict(list)
        self._empty = True
        if path is not None:
            self._read(Path(path))

    def take(self, case: _Case) -> dict[str, Cell] | None:
        """Return a row of this case that the file had, once; None if it has none left."""
        rows = self._rows.get(_line(case.cells))
        return rows.pop(0) if rows else None

    def append(self, case: _Case, result: dict[str, Cell]) -> dict[str, Cell]:
        """Write a row; return it as it will be read."""
        columns = (*self._names, *result)
        if len(set(columns)) < len(columns):
            raise ValueError(
                f"an argument and a result have the same name: {_listed(columns)}; rename one"
            )
        if self._empty:
            self.columns = columns
        elif columns != self.columns:
            raise ValueError(
                f"the columns are {_listed(self.columns)}, and for {case} they would be "
                f"{_listed(columns)}; return the same each time, or give another path"
            )
        cells = [*case.cells, *_as_read(list(result.values()))]
        if self._path is not None:
            with open(self._path, "a", encoding="utf-8", newline="") as file:
                file.write((_line(columns) if self._empty else "") + _line(cells))
        self._empty = False
        return dict(zip(columns, cells, strict=True))

    def _read(self, path: Path) -> None:
        with open(path, "ab+") as file:  # so that one that cannot be written is refused at once
            file.seek(0)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]  # a row that was cut off is run again
        try:
            head, *rows = read_csv(whole.decode("utf-8")) or [[]]
        except (UnicodeDecodeError, csv.Error):
            raise ValueError(f"{path} is no CSV file of a sweep; give another path") from None
        columns = tuple(map(str, head))
        count = len(self._names)
        same = not columns or columns[:count] == self._names
        if not same or any(len(row) != len(columns) for row in rows):
            raise ValueError(
                f"{path} has the columns {_listed(columns)}, and the arguments are "
                f"{_listed(self._names)}; give another path"
            )
        if whole != data:
            os.truncate(path, len(whole))
        if columns:
            self.columns, self._empty = columns, False
        for row in rows:
            self._rows[_line(row[:count])].append(dict(zip(columns, row, strict=True)))


def _line(cells: Sequence[Cell]) -> str:
    return csv_text((), [cells])[1:]  # without the empty head


def _as_read(cells: Sequence[Cell]) -> list[Cell]:
    """Return what cells are once they were written and read."""
    return read_csv(_line(cells))[0] if cells else []

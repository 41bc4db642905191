"""Trace lines: an event as a line of JSON, and back.

The rule kept here: a line is not believed. Its depth is bounded before it is parsed, each field
is held to its type, and kinds and fields that are not known here are passed over. What is written
is held to the same: a line is made that can be read, or none.

This module knows no file.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from typing import Any

from .events import FIELDS, SCHEMA, Row, place

_LONGEST_TEXT = 50_000  # characters; a longer one is cut when it is saved
_LONGEST_ARGS = 100_000  # of all arguments of a mark together
_END_OF_INTS = 1 << 63  # what a column of spans can hold
_END_OF_LENGTHS = 1 << 100  # of time that was asked for: WAIT(1e10) is longer than 2**63 ns
_LENGTHS = {"dt", "timeout"}
_TEXTS = {
    "clock", "unit", "python", "wall", "source", "name", "src", "why", "op", "how", "err",
    "func", "text", "stream", "ph", "reason",
}  # fmt: skip


# -- Writing ------------------------------------------------------------------


def line_maker() -> Callable[[Row], str]:
    """Return a function that makes a line of a row; it remembers the places it has met.

    It raises ValueError for a row of which no line can be made that `row_of` would read.
    """
    places: dict[tuple[int, int], str | None] = {}

    def line(row: Row) -> str:
        t, ev, fid = row[:3]
        if type(t) is not int or type(fid) is not int or not (_fits(t) and _fits(fid)):
            t, fid = _whole(ev, "t", t, 0, _END_OF_INTS), _whole(ev, "fid", fid, 0, _END_OF_INTS)
        parts = [f'{{"t":{t},"ev":"{ev}","fid":{fid}']
        for (key, label, least, end), value in zip(_LABELS[ev], row[3:], strict=True):
            if value is None:
                continue
            if least is not None:
                if type(value) is not int or not least <= value < end:
                    value = _whole(ev, key, value, least, end)
                parts.append(f"{label}{value}")
            elif key in _TEXTS:
                if type(value) is tuple:
                    # By identity: to compare code objects is to compare all they hold.
                    at = (id(value[0]), value[1])
                    if at not in places:
                        places[at] = place(value)
                    value = places[at]
                parts.append(label + _quoted(value if type(value) is str else str(value)))
            else:
                value = _plain_args(value) if key == "args" else _plain_id(value)
                parts.append(label + _encode(value))
        if ev == "start":
            _check_schema(row[3])
        parts.append("}\n")
        return "".join(parts)

    return line


def plain(value: Any) -> Any:
    """Return `value` as a line can hold it: numbers and truth as they are, the rest as text."""
    if isinstance(value, int) and abs(value) < _END_OF_LENGTHS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    try:
        return str(value)[:1_000]
    except Exception:  # its own fault, or a number of more than 4,300 digits
        return f"<{type(value).__name__} that cannot be shown>"


def _plain_args(args: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    left = _LONGEST_ARGS
    for key, value in args.items() if isinstance(args, dict) else [("args", args)]:
        name, value = str(key)[:1_000], plain(value)
        left -= len(name) + len(str(value))
        if left < 0:
            return {**found, "...": "too long to be saved"}
        found[name] = value
    return found


def _plain_id(number: Any) -> int | str:
    number = plain(number)
    return number if type(number) is int else str(number)


def _whole(ev: str, key: str, value: Any, least: int, end: int) -> int:
    """Return `value` as a plain integer, if it is one that can be read back."""
    try:
        whole = operator.index(value)
    except TypeError:
        whole = -2
    if least <= whole < end:
        return whole
    years = "; a trace tells of 292 years, no more" if key == "t" and whole > 0 else ""
    raise ValueError(
        f"{key} of a {ev} event is a whole number from {least} to {end - 1}, "
        f"got {_short(value)}{years}"
    )


def _fits(number: int) -> bool:
    return 0 <= number < _END_OF_INTS


def _quoted(text: str) -> str:
    quoted: str = encode_basestring(text[:_LONGEST_TEXT])
    return quoted if len(text) <= _LONGEST_TEXT else quoted[:-1] + '..."'


def _least(key: str) -> int | None:
    """Return the least number that a field may be; None: it is no number."""
    return None if key in _TEXTS or key in ("id", "args") else -1 if key == "fd" else 0


def _end(key: str) -> int:
    return _END_OF_LENGTHS if key in _LENGTHS else _END_OF_INTS


_encode = json.JSONEncoder(separators=(",", ":")).encode
_LABELS = {
    ev: tuple((key, f',"{key}":', _least(key), _end(key)) for key in fields)
    for ev, fields in FIELDS.items()
}


# -- Reading ------------------------------------------------------------------


def check_depth(line: bytes, most: int) -> None:
    """Refuse a line in which brackets are nested too deeply, without parsing it."""
    depth, in_text = 0, False
    for found in re.finditer(rb'\\.|["\[\]{}]', line, re.DOTALL):
        char = found[0]
        if char == b'"':
            in_text = not in_text
        elif not in_text and char in b"{[":
            depth += 1
            if depth > most:
                raise ValueError(f"brackets are nested more than {most} deep (depth=)")
        elif not in_text and char in b"}]":
            depth -= 1


def parse(line: bytes) -> Any:
    """Return what a line of JSON says, None if it is blank; ValueError if it is no JSON."""
    try:
        text = line.decode().strip()
        if not text:
            return None
        given, end = (_decode if len(line) < 4_096 else _decode_warily)(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is no UTF-8; is this file a trace?") from None
    except json.JSONDecodeError as error:
        if b"\0" in line:
            raise ValueError("there are NUL bytes; was this file written to the end?") from None
        hint = "is this file a trace, and whole?"
        raise ValueError(f"no JSON at column {error.colno}: {error.msg}; {hint}") from None
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None
    if end != len(text):
        raise ValueError(f"there is more than one event: {text[end : end + 20]!r}")
    return given


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number in JSON")


def _wary(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return `convert`, but for numbers so long that reading one takes minutes."""

    def number(digits: str) -> Any:
        if len(digits) > 100:
            raise ValueError(f"there is a number of {len(digits):,} digits")
        return convert(digits)

    return number


_decode = json.JSONDecoder(parse_constant=_refuse).raw_decode
_decode_warily = json.JSONDecoder(
    parse_int=_wary(int), parse_float=_wary(float), parse_constant=_refuse
).raw_decode


def row_of(given: Any, shared: dict[str, str]) -> Row | None:
    """Return the row of one line; None for an event of a kind that is not known here."""
    if type(given) is not dict:
        raise ValueError(f"expected an event, {{...}}, got {str(given)[:60]!r}")
    t, ev, fid = given.get("t"), given.get("ev"), given.get("fid")
    if type(t) is not int or type(fid) is not int or type(ev) is not str:
        raise ValueError("an event needs t, ev and fid; is this file a trace?")
    if not 0 <= t < _END_OF_INTS or not 0 <= fid < _END_OF_INTS:
        raise ValueError(f"t and fid are from 0 to 2**63, got t={_short(t)}, fid={_short(fid)}")
    known = _WANTED.get(ev)
    if known is None:
        return None
    ev, wanted = known
    values: list[Any] = [t, ev, fid]
    for key, least, end in wanted:
        value = given.get(key)
        if value is None:
            pass
        elif least is None:
            if type(value) is not str:
                raise ValueError(f"{key} of a {ev} event is a text, got {_short(value)}")
            value = shared.setdefault(value, value)
        elif type(value) is not int or not least <= value < end:
            raise ValueError(f"{key} of a {ev} event is a whole number, got {_short(value)}")
        values.append(value)
    if ev == "start":
        _check_schema(given.get("schema"))
    if ev == "mark":
        values += _id_and_args(given)
    return tuple(values)


def _check_schema(schema: Any) -> None:
    if schema not in range(1, SCHEMA + 1):
        raise ValueError(f"the trace is of schema {schema!r}; this fiberlab reads up to {SCHEMA}")


def _id_and_args(given: dict[str, Any]) -> tuple[Any, Any]:
    """Return the two fields that may be of several types."""
    number, args = given.get("id"), given.get("args")
    if number is not None and type(number) not in (int, str):
        raise ValueError(f"id of a mark event is a number or a text, got {_short(number)}")
    if args is not None and not (type(args) is dict and all(map(_is_plain, args.values()))):
        raise ValueError(f"args of a mark event are names and plain values, got {_short(args)}")
    return number, args


def _is_plain(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, (str, int))


def _short(value: Any) -> str:
    return str(plain(value))[:40] if isinstance(value, (str, int)) else repr(value)[:40]


def _wanted(fields: Iterable[str]) -> tuple[tuple[str, int | None, int], ...]:
    """Return for each field the least it may be, None for a text, and where its numbers end."""
    return tuple((key, _least(key), _end(key)) for key in fields if key not in ("id", "args"))


_WANTED = {ev: (ev, _wanted(fields)) for ev, fields in FIELDS.items()}

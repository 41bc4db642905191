"""Conditional requests and ranges: which version of a file a client has, and what it lacks.

The rule kept here: two versions are never taken for one. A strong validator tells them apart; a
weak one is enough to say that nothing has changed, never to join two parts (RFC 9110, 8.8).
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import Any

import h11

from .messages import Failure, Headers, Request, field, seconds_of

ASKING = {b"etag": b"if-none-match", b"last-modified": b"if-modified-since"}
"""The fields that name a version, and those that ask whether there is another."""

# A tag may hold commas (RFC 9110, 8.8.3).
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[\s,]*{_TAG}(?:\s*,[\s,]*{_TAG})*[\s,]*")


def validators_of(headers: Headers) -> list[str]:
    """Return what tells this very version from any other: a strong ETag, an old date."""
    etag, modified = field(headers, b"etag"), field(headers, b"last-modified")
    dated = seconds_of(field(headers, b"date")) or 0
    # Within a second a file may change twice; not when it is a minute old (RFC 9110, 8.8.2.2).
    old = modified if dated - (seconds_of(modified) or dated) >= 60 else None
    return [each for each in (None if (etag or "").startswith("W/") else etag, old) if each]


def may_be_same(headers: Headers, others: Any) -> bool:
    """Whether two answers may be of one version: no validator that both have differs."""
    for name in ASKING:
        known, other = field(headers, name), field(others, name)
        if known and other:
            return known.removeprefix("W/") == other.removeprefix("W/")
    return True


def is_unmodified(request: Request, headers: Headers) -> bool:
    """Whether the client has this version already."""
    known = field(request.headers, b"if-none-match")
    if known is not None:
        tag = (field(headers, b"etag") or "").removeprefix("W/")
        if known.strip() == "*":
            return True
        if _TAGS.fullmatch(known):
            return tag in {each.removeprefix("W/") for each in re.findall(_TAG, known)}
        return tag != "" and known.strip() == tag  # some forget the quotes, on both sides
    since = seconds_of(field(request.headers, b"if-modified-since"))
    modified = seconds_of(field(headers, b"last-modified"))
    return since is not None and modified is not None and modified <= since


def range_of(request: Request, headers: Headers, size: int | None) -> range | None:
    """Return the bytes a client asks for, None for all of them; Failure 416 if there are none."""
    asked = field(request.headers, b"range")
    form = re.fullmatch(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*", asked or "", re.IGNORECASE)
    condition = field(request.headers, b"if-range")
    # Several ranges at once, or a size that is not known yet: the whole file.
    if size is None or form is None or condition not in (None, *validators_of(headers)):
        return None
    first, last = form[1], form[2]
    if not first + last or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(0, size - int(last))
    if start >= size:
        content_range = ("content-range", f"bytes */{size}")
        raise Failure(416, f"{asked!r} lies outside of the file's {size} bytes", content_range)
    return range(start, min(int(last) + 1, size) if first and last else size)


def answer_for(
    request: Request, headers: Headers, size: int | None
) -> tuple[h11.Response, int, int]:
    """Return a file's head for a client, and which bytes of it follow, from and to."""
    if is_unmodified(request, headers):
        return _head(304, "Not Modified", tuple(headers)), 0, 0
    asked = range_of(request, headers, size) if request.method == b"GET" else None
    sent = [*headers, (b"accept-ranges", b"bytes")]
    start, stop, status, reason = 0, sys.maxsize if size is None else size, 200, "OK"
    if asked is not None:
        start, stop, status, reason = asked.start, asked.stop, 206, "Partial Content"
        sent.append((b"content-range", f"bytes {start}-{asked.stop - 1}/{size}".encode()))
    if size is not None:
        sent.append((b"content-length", b"%d" % (stop - start)))
    head = _head(status, reason, tuple(sent))
    return head, start, start if request.method == b"HEAD" else stop


@lru_cache(maxsize=500)
def _head(status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...]) -> h11.Response:
    """Return a head; h11 checks each field, and many ask for the same in one second."""
    return h11.Response(status_code=status, headers=list(headers), reason=reason)

"""RFC 9111, as far as it is followed: what may be kept, for how long, and what ends it.

The rule kept here: what is kept is for all clients, and the origin is asked each time whether it
has changed. So how long an answer stays fresh matters only where no origin is asked: for
``only-if-cached``. `docs/replicator.md` tells section by section what is followed and why.
"""

from __future__ import annotations

import re
from typing import Any

import h11

from .messages import (
    OURS_TO_SAY,
    Headers,
    Request,
    Url,
    field,
    items_of,
    received,
    same_host,
    seconds_of,
)

_SAFE = {b"GET", b"HEAD", b"OPTIONS", b"TRACE"}
_LATEST = 2**31  # seconds; what is longer counts as this (RFC 9111, 1.2.2)
_NOT_FOR_ALL = {
    *(b"authorization", b"cookie", b"content-length", b"transfer-encoding"),
    *(b"if-match", b"if-unmodified-since"),  # for the origin alone to judge
}


def may_share(request: Request) -> bool:
    """Whether the answer may come from the cache, or be shared with others."""
    names = {name for name, value in request.headers if (name, value) != (b"content-length", b"0")}
    stored = "no-store" not in items_of(request.headers, b"cache-control")
    return request.method in (b"GET", b"HEAD") and stored and not names & _NOT_FOR_ALL


def may_keep(status: int, headers: Any) -> bool:
    """Whether an answer is a file for all clients: nothing personal, nothing forbidden."""
    common = not {"private", "no-store"} & set(items_of(headers, b"cache-control"))
    same = set(items_of(headers, b"vary")) <= {"accept-encoding"}
    return status in (200, 206) and common and same and field(headers, b"set-cookie") is None


# -- Age and freshness -----------------------------------------------------------------


def born(headers: Any, asked: float, now: float) -> float:
    """Return the moment from which an answer's age counts (RFC 9111, 4.2.3).

    asked: when the request was sent; now: when the answer came. Both are time.time()'s.
    """
    stated = field(headers, b"age")
    date = seconds_of(field(headers, b"date"))
    age = _seconds(stated) + now - asked if stated else 0.0
    return now - max(0.0, age, now - (now if date is None else date))


def wants_fresh(request: Request, age: float) -> bool:
    """Whether the client asks that the origin be asked, rather than take what is `age` old."""
    said = items_of(request.headers, b"cache-control")
    if not said:
        return "no-cache" in items_of(request.headers, b"pragma")
    return "no-cache" in said or ("max-age" in said and age >= _seconds(said["max-age"]))


def only_if_cached(request: Request) -> bool:
    """Whether the client asks that the origin not be asked."""
    return "only-if-cached" in items_of(request.headers, b"cache-control")


def is_usable(request: Request, headers: Headers, age: float) -> bool:
    """Whether RFC 9111 lets this be used without asking: it is fresh, or the client allows it."""
    asked, stored = (items_of(each, b"cache-control") for each in (request.headers, headers))
    if wants_fresh(request, age) or "no-cache" in stored:
        return False
    if "max-stale" in asked and not {
        "must-revalidate",
        "proxy-revalidate",
        "s-maxage",
    }.intersection(stored):
        age -= _seconds(asked["max-stale"] or str(_LATEST))
    return age + _seconds(asked.get("min-fresh", "0")) < _lifetime(headers, stored)


def _lifetime(headers: Headers, stored: dict[str, str]) -> float:
    """Return for how many seconds an answer is fresh (RFC 9111, 4.2.1)."""
    for name in ("s-maxage", "max-age"):
        if name in stored:
            return _seconds(stored[name])
    until, since = (seconds_of(field(headers, name)) for name in (b"expires", b"date"))
    return 0.0 if until is None or since is None else until - since


def _seconds(text: str) -> int:
    """Return a number of seconds; 0 for what is none, so that it counts as stale."""
    return min(int(text[:20]), _LATEST) if re.fullmatch("[0-9]+", text) else 0


# -- What changes what is kept ---------------------------------------------------------


def freshened(headers: Headers, answer: Any) -> Headers:
    """Return the fields that are kept, brought up to date by an answer's (RFC 9111, 3.2).

    But how the bytes are packed is told by the answer with which they came.
    """
    new = received(answer, *OURS_TO_SAY, b"content-encoding")
    names = {b"age", *(name for name, _ in new)}
    return [*(pair for pair in headers if pair[0] not in names), *new]


def made_invalid(request: Request, url: Url, answer: h11.Response) -> set[Url]:
    """Return the addresses of which nothing may be used any more (RFC 9111, 4.4)."""
    if request.method in _SAFE or not 200 <= answer.status_code < 400:
        return set()
    locations = [field(answer.headers, name) for name in (b"location", b"content-location")]
    return {url} | {other for text in locations if text and (other := same_host(url, text))}

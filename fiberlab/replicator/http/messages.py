"""Heads of messages: addresses, fields, and what a proxy adds and leaves out.

The rule kept here: what a client asks for reaches the origin unchanged (RFC 9110, 7.7), and so
does what the origin says of it, but for the fields that belong to one connection.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from datetime import timezone
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import h11

Headers = list[tuple[bytes, bytes]]

HEAD_LIMIT = 65536  # bytes of a request's or an answer's head
OURS_TO_SAY = (  # of a file that is shared; what a client or an origin says of it is left out
    b"host accept-encoding range if-none-match if-modified-since if-range expect "
    b"accept-ranges content-length content-range"
).split()

_HOP_BY_HOP = set(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)
_ADDRESS = re.compile(r"http://([^/?#]*)([^?#]*)(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
# One item of a list. A comma in a quoted string does not end it; a semicolon ends it, too.
_ITEM = re.compile(r'(?:[^",;]|"(?:[^"\\]|\\.?)*(?:"|$))+')


class Failure(Exception):
    """A request that cannot be answered: the status, the reason in words, header fields."""

    def __init__(self, status: int, words: str, *headers: tuple[str, str]) -> None:
        super().__init__(status, words, *headers)
        self.status, self.words, self.headers = status, words, headers


class Request(NamedTuple):
    """What a client asks for, as h11 has read it; headers: a plain list, since it is read often."""

    method: bytes
    target: bytes
    headers: Headers
    http_version: bytes
    original: h11.Request


def request_of(event: h11.Request) -> Request:
    """Return the request that h11 has read."""
    headers = list(event.headers)
    return Request(event.method, event.target, headers, event.http_version, event)


class Url(NamedTuple):
    """Where a file is: host and port, and the target as the origin is asked for it."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The host and port as they stand in a Host field."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 80 else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"http://{self.authority}{self.target}"


# -- Addresses -------------------------------------------------------------------------


def url_of(request: Request) -> Url:
    """Return what a request asks for; Failure 400 if that is no http address, or CONNECT's."""
    text = request.target.decode("ascii")
    if request.method == b"CONNECT":
        return Url(*_place(text, None), "")
    if (form := _ADDRESS.fullmatch(text)) is None:
        raise Failure(400, f"{text!r}: a proxy is asked for http://host/path, or by CONNECT")
    path, query = form[2], form[3] or ""
    # Without a path, OPTIONS asks about the server as a whole (RFC 9112, 3.2.4).
    nothing = "*" if request.method == b"OPTIONS" and not query else "/"
    return Url(*_place(form[1], 80), (path or nothing) + query)


@lru_cache(maxsize=1000)
def _place(authority: str, default: int | None) -> tuple[str, int]:
    """Return host and port; Failure 400 if there are none that can be used."""
    with suppress(ValueError):
        parts = urlsplit(f"//{authority}")
        host, port = parts.hostname, default if parts.port is None else parts.port
        if host and len(host) < 254 and port and "@" not in authority and not any(parts[2:]):
            return host, port
    raise Failure(400, f"{authority!r} has no host and port that can be used")


def same_host(url: Url, reference: str) -> Url | None:
    """Return the address that a field of an answer refers to; None if it is another host's."""
    reference = reference.partition("#")[0]
    with suppress(ValueError, Failure):
        whole = urljoin(str(url), reference)
        # urljoin drops a question mark with nothing after it, which makes another address.
        whole += "?" if reference.endswith("?") and not whole.endswith("?") else ""
        if (form := _ADDRESS.fullmatch(whole)) is not None:
            other = Url(*_place(form[1], 80), (form[2] or "/") + (form[3] or ""))
            return other if other[:2] == url[:2] else None
    return None


# -- Fields ----------------------------------------------------------------------------


def field(headers: Any, name: bytes) -> str | None:
    """Return the value of a header field, several joined by commas; None if there is none."""
    values = [value for key, value in headers if key == name]
    return b", ".join(values).decode("latin-1") if values else None


def items_of(headers: Any, name: bytes) -> dict[str, str]:
    """Return the words of a header field that is a list, in lower case, with their values."""
    if (text := field(headers, name)) is None:
        return {}
    parts = [item.partition("=") for item in _ITEM.findall(text)]
    words = {name.strip().lower(): value.strip().strip('"') for name, _, value in parts}
    return {word: value for word, value in words.items() if word}


@lru_cache(maxsize=1000)
def seconds_of(date: str | None) -> float | None:
    """Return an HTTP date as seconds since 1970; None if it is none."""
    if not date:
        return None
    try:
        when = parsedate_to_datetime(date)
        # One of its three forms names no zone: it means GMT all the same (RFC 9110, 5.6.7).
        return when.replace(tzinfo=when.tzinfo or timezone.utc).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def end_to_end(headers: Any, *without: bytes) -> Headers:
    """Return the fields that go past a proxy, less those named here."""
    named = {word.encode("latin-1") for word in items_of(headers, b"connection")}
    # A Connection field that names the length would change where the message ends.
    left_out = (named - {b"content-length"}) | _HOP_BY_HOP | set(without)
    return [(name, value) for name, value in headers if name not in left_out]


def via(message: Any = None) -> tuple[bytes, bytes]:
    """Return the field with which a proxy tells that `message` has passed it, and what it says."""
    if message is None:
        return b"via", b"1.1 fiberlab-replicator"
    before = [value for name, value in message.headers if name == b"via"]
    return b"via", b", ".join([*before, message.http_version + b" fiberlab-replicator"])


def date_now() -> tuple[bytes, bytes]:
    """Return the field that tells the time."""
    return b"date", formatdate(time.time(), usegmt=True).encode()


def received(message: Any, *without: bytes) -> Headers:
    """Return the fields of an answer as they are passed on, with Via, and Date if it had none."""
    return with_marks([*end_to_end(message.headers, b"via", *without), via(message)])


def with_marks(headers: Headers) -> Headers:
    """Return the fields with Via and Date, if they have none."""
    names = {name for name, _ in headers}
    missing = [make() for name, make in ((b"via", via), (b"date", date_now)) if name not in names]
    return [*headers, *missing]


def can_be_told(headers: Headers) -> bool:
    """Whether these fields, which come from a disk, can stand in an answer beside our own."""
    with suppress(h11.LocalProtocolError):
        h11.Response(status_code=200, headers=headers)
        return end_to_end(headers, *OURS_TO_SAY) == headers
    return False


# -- Whole heads -----------------------------------------------------------------------


def check(message: Request | h11.Response) -> None:
    """Refuse a head that is too long, or if two programs could see its end in two places."""
    status, too_long = (400, 431) if isinstance(message, Request) else (502, 502)
    if sum(len(name) + len(value) for name, value in message.headers) > HEAD_LIMIT:
        raise Failure(too_long, f"the head is too long: more than {HEAD_LIMIT} bytes")
    if field(message.headers, b"transfer-encoding") is not None:
        if field(message.headers, b"content-length") is not None:
            raise Failure(status, "both Content-Length and Transfer-Encoding: which is it?")
        if message.http_version == b"1.0":
            raise Failure(status, "Transfer-Encoding does not exist in HTTP/1.0")


def hops_left(request: Request) -> int | None:
    """Return how many servers a TRACE or OPTIONS may pass; None if nothing limits it."""
    if request.method not in (b"TRACE", b"OPTIONS"):
        return None
    if request.target == b"*":
        return 0  # it asks about the server to which it was sent
    hops = field(request.headers, b"max-forwards") or ""
    return int(hops) if re.fullmatch("[0-9]{1,18}", hops) else None


def to_forward(request: Request) -> Headers:
    """Return the fields of a request that is passed on as it is."""
    hops = hops_left(request)
    without = [b"host", b"via", *([] if hops is None else [b"max-forwards"])]
    if request.http_version == b"1.0":
        without.append(b"expect")  # it knows no answer but the last one
    headers = end_to_end(request.headers, *without)
    if hops is not None:
        headers.append((b"max-forwards", b"%d" % (hops - 1)))
    if field(request.headers, b"transfer-encoding") is not None:
        headers.append((b"transfer-encoding", b"chunked"))
    return headers


def echo_of(request: Request) -> bytes:
    """Return a TRACE as it came, less the fields that are secret (RFC 9110, 9.3.8)."""
    secret = {b"authorization", b"cookie", b"proxy-authorization"}
    lines = [b"%s %s HTTP/%s" % (request.method, request.target, request.http_version)]
    raw = request.original.headers.raw_items()
    lines += [name + b": " + value for name, value in raw if name.lower() not in secret]
    return b"\r\n".join(lines) + b"\r\n\r\n"

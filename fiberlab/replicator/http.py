"""HTTP as a proxy needs it: what was asked, what may be kept, what to answer.

The rule kept here: h11 speaks the protocol. It finds where heads and bodies begin and end, and
refuses what is malformed; this module only decides what a well-formed message means. Whatever
two programs on the way could read in two ways (a length and chunks) is refused.

What this module does not know: files, and who shares a download.
"""

from __future__ import annotations

import re
import socket
import sys
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import h11

from ..sockets import CHUNK, Steps, send_all
from ..waits import RECV

Headers = list[tuple[bytes, bytes]]
ToSend = tuple[h11.Response, int, int]

HEAD_LIMIT = 65536  # bytes of a request's or an answer's head

_HOP_BY_HOP = set(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)


class Failure(Exception):
    """A request that cannot be answered: the status, the reason in words, header fields."""

    def __init__(self, status: int, words: str, *headers: tuple[str, str]) -> None:
        super().__init__(status, words, *headers)
        self.status, self.words, self.headers = status, words, headers


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


class Channel:
    """A socket and the state of HTTP on it; we are h11.SERVER to clients, CLIENT to origins."""

    def __init__(self, sock: Any, role: type[h11.CLIENT] | type[h11.SERVER]) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.silent = sock, False  # silent: the answer has no body, since HEAD asked
        self.http = h11.Connection(role, max_incomplete_event_size=HEAD_LIMIT)

    def receive(self, size_bytes: int = CHUNK) -> Steps[Any]:
        """Return the next event of h11; raises h11.RemoteProtocolError for what is none."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                yield from self.send(h11.InformationalResponse(status_code=100, headers=[]))
            yield RECV(self.sock)
            with suppress(BlockingIOError):
                self.http.receive_data(self.sock.recv(size_bytes))
        if isinstance(event, h11.Request):
            self.silent = event.method == b"HEAD"
        return event

    def send(self, *events: Any) -> Steps[None]:
        """Send h11's events, together."""
        data = b"".join(self.http.send(event) or b"" for event in events)
        if data:
            yield from send_all(self.sock, data)

    def refuse(self, failure: Failure) -> Steps[None]:
        """Answer with the failure; if an answer has begun, only a cut connection can tell."""
        if self.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            if self.http.their_http_version == b"1.0":
                # Without chunks a good end would say that all had come; a reset does not.
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return
        reason = HTTPStatus(failure.status).phrase
        body = f"{failure.status} {reason}: {failure.words}\n".encode(errors="replace")
        headers = [*failure.headers, ("content-type", "text/plain; charset=utf-8")]
        headers.append(("content-length", str(len(body))))
        if self.http.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        head = h11.Response(status_code=failure.status, headers=headers, reason=reason)
        yield from self.send(head, h11.Data(b"" if self.silent else body), h11.EndOfMessage())

    def part(self) -> Steps[None]:
        """Read on a little: with data unread, closing resets, and the answer may be lost."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            for _ in range(32):
                yield RECV(self.sock, timeout=1)
                if not self.sock.recv(CHUNK):
                    break


def field(headers: Any, name: bytes) -> str | None:
    """Return the value of a header field, several joined by commas; None if there is none."""
    values = [value.decode("latin-1") for key, value in headers if key == name]
    return ", ".join(values) if values else None


def tokens(headers: Any, name: bytes) -> set[str]:
    """Return the words of a header field that is a list, in lower case, without their values."""
    words = (field(headers, name) or "").split(",")
    return {word.partition("=")[0].strip().lower() for word in words} - {""}


def url_of(request: h11.Request) -> Url:
    """Return what a request asks for; Failure 400 if that is no http address, or CONNECT's."""
    text = request.target.decode("ascii")
    tunnel = request.method == b"CONNECT"
    if not tunnel and not text.lower().startswith("http://"):
        raise Failure(400, f"{text!r}: a proxy is asked for http://host/path, or by CONNECT")
    with suppress(ValueError):
        parts = urlsplit(f"//{text}" if tunnel else text)
        port = 80 if parts.port is None and not tunnel else parts.port
        if parts.hostname and len(parts.hostname) < 254 and port and "@" not in parts.netloc:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            return Url(parts.hostname, port, target)
    raise Failure(400, f"{text!r} has no host and port that can be used")


def check(message: h11.Request | h11.Response) -> None:
    """Refuse a head that is too long, or whose end two programs could see in two places."""
    status, too_long = (400, 431) if isinstance(message, h11.Request) else (502, 502)
    if sum(len(name) + len(value) for name, value in message.headers) > HEAD_LIMIT:
        raise Failure(too_long, f"the head is too long: more than {HEAD_LIMIT} bytes")
    if field(message.headers, b"transfer-encoding") is not None:
        if field(message.headers, b"content-length") is not None:
            raise Failure(status, "both Content-Length and Transfer-Encoding: which is it?")
        if message.http_version == b"1.0":
            raise Failure(status, "Transfer-Encoding does not exist in HTTP/1.0")


def may_share(request: h11.Request) -> bool:
    """Whether the answer may come from the cache, or be shared with others."""
    names = {name for name, value in request.headers if (name, value) != (b"content-length", b"0")}
    not_for_all = {b"authorization", b"cookie", b"content-length", b"transfer-encoding"}
    stored = "no-store" not in tokens(request.headers, b"cache-control")
    return request.method in (b"GET", b"HEAD") and stored and not names & not_for_all


def wants_fresh(request: h11.Request) -> bool:
    """Whether the client asks that the origin be asked."""
    said = [field(request.headers, name) or "" for name in (b"cache-control", b"pragma")]
    return re.search(r"\b(no-cache|max-age=0)\b", ", ".join(said).lower()) is not None


def may_keep(response: h11.Response) -> bool:
    """Whether an answer is a file for everybody: nothing personal, nothing forbidden."""
    headers = response.headers
    common = not {"private", "no-store"} & tokens(headers, b"cache-control")
    same = tokens(headers, b"vary") <= {"accept-encoding"} and not field(headers, b"set-cookie")
    return response.status_code in (200, 206) and common and same


def end_to_end(headers: Any, *without: bytes) -> Headers:
    """Return the fields that go past a proxy, less those named here."""
    named = {word.encode("latin-1") for word in tokens(headers, b"connection")}
    # A Connection field that names the length would change where the message ends.
    left_out = (named - {b"content-length"}) | _HOP_BY_HOP | set(without)
    return [(name, value) for name, value in headers if name not in left_out]


def seconds_of(date: str | None) -> float | None:
    """Return an HTTP date as seconds since 1970; None if it is none."""
    try:
        return parsedate_to_datetime(date).timestamp() if date else None
    except (ValueError, TypeError, OverflowError):
        return None


def validators_of(headers: Headers) -> list[str]:
    """Return what tells this very version from any other: a strong ETag, an old date."""
    etag, modified = field(headers, b"etag"), field(headers, b"last-modified")
    told = seconds_of(field(headers, b"date")) or 0
    # Within a second a file may change twice; not when it is a minute old (RFC 9110, 8.8.2.2).
    old = modified if told - (seconds_of(modified) or told) >= 60 else None
    return [each for each in (None if (etag or "").startswith("W/") else etag, old) if each]


def is_unmodified(request: h11.Request, headers: Headers) -> bool:
    """Whether the client has this version already."""
    known = field(request.headers, b"if-none-match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return bool(tags & {"*", (field(headers, b"etag") or "-").removeprefix("W/")})
    since = seconds_of(field(request.headers, b"if-modified-since"))
    modified = seconds_of(field(headers, b"last-modified"))
    return since is not None and modified is not None and modified <= since


def range_of(request: h11.Request, headers: Headers, size: int | None) -> range | None:
    """Return the bytes a client asks for, None for all of them; Failure 416 if there are none."""
    asked = field(request.headers, b"range")
    form = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", asked or "")
    condition = field(request.headers, b"if-range")
    # Several ranges at once, or a size that is not known yet: the whole file.
    if size is None or form is None or condition not in (None, *validators_of(headers)):
        return None
    first, last = form[1], form[2]
    if not first + last or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(0, size - int(last))
    if start >= size:
        told = ("content-range", f"bytes */{size}")
        raise Failure(416, f"{asked!r} lies outside of the file's {size} bytes", told)
    return range(start, min(int(last) + 1, size) if first and last else size)


def answer_for(request: h11.Request, headers: Headers, size: int | None) -> ToSend:
    """Return a file's head for a client, and which bytes of it follow, from and to."""
    if is_unmodified(request, headers):
        return h11.Response(status_code=304, headers=headers, reason="Not Modified"), 0, 0
    asked = range_of(request, headers, size) if request.method == b"GET" else None
    told = [*headers, (b"accept-ranges", b"bytes")]
    start, stop, status, reason = 0, sys.maxsize if size is None else size, 200, "OK"
    if asked is not None:
        start, stop, status, reason = asked.start, asked.stop, 206, "Partial Content"
        told.append((b"content-range", f"bytes {start}-{asked.stop - 1}/{size}".encode()))
    if size is not None:
        told.append((b"content-length", b"%d" % (stop - start)))
    head = h11.Response(status_code=status, headers=told, reason=reason)
    return head, start, start if request.method == b"HEAD" else stop

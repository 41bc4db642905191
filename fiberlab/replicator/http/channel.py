"""A connection: the events that h11 reads from it and writes to it.

The rule kept here: h11 gets whole heads, no more than HEAD_LIMIT, no slower than is allowed. From
a client it gets what came, and refuses what is malformed. An origin's head is first put right
where any browser and squid would forgive it: a user cannot mend the origin.

What this module does not know: what the messages mean.
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11

from ...sockets import CHUNK, Steps, send_all
from ...waits import RECV
from .messages import HEAD_LIMIT, Failure, date_now, end_to_end, request_of, via

PATIENCE = 8.0  # seconds that a message may be waited for once it has begun to come, and ...
SLOWEST = 500  # ... one more for each so many bytes that have come

_END_OF_HEAD = re.compile(rb"\n\r?\n")
_FORGIVEN = [
    (re.compile(rb"\A([^\n]*\n)(?:[ \t][^\n]*\n)+"), rb"\1"),  # RFC 9112, 2.2: they go on nothing
    (re.compile(rb"\A(?i:HTTP)/(\d\.\d)[ \t]+"), rb"HTTP/\1 "),
    (re.compile(rb"\AICY[ \t]+"), b"HTTP/1.0 "),  # a radio's; without a length it ends by closing
    (re.compile(rb"^([-!#$%&'*+.^_`|~0-9A-Za-z]+)[ \t]+:", re.M), rb"\1:"),  # RFC 9112, 5.1
    (re.compile(rb"^(?i:transfer-encoding):[ \t]*(?i:identity)[ \t]*\r?\n", re.M), b""),
]


class Gone(Exception):
    """The client has gone, or is silent; no answer can reach it."""


class Channel:
    """A socket and the state of HTTP on it; we are h11.SERVER to clients, CLIENT to origins.

    patience: seconds, beside those for its bytes, in which a message must be there once it has
    begun to come.
    """

    def __init__(
        self, sock: Any, role: type[h11.CLIENT] | type[h11.SERVER], patience: float = PATIENCE
    ) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self._role, self._patience = sock, role, patience
        self.asked = time.time()  # when the request was sent, if it is an origin's
        self._unsent = b""
        self._may_send = False  # once after each wait; else one client could keep the turn
        self._begin(b"", False)

    def _begin(self, rest: bytes, ended: bool) -> None:
        self.http = h11.Connection(self._role, max_incomplete_event_size=HEAD_LIMIT)
        self.silent = False  # the answer has no body, since HEAD asked
        self._rest, self._ended = rest, ended  # what has come, and h11 has yet to read
        self._came, self._waited = len(rest), 0.0  # bytes of this message, seconds for them
        self.asked_for = self.head = b""  # what `begin` returned, and the answer's head

    def next_request(self) -> None:
        """Get ready for another request; a part of it may have come already."""
        self._begin(*self.http.trailing_data)

    def receive(self, size_bytes: int = CHUNK) -> Steps[Any]:
        """Return the next event of h11; raises h11.RemoteProtocolError for what is none."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if (data := self._next_piece()) is not None:
                self.http.receive_data(data)
                continue
            yield from self._wait(size_bytes)
        if isinstance(event, h11.Request):
            self.silent = event.method == b"HEAD"
            return request_of(event)
        if isinstance(event, h11.InformationalResponse):
            self._came, self._waited = len(self._rest), 0.0
        return event

    def _wait(self, size_bytes: int) -> Steps[None]:
        """Wait until more has come, or the end."""
        began = time.monotonic()
        try:
            yield RECV(self.sock)
            data = self.sock.recv(size_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            self._tell_if_gone(error)
            raise
        self._rest += data
        self._ended, self._may_send = not data, True
        self._note_pace(len(data), time.monotonic() - began)

    def begin(self) -> Steps[bytes]:
        """Return what has come of a request, before h11 reads it."""
        while not self._rest and not self._ended:
            yield from self._wait(CHUNK)
        self.asked_for = self._rest
        return self._rest

    @property
    def repeatable(self) -> bool:
        """Whether all that `begin` returned was one request, which has been answered."""
        done = self.http.our_state is self.http.their_state is h11.DONE
        return done and self._came == len(self.asked_for) and not self.http.trailing_data[0]

    def repeat(self, answer: bytes) -> Steps[None]:
        """Answer what `begin` returned as it was answered before."""
        self._begin(b"", False)
        self._unsent = answer
        yield from self.send()

    def _next_piece(self) -> bytes | None:
        """Return what h11 is to read next, b"" for the end; None: more must come first."""
        begins = self.http.their_state in (h11.IDLE, h11.SEND_RESPONSE)
        if begins and not self.http.trailing_data[0]:
            self._rest = self._rest.lstrip(b"\r\n")  # some send one more than they should
        piece, self._rest = self._rest, b""
        if begins and self._role is h11.CLIENT:
            if (end := _END_OF_HEAD.search(piece)) is not None:
                piece, self._rest = piece[: end.end()], piece[end.end() :]
            elif not self._ended and len(piece) <= HEAD_LIMIT:
                self._rest = piece
                return None
            for pattern, right in _FORGIVEN:
                piece = pattern.sub(right, piece)
        return piece or (b"" if self._ended else None)

    def _note_pace(self, size_bytes: int, seconds: float) -> None:
        """Refuse a message that comes so slowly that it would take for ever."""
        if self._came:  # what was silent before it began is another limit's affair
            self._waited += seconds
        self._came += size_bytes
        answers = self._role is h11.CLIENT and self.http.their_state is not h11.SEND_RESPONSE
        if not answers and self._waited > self._patience + self._came / SLOWEST:
            if self._role is h11.CLIENT:
                raise TimeoutError(f"its head came too slowly: {self._came} bytes")
            raise Failure(408, f"the request comes too slowly: {self._came} bytes by now")

    def send(self, *events: Any, more: bool = False) -> Steps[None]:
        """Send h11's events, together; more: others follow, with which they may go out."""
        data = b"".join([self._unsent, *(self.http.send(event) or b"" for event in events)])
        self._unsent = data if more else b""
        if events and isinstance(events[0], h11.Response):
            self.head = data
        if not data or more:
            return
        try:
            if self._may_send:
                self._may_send = False
                with suppress(BlockingIOError):
                    data = data[self.sock.send(data) :]
            yield from send_all(self.sock, data)
        except OSError as error:
            self._tell_if_gone(error)
            raise

    def _tell_if_gone(self, error: OSError) -> None:
        """Tell a client's breaking off from what else goes wrong; an origin's stays an OSError."""
        if self._role is h11.SERVER:
            raise Gone(str(error)) from error

    def inform(self, response: h11.InformationalResponse) -> Steps[None]:
        """Pass on what an origin says before its answer, if the client knows such a thing."""
        self._waited = 0.0  # it may have waited for this, and so did we
        if self.http.their_http_version != b"1.0" and self.http.our_state is h11.SEND_RESPONSE:
            headers = [*end_to_end(response.headers, b"via"), via(response)]
            code, reason = response.status_code, response.reason
            yield from self.send(
                h11.InformationalResponse(status_code=code, headers=headers, reason=reason)
            )

    def answer(self, status: int, reason: bytes | str, headers: Any, body: bytes) -> Steps[None]:
        """Send an answer of our own."""
        sent = [*headers, via(), date_now(), ("content-length", str(len(body)))]
        if self.http.their_state is not h11.DONE:
            sent.append(("connection", "close"))
        head = h11.Response(status_code=status, headers=sent, reason=reason)
        yield from self.send(head, h11.Data(b"" if self.silent else body), h11.EndOfMessage())

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
        yield from self.answer(failure.status, reason, headers, body)

    def part(self) -> Steps[None]:
        """Read on a while: with data unread, closing resets, and the answer may be lost."""
        until = time.monotonic() + self._patience
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            while time.monotonic() < until:
                yield RECV(self.sock, timeout=1)
                if not self.sock.recv(CHUNK):
                    break

"""Asking origins: a request goes out, with its body if it has one, and an answer comes.

The rule kept here: both directions at once. A body is carried by a fiber of its own, so an origin
may answer before it has read all of it, or none; that answer is what the client gets.

What this module does not know: the cache.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

import h11

from ..fiber import Fiber, start
from ..sockets import CHUNK, Steps, connect
from ..waits import WAIT
from .http import Failure, Headers, Url
from .http.caching import only_if_cached
from .http.channel import PATIENCE, Channel, Gone
from .http.messages import Request, check, via

_NOTHING = (h11.NEED_DATA, h11.PAUSED)


class Upload:
    """A request's body on its way from a client to an origin; `begin` starts its fiber."""

    def __init__(self, client: Channel, origin: Channel) -> None:
        self._client, self._origin = client, origin
        self.moved = 0  # bytes that the origin has taken
        self.answered = False  # the origin answers: what the client does wrong now is too late
        self.error: Exception | None = None  # what the client did wrong
        self._fiber: Fiber | None = None

    @property
    def over(self) -> bool:
        """Whether nothing is carried, or nothing more."""
        return self._fiber is None or self._fiber.generator is None

    def begin(self) -> None:
        """Start the fiber that carries the body."""
        self._fiber = start(self.carry_body())

    def carry_body(self) -> Steps[None]:
        """Carry the body to its end, as fast as the origin takes it."""
        try:
            while self._client.http.their_state is h11.SEND_BODY:
                came = [(yield from self._client.receive())]
                # All that is here, the end too: else the answer might seem to come before it.
                while (event := self._client.http.next_event()) not in _NOTHING:
                    came.append(event)
                data = b"".join(bytes(each.data) for each in came if isinstance(each, h11.Data))
                yield from self._origin.send(h11.Data(data))
                self.moved += len(data)
            yield from self._origin.send(h11.EndOfMessage())
        except OSError:
            pass  # the origin takes no more; its answer may tell why
        except (Gone, Failure, h11.RemoteProtocolError) as error:
            self.error = error
            if not self.answered:  # no client needs the answer any more
                with suppress(OSError):
                    self._origin.sock.shutdown(socket.SHUT_RDWR)

    def end(self, goes_on: bool) -> Steps[None]:
        """Wait for the end of the body if it goes on, else end it now."""
        if not goes_on:
            self.close()
        while not self.over:  # else two fibers would wait for one socket
            yield WAIT(None)

    def close(self) -> None:
        """Let nothing more be carried."""
        if self._fiber is not None:
            self._fiber.cancel()


class Answer(NamedTuple):
    """An origin's answer: where it comes from, its head, and the request's body on its way."""

    origin: Channel
    head: h11.Response
    upload: Upload


class Origins:
    """How origins are asked. limit: bytes a second from all together; offline: not at all."""

    def __init__(self, offline: bool, limit: float | None, patience: float = PATIENCE) -> None:
        self.offline, self.limit, self.patience = offline, limit, patience
        self._receiving = 0  # answers that come in now and share the limit

    def connect(self, client: Channel, url: Url) -> Steps[Channel]:
        """Return a connection to an origin; Failure if there is none, or it is this proxy."""
        if self.offline:
            raise Failure(504, f"not in the cache, and offline {url.authority} is not asked")
        with asking(url.authority):
            sock = yield from connect((url.host, url.port))
            if _place(sock.getpeername()) != _place(client.sock.getsockname()):
                return Channel(sock, h11.CLIENT, self.patience)
        sock.close()
        raise Failure(400, f"{url.authority} is this proxy itself")

    def ask(self, client: Channel, asked: Request, url: Url, fields: Headers) -> Steps[Answer]:
        """Send a request, with the body if the client has one, and return the answer's head."""
        if only_if_cached(asked):
            raise Failure(504, f"only-if-cached: {url} is not in the cache, or may not be used")
        # The origin gets the host of the URL, whatever the client's Host field said.
        sent = [(b"host", url.authority.encode()), *fields, via(asked), (b"connection", b"close")]
        head = h11.Request(method=asked.method, target=url.target.encode(), headers=sent)
        origin = yield from self.connect(client, url)
        upload = Upload(client, origin)
        try:
            yield from self._send(client, asked, origin, head, upload)
            with asking(url):
                return Answer(origin, (yield from self._head(client, origin, upload)), upload)
        except Failure as failure:
            origin.sock.close()
            yield from upload.end(goes_on=False)
            raise (upload.error or failure) from failure
        except BaseException:
            origin.sock.close()
            upload.close()
            raise

    def _send(
        self, client: Channel, asked: Request, origin: Channel, head: Any, upload: Upload
    ) -> Steps[None]:
        """Send the head; and the body, by a fiber of its own."""
        with suppress(OSError):  # it may have answered and closed already; that is read, then
            yield from origin.send(head)
        names = {name for name, value in asked.headers if value != b"0"}
        if names & {b"content-length", b"transfer-encoding"}:
            upload.begin()
        else:
            if client.http.their_state is h11.SEND_BODY:
                yield from client.receive()  # the end of the request
            yield from origin.send(h11.EndOfMessage())

    def _head(self, client: Channel, origin: Channel, upload: Upload) -> Steps[h11.Response]:
        """Return the answer's head, and pass on what comes before it."""
        while True:
            moved = upload.moved
            try:
                response = yield from origin.receive()
            except TimeoutError:
                if upload.over or upload.moved == moved:
                    raise
                continue  # it is silent since it still listens
            if isinstance(response, h11.ConnectionClosed):
                raise ConnectionError("closed without an answer")
            check(response)
            if isinstance(response, h11.Response):
                upload.answered = True
                return response
            yield from client.inform(response)

    def receive(self, url: Url, origin: Channel) -> Steps[bytes | None]:
        """Return some of an answer's body, None at its end, no faster than the limit allows."""
        most = CHUNK if self.limit is None else min(CHUNK, 1 + int(self.limit / 8))
        self._receiving += 1
        try:
            with asking(url):
                event = yield from origin.receive(most)
            if not isinstance(event, h11.Data):
                return None
            if self.limit is not None:
                yield WAIT(len(event.data) * self._receiving / self.limit)
            return bytes(event.data)
        finally:
            self._receiving -= 1


def _place(address: Any) -> tuple[IPv4Address | IPv6Address, int]:
    """Return address and port, an IPv4 address as such even where IPv6 wraps it."""
    host = ip_address(address[0].partition("%")[0])
    return getattr(host, "ipv4_mapped", None) or host, address[1]


@contextmanager
def asking(server: object) -> Iterator[None]:
    """Turn what an origin does wrong into a Failure."""
    try:
        yield
    except TimeoutError as error:
        raise Failure(504, f"{server} did not answer in time") from error
    except h11.RemoteProtocolError as error:
        raise Failure(502, f"{server} broke off, or spoke no HTTP: {error}") from error
    except (OSError, UnicodeError) as error:  # the latter: a name that cannot be one
        raise Failure(502, f"{server} cannot be reached: {error}") from error

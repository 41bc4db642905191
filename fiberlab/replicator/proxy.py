"""The proxy: fibers that answer clients, from the cache or from downloads they share.

The rule kept here: one download for each address, however many ask for it. The first client's
fiber asks the origin; if the answer is a file for everybody, it starts a fiber that fetches it
into the cache, whether or not anybody goes on listening. Every client, the first too, reads from
that file at its own pace, and when it has caught up it waits by WAIT(None): it wakes with the
fiber that fetches. So a late client starts at the beginning, and a slow one holds back nobody.

A herd of joiners wakes whenever any fiber has run, mostly for nothing. Up to CROWD of them that
costs less than it saves; where more share a download, each sleeps a moment instead, the longer
the more they are, so that looking takes a bounded share of the processor.

What this module does not know: the scheduler. These are generators; they yield to whatever
runs them.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from io import FileIO
from typing import Any

import h11

from ..fiber import join, start
from ..sockets import CHUNK, Steps, connect, in_thread, send_all
from ..waits import RECV, WAIT
from . import http
from .cache import About, Cache, Entry
from .http import Channel, Failure, Headers, Url, field

CROWD = 32  # joiners that may wake together
_LOOK = 100e-6  # seconds each of a larger crowd sleeps, for each one that is in it

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_VIA = (b"via", b"1.1 fiberlab-replicator")
_OF_ONE_ANSWER = (b"accept-ranges", b"age", b"content-length", b"content-range", b"via")
_CONDITIONS = (
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"range",
)


@dataclass(frozen=True)
class Options:
    """How to serve.

    static: what is complete in the cache is served without asking the origin. offline: nobody is
    asked at all. limit: bytes a second from all origins together, None: as they come.
    tunnel_ports: where CONNECT may lead.
    """

    static: bool = False
    offline: bool = False
    limit: float | None = None
    tunnel_ports: frozenset[int] = frozenset({443})


class Download:
    """One file as far as it has come, shared by the fibers that are ``with`` it.

    about: None until the origin has answered. available: bytes that can be read. over: nothing
    more will come. failure: why, if it is not complete. A download that is over without either
    was no file for everybody: each has to ask for itself.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.about: About | None = None
        self.available = 0
        self.over = False
        self.failure: Failure | None = None
        self._file: FileIO | None = None
        self._users = 0

    def __enter__(self) -> Download:
        self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        if not self._users and self._file is not None:
            self._file.close()

    def hold(self, about: About, file: FileIO, *, complete: bool = False) -> None:
        """Take the file; what it contains can be read at once."""
        self._file, self.about, self.over = file, about, complete
        self.available = file.seek(0, os.SEEK_END)

    def read(self, position: int, size_bytes: int) -> bytes:
        """Return some of the bytes from `position` on."""
        assert self._file is not None
        self._file.seek(position)
        return self._file.read(size_bytes)

    def append(self, data: bytes) -> None:
        """Add to the file; raises Failure if the disk is full."""
        assert self._file is not None
        with _storing():
            self._file.seek(self.available)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self.available += len(data)

    def finish(self, *, keep: bool) -> Steps[None]:
        """Make it a complete file of the cache, or no file at all."""
        assert self._file is not None
        assert self.about is not None
        if self.about.size not in (None, self.available):
            raise Failure(502, f"got {self.available} of {self.about.size} bytes")
        self.over = not keep
        if keep:
            with _storing():
                # A rename must not reach the disk before the bytes do.
                yield from in_thread(os.fsync, self._file.fileno())
            self.over = True
        with suppress(OSError):  # as it is now it will be found complete, or be asked for again
            self.entry.finish(self.about, self._file) if keep else self.entry.discard()

    def end(self, failure: Failure | None = None) -> None:
        """Let nobody wait for more."""
        if not self.over:
            self.failure, self.over = failure, True

    def pause(self) -> WAIT:
        """Return what a fiber waits for that has read all there is."""
        return WAIT(None) if self._users <= CROWD else WAIT(self._users * _LOOK)


class Proxy:
    """What the fibers share: the cache, and the downloads under way; ``serve`` is a handler."""

    def __init__(self, cache: Cache, options: Options | None = None) -> None:
        self._cache = cache
        self._options = options or Options()
        self._downloads: dict[Url, Download] = {}
        self._receiving = 0  # answers that come in now and share the limit

    def serve(self, sock: Any, address: Any) -> Steps[None]:
        """Answer the requests of one client, until it or its patience ends."""
        client = Channel(sock, h11.SERVER)
        try:
            while (yield from self._exchange(client)):
                client.http.start_next_cycle()
        except TimeoutError:
            print("the client was silent for too long")
        except OSError as error:
            print(f"the client has gone: {error}")

    def _exchange(self, client: Channel) -> Steps[bool]:
        """Answer one request; return whether another may follow."""
        client.request = None
        try:
            event = yield from client.receive()
            if isinstance(event, h11.ConnectionClosed):
                return False
            yield from self._answer(client, event)
        except Failure as failure:
            print(f"{failure.status}: {failure.words}")
            yield from client.refuse(failure)
        except h11.RemoteProtocolError as error:  # the client's: an origin's is a Failure
            print(f"no HTTP: {error}")
            yield from client.refuse(Failure(error.error_status_hint, str(error)))
        if not client.reusable and client.http.our_state is not h11.SWITCHED_PROTOCOL:
            yield from client.part()
        return client.reusable

    def _answer(self, client: Channel, request: h11.Request) -> Steps[None]:
        print(f"{request.method.decode()} {request.target.decode()}")
        http.check_framing(request)
        if request.method == b"CONNECT":
            yield from self._tunnel(client, *http.authority_of(request))
            return
        url = http.url_of(request)
        if not http.may_share(request):
            yield from self._forward(client, request, url)
            return
        yield from client.receive()  # the end of the request
        download = self._downloads.get(url) or self._stored(request, url)
        if download is not None:
            yield from self._follow(client, request, url, download)
        elif request.method == b"HEAD":
            yield from self._forward(client, request, url)
        else:
            yield from self._lead(client, request, url)

    # -- Shared downloads ---------------------------------------------------------------

    def _stored(self, request: h11.Request, url: Url) -> Download | None:
        """Return the complete file, if it may be served without asking."""
        fresh = http.wants_fresh(request) and not self._options.offline
        if not (self._options.static or self._options.offline) or fresh:
            return None
        entry = self._cache.entry(url)
        if (found := entry.open_complete()) is None:
            return None
        print("from the cache")
        download = Download(entry)
        download.hold(*found, complete=True)
        return download

    def _follow(
        self, client: Channel, request: h11.Request, url: Url, download: Download
    ) -> Steps[None]:
        """Send a client the file, from its beginning, as fast as it comes and it takes it."""
        with download:
            while download.about is None and not download.over:
                yield download.pause()
            if download.about is None:
                if download.failure is not None:
                    raise download.failure.again()
                yield from self._forward(client, request, url)
                return
            about = download.about
            head, position, stop = http.answer_for(request, about.fields, about.size)
            yield from client.send(head)
            while stop is None or position < stop:
                while position >= download.available and not download.over:
                    yield download.pause()
                most = CHUNK if stop is None else min(CHUNK, stop - position)
                data = download.read(position, most)
                if not data:
                    break
                yield from client.send(h11.Data(data))
                position += len(data)
            if download.failure is not None and position != stop:
                raise download.failure.again()
            yield from client.send(h11.EndOfMessage())

    def _lead(self, client: Channel, request: h11.Request, url: Url) -> Steps[None]:
        """Ask the origin; share what comes if that may be, else hand it to this client alone."""
        with Download(self._cache.entry(url)) as download:
            self._downloads[url] = download
            try:
                answer = yield from self._ask_for_file(client, request, url, download)
            except Failure as failure:
                download.end(failure)
                raise
            finally:
                if download.about is None or download.over:
                    download.end()
                    del self._downloads[url]
            if answer is None:
                yield from self._follow(client, request, url, download)
                return
        print("for this client only")
        yield from self._relay(client, url, *answer)

    def _ask_for_file(
        self, client: Channel, request: h11.Request, url: Url, download: Download
    ) -> Steps[tuple[Channel, h11.Response] | None]:
        """Ask for the file, or for what is missing or new; return an answer that is not shared."""
        common = http.end_to_end(request.headers, b"host", b"accept-encoding", *_CONDITIONS)
        # Packed or not would be two files of one name.
        common.append((b"accept-encoding", b"identity"))
        ours = _conditions(download.entry)
        while True:
            head = _request(request.method, url, common + ours)
            origin, response = yield from self._open(client, url, head)
            try:
                if self._take(url, download, origin, response):
                    return None
            except BaseException:
                origin.sock.close()
                raise
            if not ours or response.status_code not in (206, 304, 412, 416):
                return origin, response
            # It is of no use with what is here: once more, from the beginning.
            origin.sock.close()
            ours = []

    def _take(self, url: Url, download: Download, origin: Channel, response: h11.Response) -> bool:
        """Make the answer the download, and start a fiber that fetches; False if it is no file."""
        if response.status_code == 304:
            if (found := download.entry.open_complete()) is None:
                return False
            print("from the cache: it has not changed")
            origin.sock.close()
            download.hold(*found, complete=True)
            return True
        if not http.may_keep(response):
            return False
        if response.status_code == 206 and not _resume(download, response):
            return False
        if response.status_code == 200:
            length = field(response.headers, b"content-length")
            size = int(length) if length is not None else None
            about = About.of(url, size, http.end_to_end(response.headers, *_OF_ONE_ANSWER))
            with _storing():
                download.hold(about, download.entry.begin(about))
        start(self.fetch(url, download, origin, keep=http.is_counted(response)))
        return True

    def fetch(self, url: Url, download: Download, origin: Channel, *, keep: bool) -> Steps[None]:
        """Fetch what the origin sends into the cache, whoever listens; a fiber of its own."""
        with download, closing(origin.sock):
            print(f"fetching {url} from byte {download.available}")
            try:
                while (data := (yield from self._receive(url, origin))) is not None:
                    download.append(data)
                yield from download.finish(keep=keep)
            except Failure as failure:
                print(f"{failure.status}: {failure.words}")
                download.end(failure)
            finally:
                download.end(Failure(502, f"the download of {url} was ended"))
                del self._downloads[url]

    # -- Origins ------------------------------------------------------------------------

    def _connect(self, client: Channel, host: str, port: int) -> Steps[socket.socket]:
        if self._options.offline:
            raise Failure(504, f"not in the cache, and {host} is not asked: the proxy is offline")
        with _asking(f"{host}:{port}"):
            sock = yield from connect((host, port))
            if sock.getpeername()[:2] != client.sock.getsockname()[:2]:
                return sock
        sock.close()
        raise Failure(400, f"{host}:{port} is this proxy itself")

    def _open(
        self, client: Channel, url: Url, head: h11.Request
    ) -> Steps[tuple[Channel, h11.Response]]:
        """Send a request, with the body if the client has one, and return the answer's head."""
        origin = Channel((yield from self._connect(client, url.host, url.port)), h11.CLIENT)
        try:
            with _asking(url):
                yield from origin.send(head)
            while client.http.their_state is h11.SEND_BODY:
                event = yield from client.receive()
                if isinstance(event, h11.Data):
                    with _asking(url):
                        yield from origin.send(h11.Data(bytes(event.data)))
            with _asking(url):
                yield from origin.send(h11.EndOfMessage())
                response = yield from origin.receive()
                while isinstance(response, h11.InformationalResponse):
                    response = yield from origin.receive()
                if not isinstance(response, h11.Response):
                    raise Failure(502, f"{url} was closed without an answer")
                http.check_framing(response)
                return origin, response
        except BaseException:
            origin.sock.close()
            raise

    def _receive(self, url: Url, origin: Channel) -> Steps[bytes | None]:
        """Return some of an answer's body, None at its end, no faster than the limit allows."""
        limit = self._options.limit
        self._receiving += 1
        try:
            with _asking(url):
                size = CHUNK if limit is None else max(1, min(CHUNK, int(limit / 8)))
                event = yield from origin.receive(size)
            if not isinstance(event, h11.Data):
                return None
            data = bytes(event.data)
            if limit is not None:
                yield WAIT(len(data) * self._receiving / limit)
            return data
        finally:
            self._receiving -= 1

    # -- What is not shared --------------------------------------------------------------

    def _forward(self, client: Channel, request: h11.Request, url: Url) -> Steps[None]:
        """Pass a request on as it is, and its answer back."""
        headers = http.end_to_end(request.headers, b"host", b"expect")
        if field(request.headers, b"transfer-encoding") is not None:
            headers.append((b"transfer-encoding", b"chunked"))
        head = _request(request.method, url, headers)
        yield from self._relay(client, url, *(yield from self._open(client, url, head)))

    def _relay(
        self, client: Channel, url: Url, origin: Channel, response: h11.Response
    ) -> Steps[None]:
        """Hand an answer to one client as it comes."""
        with closing(origin.sock):
            headers = [*http.end_to_end(response.headers), _VIA]
            status, reason = response.status_code, response.reason
            yield from client.send(h11.Response(status_code=status, headers=headers, reason=reason))
            while (data := (yield from self._receive(url, origin))) is not None:
                yield from client.send(h11.Data(data))
            yield from client.send(h11.EndOfMessage())

    def _tunnel(self, client: Channel, host: str, port: int) -> Steps[None]:
        """Carry bytes both ways and understand none."""
        if port not in self._options.tunnel_ports:
            allowed = ", ".join(map(str, sorted(self._options.tunnel_ports)))
            raise Failure(400, f"CONNECT leads to port {allowed} only, not to {port}")
        with closing((yield from self._connect(client, host, port))) as sock:
            yield from client.receive()  # the end of the request
            yield from client.send(h11.Response(status_code=200, headers=[], reason="Connected"))
            yield from send_all(sock, client.http.trailing_data[0])
            moved = [0]
            back = start(carry(sock, client.sock, moved))
            try:
                yield from carry(client.sock, sock, moved)
                yield from join(back)
            finally:
                back.cancel()


def carry(source: Any, sink: Any, moved: list[int]) -> Steps[None]:
    """Carry bytes one way until they end, or until neither way has moved for the timeout.

    moved: a count that both ways share. If something breaks, both ways end.
    """
    try:
        while data := (yield from _receive_some(source, moved)):
            yield from send_all(sink, data)
            moved[0] += 1
        sink.shutdown(socket.SHUT_WR)
    except OSError as error:
        print(f"the tunnel ends: {error}")
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _receive_some(source: Any, moved: list[int]) -> Steps[bytes]:
    while True:
        before = moved[0]
        try:
            yield RECV(source)
            return bytes(source.recv(CHUNK))
        except BlockingIOError:
            continue
        except TimeoutError:
            if moved[0] == before:
                raise


# -- Helpers -------------------------------------------------------------------------------


def _request(method: bytes, url: Url, headers: Headers) -> h11.Request:
    """Return a request to an origin, which is told the host asked for, whatever Host said."""
    ours = [(b"host", url.authority.encode()), *headers, _VIA, (b"connection", b"close")]
    return h11.Request(method=method, target=url.target.encode(), headers=ours)


def _conditions(entry: Entry) -> Headers:
    """Return the fields that ask for the rest of a file, or for a newer version only."""
    if (found := entry.open_partial()) is not None:
        about, file = found
        with file:
            size = file.seek(0, os.SEEK_END)
        if size and about.validator is not None:
            only = (b"if-range", about.validator.encode("latin-1"))
            return [(b"range", b"bytes=%d-" % size), only]
    if (found := entry.open_complete()) is None:
        return []
    about, file = found
    file.close()
    pairs = ((b"if-none-match", b"etag"), (b"if-modified-since", b"last-modified"))
    told = [(ask, field(about.fields, name)) for ask, name in pairs]
    return [(ask, value.encode("latin-1")) for ask, value in told if value is not None]


def _resume(download: Download, response: h11.Response) -> bool:
    """Go on with the partial file if the answer is its rest."""
    if (found := download.entry.open_partial()) is None:
        return False
    about, file = found
    first, size = http.content_range_of(response) or (None, None)
    same = all(
        field(response.headers, name) in (None, field(about.fields, name))
        for name in (b"etag", b"last-modified")
    )
    if not same or first != file.seek(0, os.SEEK_END) or about.size not in (None, size):
        file.close()
        return False
    download.hold(replace(about, size=size), file)
    return True


@contextmanager
def _storing() -> Iterator[None]:
    """Turn what the disk refuses into a Failure."""
    try:
        yield
    except OSError as error:
        status = 507 if error.errno in _NO_ROOM else 500
        raise Failure(status, f"the cache cannot be written: {error.strerror}") from error


@contextmanager
def _asking(whom: object) -> Iterator[None]:
    """Turn what an origin does wrong into a Failure."""
    try:
        yield
    except TimeoutError as error:
        raise Failure(504, f"{whom} did not answer in time") from error
    except (socket.gaierror, UnicodeError) as error:
        raise Failure(502, f"{whom}: the name was not found: {error}") from error
    except h11.RemoteProtocolError as error:
        raise Failure(502, f"{whom} broke off or spoke no HTTP: {error}") from error
    except OSError as error:
        raise Failure(502, f"{whom} cannot be reached: {error.strerror or error}") from error

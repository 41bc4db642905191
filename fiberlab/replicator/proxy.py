"""The proxy: fibers that answer clients, from the cache or from downloads they share.

The rule kept here: one download for each address, however many ask for it. The first client's
fiber asks the origin; if the answer is a file for everybody, it starts a fiber that fetches it
into the cache, whoever listens. Every client reads from that file at its own pace, and when it
has caught up waits by WAIT(None): it wakes with the fiber that fetches. So a late client starts
at the beginning, and a slow one holds back nobody.

A herd of joiners wakes whenever any fiber has run, mostly for nothing. In a crowd each sleeps a
moment instead, the longer the more they are, so that looking takes a bounded share of the time.

What this module does not know: the scheduler. These are generators; whatever runs them will do.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import h11

from ..fiber import join, start
from ..replicator import http
from ..sockets import CHUNK, Steps, connect, send_all
from ..waits import RECV, WAIT
from .cache import About, Cache, Download, Entry, storing
from .http import Channel, Failure, Headers, Url, field

Answer = tuple[Channel, h11.Response]  # an origin's: where it comes from, and its head
_TUNNEL_SILENCE = 86400.0  # seconds; a long download through a tunnel is silent one way
_VIA = (b"via", b"1.1 fiberlab-replicator")
_VERSIONS = {b"etag": b"if-none-match", b"last-modified": b"if-modified-since"}
_OURS_TO_SAY = (  # for a file that is shared
    b"host accept-encoding range if-match if-none-match if-modified-since if-unmodified-since "
    b"if-range accept-ranges age content-length content-range"
).split()


@dataclasses.dataclass
class Proxy:
    """What the fibers share: the cache, and the downloads under way; ``serve`` is a handler.

    static: what is complete in the cache is served without asking the origin. offline: nobody is
    asked at all. limit: bytes a second from all origins together. tunnel_ports: CONNECT's.
    """

    cache: Cache
    static: bool = False
    offline: bool = False
    limit: float | None = None
    tunnel_ports: Collection[int] = (443,)
    downloads: dict[Url, Download] = dataclasses.field(default_factory=dict)  # under way
    _receiving: int = 0  # answers that come in now and share the limit

    def serve(self, sock: Any, address: Any) -> Steps[None]:
        """Answer the requests of one client, until it ends or is silent for too long."""
        client = Channel(sock, h11.SERVER)
        try:
            while (yield from self._exchange(client)):
                client.http.start_next_cycle()
        except OSError as error:
            print(f"the client has gone: {error}")

    def _exchange(self, client: Channel) -> Steps[bool]:
        """Answer one request; return whether another may follow."""
        client.silent = False
        try:
            event = yield from client.receive()
            if isinstance(event, h11.ConnectionClosed):
                return False
            yield from self._answer(client, event)
        except Failure as failure:
            print(f"{failure.status}: {failure.words}")
            yield from client.refuse(failure)
        except h11.RemoteProtocolError as error:  # the client's: an origin's is a Failure
            yield from client.refuse(Failure(error.error_status_hint, f"no HTTP: {error}"))
        if client.http.our_state is h11.MUST_CLOSE:
            yield from client.part()
        return client.http.our_state is client.http.their_state is h11.DONE

    def _answer(self, client: Channel, request: h11.Request) -> Steps[None]:
        print(f"{request.method.decode()} {request.target.decode()}")
        http.check(request)
        url = http.url_of(request)
        if request.method == b"CONNECT":
            yield from self._tunnel(client, url)
        elif not http.may_share(request):
            yield from self._forward(client, request, url)
        else:
            yield from client.receive()  # the end of the request
            if (download := self.downloads.get(url) or self._stored(request, url)) is not None:
                yield from self._follow(client, request, download)
            elif request.method == b"HEAD":
                yield from self._forward(client, request, url)
            else:
                yield from self._lead(client, request, url)

    def _stored(self, request: h11.Request, url: Url) -> Download | None:
        """Return the complete file, if it may be served without asking."""
        if self.offline or (self.static and not http.wants_fresh(request)):
            entry = self.cache.entry(url)
            if (found := entry.open()) is not None:
                return Download(entry).hold(*found, complete=True)
        return None

    def _follow(self, client: Channel, request: h11.Request, download: Download) -> Steps[None]:
        """Send a client the file, from its beginning, as fast as it comes and it takes it."""
        with download:
            while (about := download.about) is None and not download.over:
                yield download.pause()
            if about is not None:
                head, position, stop = http.answer_for(request, about.headers, about.size)
                yield from client.send(head)
                while position < stop:
                    while position >= download.available and not download.over:
                        yield download.pause()
                    if not (data := download.read(position, min(CHUNK, stop - position))):
                        break
                    yield from client.send(h11.Data(data))
                    position += len(data)
                if download.failure is None or position == stop:
                    yield from client.send(h11.EndOfMessage())
                    return
            if download.failure is not None:
                raise Failure(*download.failure.args)
        yield from self._forward(client, request, download.url)

    def _lead(self, client: Channel, request: h11.Request, url: Url) -> Steps[None]:
        """Ask the origin; share what comes if that may be, else hand it to this client alone."""
        download = Download(self.cache.entry(url))
        with download:
            self.downloads[url] = download
            try:
                answer = yield from self._ask(client, request, download)
            except Failure as failure:
                download.end(failure)
                raise
            finally:
                if download.about is None or download.over:
                    download.end()
                    del self.downloads[url]
            if answer is None:
                yield from self._follow(client, request, download)
        if answer is not None:
            yield from self._relay(client, url, *answer)

    def _ask(self, client: Channel, asked: h11.Request, download: Download) -> Steps[Answer | None]:
        """Ask for the file, its rest, or a newer one; return an answer that is not shared."""
        common = [(b"accept-encoding", b"identity")]  # packed or not would be two files
        common += http.end_to_end(asked.headers, *_OURS_TO_SAY)
        for conditions in (_conditions(download.entry), []):
            answer = yield from self._open(client, b"GET", download.url, common + conditions)
            origin, response = answer
            if self._take(download, origin, response):
                return None
            if not conditions or response.status_code not in (206, 304, 412, 416):
                break
            origin.sock.close()  # it does not fit what is here: once more, from the beginning
        return answer

    def _take(self, download: Download, origin: Channel, response: h11.Response) -> bool:
        """Make the answer the download, and start a fiber that fetches; False if it is no file."""
        entry, status, headers = download.entry, response.status_code, response.headers
        if status == 304 and (found := entry.open()) is not None:
            origin.sock.close()
            download.hold(*found, complete=True)
            return True
        if not http.may_keep(response):
            return False
        length = field(headers, b"content-length")
        if status == 200:
            told = http.end_to_end(headers, *_OURS_TO_SAY)
            about = About(str(entry.url), int(length) if length else None, told)
            with storing(origin.sock):
                download.hold(about, entry.begin(about))
        elif not _resume(download, headers):
            return False
        # Without a length or chunks, a cut would look like the end.
        keep = status == 206 or not (length is None and not field(headers, b"transfer-encoding"))
        start(self.fetch(download, origin, keep))
        return True

    def fetch(self, download: Download, origin: Channel, keep: bool) -> Steps[None]:
        """Fetch what the origin sends into the cache, whoever listens; a fiber of its own."""
        with download as url, closing(origin.sock):
            print(f"fetching {url} from byte {download.available}")
            try:
                while (data := (yield from self._receive(url, origin))) is not None:
                    download.append(data)
                yield from download.finish(keep)
            except Failure as failure:
                print(f"{failure.status}: {failure.words}")
                download.end(failure)
            finally:
                download.end(Failure(502, f"the download of {url} was ended"))
                del self.downloads[url]

    def _connect(self, client: Channel, url: Url) -> Steps[Channel]:
        if self.offline:
            raise Failure(504, f"not in the cache, and offline {url.authority} is not asked")
        with _asking(url.authority):
            sock = yield from connect((url.host, url.port))
            if sock.getpeername()[:2] != client.sock.getsockname()[:2]:
                return Channel(sock, h11.CLIENT)
        sock.close()
        raise Failure(400, f"{url.authority} is this proxy itself")

    def _open(self, client: Channel, method: bytes, url: Url, headers: Headers) -> Steps[Answer]:
        """Send a request, with the body if the client has one, and return the answer's head."""
        # The origin is told the host asked for, whatever the client's Host field said.
        headers = [(b"host", url.authority.encode()), *headers, _VIA, (b"connection", b"close")]
        head = h11.Request(method=method, target=url.target.encode(), headers=headers)
        origin = yield from self._connect(client, url)
        try:
            with _asking(url):
                yield from origin.send(head)
            while client.http.their_state is h11.SEND_BODY:
                if isinstance(event := (yield from client.receive()), h11.Data):
                    with _asking(url):
                        yield from origin.send(h11.Data(bytes(event.data)))
            with _asking(url):
                yield from origin.send(h11.EndOfMessage())
                while not isinstance(response := (yield from origin.receive()), h11.Response):
                    if isinstance(response, h11.ConnectionClosed):
                        raise Failure(502, f"{url}: closed without an answer")
                http.check(response)
                return origin, response
        except BaseException:
            origin.sock.close()
            raise

    def _receive(self, url: Url, origin: Channel) -> Steps[bytes | None]:
        """Return some of an answer's body, None at its end, no faster than the limit allows."""
        most = CHUNK if self.limit is None else min(CHUNK, 1 + int(self.limit / 8))
        self._receiving += 1
        try:
            with _asking(url):
                event = yield from origin.receive(most)
            if not isinstance(event, h11.Data):
                return None
            if self.limit is not None:
                yield WAIT(len(event.data) * self._receiving / self.limit)
            return bytes(event.data)
        finally:
            self._receiving -= 1

    def _forward(self, client: Channel, request: h11.Request, url: Url) -> Steps[None]:
        """Pass a request on as it is, and its answer back."""
        headers = http.end_to_end(request.headers, b"host", b"expect")
        if field(request.headers, b"transfer-encoding") is not None:
            headers.append((b"transfer-encoding", b"chunked"))
        answer = yield from self._open(client, request.method, url, headers)
        yield from self._relay(client, url, *answer)

    def _relay(self, client: Channel, url: Url, origin: Channel, head: h11.Response) -> Steps[None]:
        """Hand an answer to one client as it comes."""
        with closing(origin.sock):
            told, status = [*http.end_to_end(head.headers), _VIA], head.status_code
            yield from client.send(
                h11.Response(status_code=status, headers=told, reason=head.reason)
            )
            while (data := (yield from self._receive(url, origin))) is not None:
                yield from client.send(h11.Data(data))
            yield from client.send(h11.EndOfMessage())

    def _tunnel(self, client: Channel, url: Url) -> Steps[None]:
        """Carry bytes both ways and understand none."""
        if url.port not in self.tunnel_ports:
            raise Failure(400, f"CONNECT does not lead to port {url.port} here")
        with closing((yield from self._connect(client, url)).sock) as sock:
            yield from client.receive()  # the end of the request
            yield from client.send(h11.Response(status_code=200, headers=[], reason="Connected"))
            yield from send_all(sock, client.http.trailing_data[0])
            back = start(carry(sock, client.sock))
            yield from carry(client.sock, sock)
            yield from join(back)


def carry(source: Any, sink: Any) -> Steps[None]:
    """Carry bytes one way until they end; if something breaks, end the other way too."""
    try:
        data = b"?"
        while data:
            yield RECV(source, timeout=_TUNNEL_SILENCE)
            data = source.recv(CHUNK)
            yield from send_all(sink, data)
        sink.shutdown(socket.SHUT_WR)
    except OSError as error:
        print(f"the tunnel ends: {error}")
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def _conditions(entry: Entry) -> Headers:
    """Return the fields that ask for the rest of a file, or for a newer version only."""
    if (found := entry.open(part=True)) is not None:
        with found[1] as file:
            size = file.seek(0, os.SEEK_END)
        if size and (versions := http.validators_of(found[0].headers)):
            return [(b"range", b"bytes=%d-" % size), (b"if-range", versions[0].encode("latin-1"))]
    if (found := entry.open()) is None:
        return []
    found[1].close()
    return [(_VERSIONS[name], value) for name, value in found[0].headers if name in _VERSIONS]


def _resume(download: Download, headers: Any) -> bool:
    """Go on with the partial file if the answer is its rest."""
    if (found := download.entry.open(part=True)) is None:
        return False
    about, file = found
    have = file.seek(0, os.SEEK_END)
    form = re.fullmatch(rf"bytes {have}-(\d+)/(\d+)", field(headers, b"content-range") or "")
    size = int(form[2]) if form and int(form[1]) + 1 == int(form[2]) else 0
    known = {name: field(about.headers, name) for name in _VERSIONS}
    known[b"content-length"] = str(size - have)
    same = all(field(headers, name) in (None, value) for name, value in known.items())
    if size and about.size in (None, size) and same:
        download.hold(about._replace(size=size), file)
        return True
    file.close()
    return False


@contextmanager
def _asking(whom: object) -> Iterator[None]:
    """Turn what an origin does wrong into a Failure."""
    try:
        yield
    except TimeoutError as error:
        raise Failure(504, f"{whom} did not answer in time") from error
    except h11.RemoteProtocolError as error:
        raise Failure(502, f"{whom} broke off, or spoke no HTTP: {error}") from error
    except (OSError, UnicodeError) as error:  # the latter: a name that cannot be one
        raise Failure(502, f"{whom} cannot be reached: {error}") from error

"""The proxy: fibers that answer clients, from the cache or from downloads they share.

The rule kept here: one download for each address, however many ask for it. The first client's
fiber asks the origin. If the answer is a file for all, it starts a fiber that fetches it into
the cache, whether or not a client listens. Every client reads from that file at its own pace.
When it has caught up it waits by WAIT(None), and wakes with the fiber that fetches. So a late
client starts at the beginning, and a slow one holds back no other.

A herd of joiners wakes whenever any fiber has run, mostly for nothing. In a crowd each sleeps a
moment instead, the longer the more they are, so that looking takes a bounded share of the time.

What this module does not know: the scheduler. These are generators; whatever runs them will do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from typing import Any

import h11

from ..fiber import start
from ..sockets import CHUNK, Steps
from ..waits import WAIT
from .cache import Cache, Download, storing
from .http import Failure, Headers, Url, caching, conditions, field, messages
from .http.channel import PATIENCE, Channel, Gone
from .http.messages import Request
from .origins import Answer, Origins
from .repeats import Repeated, Repeats
from .revalidation import (
    about_of,
    compare_head,
    conditions_for,
    resume,
    take_again,
)
from .tunnel import tunnel


@dataclasses.dataclass
class Proxy:
    """What the fibers share: the cache, and the downloads under way; ``serve`` is a handler.

    static: what is complete in the cache is served without asking the origin. offline: no origin
    is asked at all. limit: bytes a second from all origins together. tunnel_ports: CONNECT's.
    patience: seconds in which a request must be there, once it has begun to come; a long one
    has more.
    """

    cache: Cache
    static: bool = False
    offline: bool = False
    limit: float | None = None
    tunnel_ports: Collection[int] = (443,)
    downloads: dict[Url, Download] = dataclasses.field(default_factory=dict)  # under way
    patience: float = PATIENCE

    def __post_init__(self) -> None:
        self.origins = Origins(self.offline, self.limit, self.patience)
        self.repeats = Repeats(self.cache)

    def serve(self, sock: Any, address: Any) -> Steps[None]:
        """Answer the requests of one client, until it ends or is silent for too long."""
        client = Channel(sock, h11.SERVER, self.patience)
        try:
            while (yield from self._exchange(client)):
                client.next_request()
        except Gone as gone:
            print(f"the client has gone: {gone}")

    def _exchange(self, client: Channel) -> Steps[bool]:
        """Answer one request; return whether another may follow."""
        try:
            asked = yield from client.begin()
            if (again := self._repeat(asked)) is not None:
                yield from client.repeat(again)
                return True
            event = yield from client.receive()
            if isinstance(event, h11.ConnectionClosed):
                return False
            yield from self._route(client, event)
        except Failure as failure:
            print(f"{failure.status}: {failure.words}")
            yield from client.refuse(failure)
        except h11.RemoteProtocolError as error:  # the client's: an origin's is a Failure
            yield from client.refuse(Failure(error.error_status_hint, f"no HTTP: {error}"))
        except OSError as error:  # the disk's: a client's is Gone, an origin's a Failure
            print(f"500: the cache cannot be used: {error}")
            yield from client.refuse(Failure(500, f"the cache cannot be used: {error}"))
        ours, theirs = client.http.our_state, client.http.their_state
        if ours is h11.MUST_CLOSE or (ours is h11.DONE and theirs is h11.SEND_BODY):
            yield from client.part()
        return ours is theirs is h11.DONE

    def _route(self, client: Channel, request: Request) -> Steps[None]:
        print(line_of(request))
        messages.check(request)
        if messages.hops_left(request) == 0:
            yield from self._answer_itself(client, request)
        elif request.method == b"CONNECT":
            yield from self._tunnel(client, messages.url_of(request))
        elif not caching.may_share(request):
            yield from self._forward(client, request, messages.url_of(request))
        else:
            yield from self._answer(client, request, messages.url_of(request))

    def _answer(self, client: Channel, request: Request, url: Url) -> Steps[None]:
        """Answer from a download that is under way, from the cache, or from the origin."""
        yield from client.receive()  # the end of the request
        while (download := self.downloads.get(url)) is not None and download.over:
            yield WAIT(None)  # all has come, and gets its name: no client joins any more
        if download is None or caching.wants_fresh(request, download.age):
            download = self._stored(request, url)
        if download is not None:
            yield from self._follow(client, request, download)
            self._note(client, request, download)
        elif request.method == b"HEAD":
            yield from self._forward(client, request, url)
        else:
            self._outdate(url)  # what was asked for before is not fresh enough
            yield from self._lead(client, request, url)

    def _repeat(self, asked: bytes) -> bytes | None:
        """Return the whole answer to a request that came before, if nothing has changed since."""
        known = self.repeats.known(asked)
        if known is None or known.url in self.downloads:
            return None
        if (answer := self.repeats.answer_to(asked, known)) is not None:
            print(known.line)
        return answer

    def _note(self, client: Channel, request: Request, download: Download) -> None:
        """Remember the answer to a request, if it would be the same another time."""
        about, head = download.about, client.head
        whole = request.method == b"GET" and head.startswith(b"HTTP/1.1 200 ")
        # With a wish in Cache-Control it might be another one when the file is older.
        wish = field(request.headers, b"cache-control") or field(request.headers, b"pragma")
        if whole and about is not None and download.request is None and wish is None:
            before, line, after = head.partition(b"\r\nage: %d\r\n" % about.age)
            if line and client.repeatable:
                aged = before + b"\r\nage: ", b"\r\n" + after
                answered = Repeated(download.url, line_of(request), aged, about)
                self.repeats.note(client.asked_for, answered)

    def _stored(self, request: Request, url: Url) -> Download | None:
        """Return the complete file, if it may be served without asking."""
        if not (self.offline or self.static or caching.only_if_cached(request)):
            return None
        with _noting("read"):
            if (found := self.cache.find(url)) is not None:
                entry, about, file = found
                fresh = self.static and not caching.wants_fresh(request, about.age)
                if self.offline or fresh or caching.is_usable(request, about.headers, about.age):
                    return Download(entry).hold(about, file, complete=True)
                file.close()
        return None

    def _follow(self, client: Channel, request: Request, download: Download) -> Steps[None]:
        """Send a client the file, from its beginning, as fast as it comes and it takes it."""
        with download.read_by(client):
            while (about := download.about) is None and not download.over:
                yield download.pause()
            if about is not None:
                headers = about.told_to(request is download.request)
                head, position, stop = conditions.answer_for(request, headers, about.size)
                download.skip(client, position)
                yield from client.send(head, more=position < min(stop, download.available))
                while position < stop:
                    while position >= download.available and not download.over:
                        yield download.pause()
                    if not (data := download.read(position, min(CHUNK, stop - position), client)):
                        break
                    yield from client.send(h11.Data(data))
                    position += len(data)
                if download.failure is None or position == stop:
                    yield from client.send(h11.EndOfMessage())
                    return
            if download.failure is not None:
                raise Failure(*download.failure.args)
        yield from self._forward(client, request, download.url)

    def _lead(self, client: Channel, request: Request, url: Url) -> Steps[None]:
        """Ask the origin; share what comes if that may be, else hand it to this client alone."""
        download = Download(self.cache.entry(url), request)
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
                    self._forget(download)
            if answer is None:
                yield from self._follow(client, request, download)
        if answer is not None:
            yield from self._relay(client, url, answer)

    def _ask(self, client: Channel, asked: Request, download: Download) -> Steps[Answer | None]:
        """Ask for the file, its rest, or a newer one; return an answer that is not shared."""
        common = [(b"accept-encoding", b"identity")]  # packed or not would be two files
        common += messages.end_to_end(asked.headers, b"via", *messages.OURS_TO_SAY)
        known: Headers = []
        with _noting("read"):
            known = conditions_for(download.entry)
        for condition in (known, []):
            answer = yield from self.origins.ask(client, asked, download.url, common + condition)
            if self._take(download, answer):
                return None
            if not condition or answer.head.status_code not in (206, 304, 412, 416):
                break
            answer.origin.sock.close()  # it does not fit what is here: once more, for all of it
        return answer

    def _take(self, download: Download, answer: Answer) -> bool:
        """Make the answer the download, and start a fiber that fetches; False if it is no file."""
        entry, status, headers = download.entry, answer.head.status_code, answer.head.headers
        if download.outdated:
            return False
        if status in (206, 304):
            with _noting("used"):
                take = resume if status == 206 else take_again
                take(download, answer)
        elif not caching.may_keep(status, headers):
            with _noting("written"):
                if status == 200:  # what is here has been replaced, by something that is not kept
                    entry.remove()
        elif status == 200:
            about = about_of(entry.url, answer)
            with storing(answer.origin.sock):
                download.hold(about, entry.begin(about))
        if download.about is None or download.over:
            return download.over
        # Without a length or chunks, a cut would look like the end.
        ends = {b"content-length", b"transfer-encoding"} & {name for name, _ in headers}
        start(self.fetch(download, answer.origin, keep=status == 206 or bool(ends)))
        return True

    def fetch(self, download: Download, origin: Channel, keep: bool) -> Steps[None]:
        """Fetch what the origin sends into the cache, as a fiber of its own."""
        with download as url, closing(origin.sock):
            print(f"fetching {url} from byte {download.available}")
            try:
                while (data := (yield from self.origins.receive(url, origin))) is not None:
                    download.append(data)
                    if not download.kept:
                        yield from self._pass_on(download)
                yield from download.finish(keep)
            except Failure as failure:
                print(f"{failure.status}: {failure.words}")
                download.end(failure)
            finally:
                download.end(Failure(502, f"the download of {url} was ended"))
                self._forget(download)

    def _pass_on(self, download: Download) -> Steps[None]:
        """Wait until all readers have what cannot be kept; no client joins them any more."""
        if not download.outdated:
            print(f"{download.url} is passed on and not kept: {download.reason}")
            self._forget(download)
            download.outdated = True
        while not download.taken:
            yield download.pause()
        if not download.wanted and not download.is_all_here:
            raise Failure(507, f"{download.url} cannot be kept, and no client waits for it")

    def _forget(self, download: Download) -> None:
        """Let no client join a download any more."""
        if not download.outdated:
            del self.downloads[download.url]

    def _outdate(self, url: Url) -> None:
        """Let no client join what is under way now, and do not keep it."""
        if (download := self.downloads.pop(url, None)) is not None:
            download.outdated = True
            with _noting("written"):
                download.entry.discard()

    def _forward(self, client: Channel, request: Request, url: Url) -> Steps[None]:
        """Pass a request on as it is, and its answer back."""
        headers = messages.to_forward(request)
        answer = yield from self.origins.ask(client, request, url, headers)
        for each in caching.made_invalid(request, url, answer.head):
            self._outdate(each)
            with _noting("written"):
                self.cache.entry(each).remove()
        if request.method == b"HEAD" and caching.may_share(request):
            with _noting("used"):
                compare_head(self.cache, url, answer)
        yield from self._relay(client, url, answer)

    def _relay(self, client: Channel, url: Url, answer: Answer) -> Steps[None]:
        """Hand an answer to one client as it comes."""
        head, headers = answer.head, messages.received(answer.head)
        refused = client.http.their_state is h11.SEND_BODY and head.status_code >= 400
        if refused:  # the client need not send the rest
            headers.append((b"connection", b"close"))
        with closing(answer.origin.sock), closing(answer.upload):
            yield from client.send(
                h11.Response(status_code=head.status_code, headers=headers, reason=head.reason)
            )
            while (data := (yield from self.origins.receive(url, answer.origin))) is not None:
                yield from client.send(h11.Data(data))
            yield from client.send(h11.EndOfMessage())
            yield from answer.upload.end(goes_on=not refused)

    def _answer_itself(self, client: Channel, request: Request) -> Steps[None]:
        """Answer a TRACE or OPTIONS that goes no further (RFC 9110, 7.6.2)."""
        if not client.http.they_are_waiting_for_100_continue:
            yield from client.receive()  # the end of the request, or a body that is not used
        if request.method == b"TRACE":
            headers = [(b"content-type", b"message/http")]
            yield from client.answer(200, "OK", headers, messages.echo_of(request))
        else:
            headers = [(b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, CONNECT")]
            yield from client.answer(200, "OK", headers, b"")

    def _tunnel(self, client: Channel, url: Url) -> Steps[None]:
        """Carry bytes both ways and understand none."""
        if url.port not in self.tunnel_ports:
            raise Failure(400, f"CONNECT does not lead to port {url.port} here")
        yield from tunnel(client, (yield from self.origins.connect(client, url)), print)


def line_of(request: Request) -> str:
    """Return what the log says of a request."""
    return f"{request.method.decode()} {request.target.decode()}"


@contextmanager
def _noting(verb: str) -> Iterator[None]:
    """Say what the cache's folder refuses, and go on without."""
    try:
        yield
    except OSError as error:
        print(f"the cache cannot be {verb}: {error}")

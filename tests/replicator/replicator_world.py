"""What the replicator's tests need: origins that serve files or play a script, and clients."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from fiberlab.lab.background import Server, serving
from fiberlab.replicator.cache import Cache
from fiberlab.replicator.proxy import Proxy

LONG_AGO = formatdate(1_600_000_000, usegmt=True)
BODY = bytes(range(256)) * 400
SECONDS = 10.0  # no client waits longer


class Answer(NamedTuple):
    """What a client got."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class File:
    """A file that an origin has, and how it serves it."""

    body: bytes = BODY
    headers: dict[str, str] = field(default_factory=lambda: {"Last-Modified": LONG_AGO})
    status: int = 200
    chunked: bool = False
    counted: bool = True
    gate: threading.Event | None = None  # the second half waits for it
    knows_ranges: bool = True
    breaks_after: int | None = None  # bytes after which the connection is reset, once


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Origin

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            sent = b"".join(self._chunks())
        else:
            sent = self.rfile.read(length)
        told = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append((self.command, self.path, told, sent))
        file = self.server.files.get(self.path, File(b"no such file", {}, 404))
        if file.status == 200 and self._is_known(file):
            self.send_response(304)
            self.end_headers()
            return
        self._send(file)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _is_known(self, file: File) -> bool:
        tag, since = self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")
        if tag is not None:
            return tag == file.headers.get("ETag")
        modified = file.headers.get("Last-Modified")
        if since is None or modified is None:
            return False
        return parsedate_to_datetime(modified) <= parsedate_to_datetime(since)

    def _send(self, file: File) -> None:
        body, status, start = file.body, file.status, 0
        asked, version = self.headers.get("Range"), self.headers.get("If-Range")
        versions = (None, file.headers.get("ETag"), file.headers.get("Last-Modified"))
        if asked and file.knows_ranges and version in versions:
            start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
        self.send_response(status)
        for name, value in file.headers.items():
            self.send_header(name, value)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if file.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif file.counted:
            self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(file, body[start:])

    def _send_body(self, file: File, body: bytes) -> None:
        half = len(body) // 2 if file.gate is not None else len(body)
        if file.breaks_after is not None:
            self.wfile.write(body[: file.breaks_after])
            file.breaks_after = None
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
            self.server.may_break.wait(SECONDS)
            return
        for part in (body[:half], body[half:]):
            with contextlib.suppress(OSError):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if file.chunked else part)
            if file.gate is not None and part is not body[half:]:
                file.gate.wait(SECONDS)
        if file.chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True


class Origin(ThreadingHTTPServer):
    """A server of the standard library with files, which keeps every request."""

    daemon_threads = False
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, File] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.may_break = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def origin_serving(**files: File) -> Iterator[Origin]:
    """Serve files by name: ``origin_serving(a=File())`` has /a."""
    with Origin() as origin:
        origin.files = {f"/{name}": file for name, file in files.items()}
        thread = threading.Thread(target=origin.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield origin
        finally:
            origin.may_break.set()
            for file in origin.files.values():
                if file.gate is not None:
                    file.gate.set()
            origin.shutdown()
            thread.join()


@contextlib.contextmanager
def scripted(play: Callable[[socket.socket, bytes], None]) -> Iterator[tuple[str, list[bytes]]]:
    """Serve by a script that gets each connection and the head; yield the address and the heads."""
    heads: list[bytes] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                with sock, contextlib.suppress(OSError):
                    sock.settimeout(SECONDS)
                    head = b""
                    while b"\r\n\r\n" not in head and (data := sock.recv(65536)):
                        head += data
                    heads.append(head)
                    play(sock, head)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def says(data: bytes) -> Callable[[socket.socket, bytes], None]:
    """Return a script that sends `data` and closes."""
    return lambda sock, _: sock.sendall(data)


class Running(NamedTuple):
    """A proxy that runs in the background."""

    address: tuple[str, int]
    proxy: Proxy
    server: Server


@contextlib.contextmanager
def proxy_serving(folder: Path, timeout: float = 5.0, **options: object) -> Iterator[Running]:
    """Run a proxy on that cache folder."""
    with contextlib.closing(Cache(folder)) as cache:
        proxy = Proxy(cache, **options)  # type: ignore[arg-type]
        with serving(proxy.serve, timeout=timeout) as server:
            yield Running(server.address, proxy, server)


def wait_until(true: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Look again and again until it is true; fail if that takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.002)


def ask(
    running: Running,
    url: str,
    headers: dict[str, str] | None = None,
    *,
    method: str = "GET",
    body: object = None,
) -> Answer:
    """Ask through the proxy, with the client of the standard library.

    A client has the last byte a little before the file has its name; that is waited for.
    """
    connection = http.client.HTTPConnection(*running.address, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request(method, url, body=body, headers=headers or {})
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, told, response.read())
    if response.status in (200, 206):
        wait_until(lambda: all(str(each) != url for each in list(running.proxy.downloads)))
    return answer


def raw(running: Running, data: bytes) -> bytes:
    """Send `data` as it is and return all that comes back."""
    with socket.create_connection(running.address, timeout=SECONDS) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65536):
                got += part
        return got


def cached(folder: Path) -> dict[str, bytes]:
    """Return the complete files of a cache folder, by their names below the host's folder."""
    return {
        "/".join(path.relative_to(folder).parts[1:]): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.with_name(path.name + "#head").exists()
        if not path.name.endswith("#part")
    }

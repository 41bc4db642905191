"""The servers: an echo, or HTTP keep-alive, written for each in the way its own pages show.

The rule kept here: all do the same work with the same sizes. Each function gets a listening
socket and whether to speak HTTP, and serves until its process is ended from outside.
"""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from fiberlab import RECV, SEND, Scheduler, StallRecorder, Trace
from fiberlab.elsewhere.asyncio_ import run as run_asyncio
from fiberlab.elsewhere.asyncio_ import watching
from fiberlab.sockets import accept_all

from .client import RESPONSE
from .no_sites import scheduler_without_sites

CHUNK = 65536

Server = Callable[[socket.socket, bool], None]


def answer(asked: bytes) -> tuple[bytes, bytes]:
    """Return the responses to all requests that are complete in `asked`, and what is left."""
    *complete, rest = asked.split(b"\r\n\r\n")
    return RESPONSE * len(complete), rest


# -- The limit ----------------------------------------------------------------


def limit(listener: socket.socket, http: bool) -> None:
    """A bare loop: epoll, level-triggered, registered once, recv and send inline."""
    listener.setblocking(False)
    events = select.epoll()
    events.register(listener.fileno(), select.EPOLLIN)
    socks: dict[int, socket.socket] = {}
    rests: dict[int, bytes] = {}
    while True:
        for number, _ in events.poll():
            sock = socks.get(number)
            if sock is None:
                sock, _ = listener.accept()
                sock.setblocking(False)
                socks[sock.fileno()] = sock
                events.register(sock.fileno(), select.EPOLLIN)
                continue
            data = sock.recv(CHUNK)
            if not data:
                events.unregister(number)
                socks.pop(number).close()
                continue
            if http:
                data, rests[number] = answer(rests.get(number, b"") + data)
                if not data:
                    continue
            sock.send(data)


# -- fiberlab -----------------------------------------------------------------


def plain(listener: socket.socket, http: bool) -> None:
    """fiberlab as its README writes it: ``yield RECV(sock)``."""
    _run_fibers(listener, _plain_http if http else _plain_echo)


def hoisted(listener: socket.socket, http: bool) -> None:
    """fiberlab with the waits made once for each connection."""
    _run_fibers(listener, _hoisted_http if http else _hoisted_echo)


def timeout(listener: socket.socket, http: bool) -> None:
    """As plain, with a timeout on every wait."""
    _run_fibers(listener, _plain_http if http else _plain_echo, timeout=30)


def stalls(listener: socket.socket, http: bool) -> None:
    """As plain, and a StallRecorder is left on."""
    _run_fibers(listener, _plain_http if http else _plain_echo, trace=StallRecorder())


def traced(listener: socket.socket, http: bool) -> None:
    """As plain, with a Trace that records everything."""
    _run_fibers(listener, _plain_http if http else _plain_echo, trace=Trace())


def no_sites(listener: socket.socket, http: bool) -> None:
    """As plain, by a scheduler that cannot be traced; only to tell what that would save."""
    handler = _plain_http if http else _plain_echo
    _run_fibers(listener, handler, make=scheduler_without_sites())


def _run_fibers(
    listener: socket.socket, handler: Any, *, make: Any = Scheduler, **options: Any
) -> None:
    listener.setblocking(False)
    scheduler = make(**options)
    scheduler.add(accept_all(listener, handler, scheduler.add, print, time.monotonic))
    scheduler.run()


def _plain_echo(sock: Any, address: Any) -> Generator[Any, None, None]:
    while True:
        yield RECV(sock)
        data = sock.recv(CHUNK)
        if not data:
            return
        yield SEND(sock)
        sock.send(data)


def _hoisted_echo(sock: Any, address: Any) -> Generator[Any, None, None]:
    receive, send = RECV(sock), SEND(sock)
    while True:
        yield receive
        data = sock.recv(CHUNK)
        if not data:
            return
        yield send
        sock.send(data)


def _plain_http(sock: Any, address: Any) -> Generator[Any, None, None]:
    rest = b""
    while True:
        yield RECV(sock)
        data = sock.recv(CHUNK)
        if not data:
            return
        data, rest = answer(rest + data)
        if data:
            yield SEND(sock)
            sock.send(data)


def _hoisted_http(sock: Any, address: Any) -> Generator[Any, None, None]:
    receive, send = RECV(sock), SEND(sock)
    rest = b""
    while True:
        yield receive
        data = sock.recv(CHUNK)
        if not data:
            return
        data, rest = answer(rest + data)
        if data:
            yield send
            sock.send(data)


# -- The historical style -----------------------------------------------------


def run_with_select(fibers: list[Any]) -> None:
    """Run generators that yield tuples as commands, over select(), as it was done once.

    A fiber yields ("recv", sock), ("send", sock), ("pass", None) or ("start", generator).
    """
    ready: deque[Any] = deque(fibers)
    readers: dict[Any, Any] = {}
    writers: dict[Any, Any] = {}
    while ready or readers or writers:
        if readers or writers:
            readable, writable, _ = select.select(readers, writers, (), 0 if ready else None)
            ready.extend(readers.pop(sock) for sock in readable)
            ready.extend(writers.pop(sock) for sock in writable)
        for _ in range(len(ready)):
            fiber = ready.popleft()
            try:
                command, what = next(fiber)
            except StopIteration:
                continue
            if command == "recv":
                readers[what] = fiber
            elif command == "send":
                writers[what] = fiber
            else:
                ready.append(fiber)
                if command == "start":
                    ready.append(what)


def select_fibers(listener: socket.socket, http: bool) -> None:
    """A fiber loop in the historical style: tuples as commands, select() in every pass."""

    def serve(sock: socket.socket) -> Generator[tuple[str, Any], None, None]:
        rest = b""
        while True:
            yield "recv", sock
            data = sock.recv(CHUNK)
            if not data:
                sock.close()
                return
            if http:
                data, rest = answer(rest + data)
                if not data:
                    continue
            yield "send", sock
            sock.send(data)

    def accept() -> Generator[tuple[str, Any], None, None]:
        while True:
            yield "recv", listener
            sock, _ = listener.accept()
            sock.setblocking(False)
            yield "start", serve(sock)

    run_with_select([accept()])


# -- asyncio and uvloop -------------------------------------------------------


class _Protocol(asyncio.Protocol):
    """Echo."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class _HttpProtocol(_Protocol):
    """HTTP keep-alive."""

    rest = b""

    def data_received(self, data: bytes) -> None:
        data, self.rest = answer(self.rest + data)
        if data:
            self.transport.write(data)


async def _stream_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _stream_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    rest = b""
    while data := await reader.read(CHUNK):
        data, rest = answer(rest + data)
        if data:
            writer.write(data)
            await writer.drain()
    writer.close()


def _run_protocol(loop: Any, listener: socket.socket, http: bool) -> None:
    made = loop.create_server(_HttpProtocol if http else _Protocol, sock=listener, backlog=4096)
    loop.run_until_complete(made)
    loop.run_forever()


def _run_streams(loop: Any, listener: socket.socket, http: bool) -> None:
    async def start() -> Any:
        serve = _stream_http if http else _stream_echo
        return await asyncio.start_server(serve, sock=listener, backlog=4096)

    server = loop.run_until_complete(start())
    loop.run_forever()
    server.close()


def asyncio_protocol(listener: socket.socket, http: bool) -> None:
    """asyncio with a Protocol: functions that are called with the data."""
    _run_protocol(asyncio.new_event_loop(), listener, http)


def asyncio_streams(listener: socket.socket, http: bool) -> None:
    """asyncio with streams: read, write, drain."""
    _run_streams(asyncio.new_event_loop(), listener, http)


def asyncio_recorded(listener: socket.socket, http: bool) -> None:
    """asyncio's streams, recorded by fiberlab."""
    _record_streams(listener, http, Trace())


def asyncio_recorded_cpu(listener: socket.socket, http: bool) -> None:
    """asyncio's streams, recorded by fiberlab with the processor time of each step."""
    _record_streams(listener, http, Trace(cpu=True))


def asyncio_stalls(listener: socket.socket, http: bool) -> None:
    """asyncio's streams, and a StallRecorder is left on."""
    _record_streams(listener, http, StallRecorder())


def asyncio_protocol_stalls(listener: socket.socket, http: bool) -> None:
    """asyncio with a protocol, and a StallRecorder is left on."""
    with watching(StallRecorder()):
        asyncio_protocol(listener, http)


def _record_streams(listener: socket.socket, http: bool, trace: Trace | StallRecorder) -> None:
    async def serve() -> None:
        streams = _stream_http if http else _stream_echo
        server = await asyncio.start_server(streams, sock=listener, backlog=4096)
        await server.serve_forever()

    run_asyncio(serve(), trace)


def asyncio_debug(listener: socket.socket, http: bool) -> None:
    """asyncio's streams in asyncio's debug mode, which names steps of 100 ms."""
    loop = asyncio.new_event_loop()
    loop.set_debug(True)
    _run_streams(loop, listener, http)


def viztracer(listener: socket.socket, http: bool) -> None:
    """asyncio's streams under viztracer, which records each call."""
    from viztracer import VizTracer

    with VizTracer(log_async=True, verbose=0):
        _run_streams(asyncio.new_event_loop(), listener, http)


def uvloop_protocol(listener: socket.socket, http: bool) -> None:
    """uvloop, in C, with a Protocol."""
    import uvloop

    _run_protocol(uvloop.new_event_loop(), listener, http)


def uvloop_streams(listener: socket.socket, http: bool) -> None:
    """uvloop, in C, with asyncio's streams."""
    import uvloop

    _run_streams(uvloop.new_event_loop(), listener, http)


# -- The other peers ----------------------------------------------------------


def use_trio(listener: socket.socket, http: bool) -> None:
    """trio with its sockets."""
    import trio

    async def serve(sock: Any) -> None:
        rest = b""
        with sock:
            while data := await sock.recv(CHUNK):
                if http:
                    data, rest = answer(rest + data)
                    if not data:
                        continue
                await sock.send(data)

    async def main() -> None:
        listener.setblocking(False)
        listening = trio.socket.from_stdlib_socket(listener)
        async with trio.open_nursery() as nursery:
            while True:
                sock, _ = await listening.accept()
                nursery.start_soon(serve, sock)

    trio.run(main)


def use_curio(listener: socket.socket, http: bool) -> None:
    """curio with its sockets."""
    import curio
    from curio.io import Socket

    async def serve(sock: Any) -> None:
        rest = b""
        async with sock:
            while data := await sock.recv(CHUNK):
                if http:
                    data, rest = answer(rest + data)
                    if not data:
                        continue
                await sock.sendall(data)

    async def main() -> None:
        listening = Socket(listener)
        while True:
            sock, _ = await listening.accept()
            await curio.spawn(serve, sock, daemon=True)

    curio.run(main)


def use_gevent(listener: socket.socket, http: bool) -> None:
    """gevent with its sockets."""
    import gevent
    from gevent import socket as gevent_socket

    def serve(sock: Any) -> None:
        _serve_blocking(sock, http)

    listening = gevent_socket.socket(fileno=listener.detach())
    while True:
        sock, _ = listening.accept()
        gevent.spawn(serve, sock)


def threads(listener: socket.socket, http: bool) -> None:
    """One thread of the system for each connection, and blocking sockets."""
    threading.stack_size(256 * 1024)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=_serve_blocking, args=(sock, http), daemon=True).start()


def _serve_blocking(sock: Any, http: bool) -> None:
    rest = b""
    with sock:
        while data := sock.recv(CHUNK):
            if http:
                data, rest = answer(rest + data)
                if not data:
                    continue
            sock.sendall(data)


SERVERS: dict[str, Server] = {
    "limit": limit,
    "plain": plain,
    "hoisted": hoisted,
    "timeout": timeout,
    "traced": traced,
    "select": select_fibers,
    "asyncio-protocol": asyncio_protocol,
    "asyncio-streams": asyncio_streams,
    "uvloop-protocol": uvloop_protocol,
    "uvloop-streams": uvloop_streams,
    "trio": use_trio,
    "curio": use_curio,
    "gevent": use_gevent,
    "threads": threads,
}
"""By name, in the order of the tables; the limit first."""

WATCHED: dict[str, Server] = {
    "asyncio-streams": asyncio_streams,
    "asyncio-stalls": asyncio_stalls,
    "asyncio-recorded": asyncio_recorded,
    "asyncio-recorded-cpu": asyncio_recorded_cpu,
    "asyncio-debug": asyncio_debug,
    "viztracer": viztracer,
}
"""One server, watched by nobody and by others; the first is what they cost beside."""

ALL_SERVERS = {
    **SERVERS,
    **WATCHED,
    "no-sites": no_sites,
    "stalls": stalls,
    "asyncio-protocol-stalls": asyncio_protocol_stalls,
}

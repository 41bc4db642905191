"""The same server in five coats, for lesson 14.

`in_threads(function)` and its like return a server: a function that serves so many clients at a
listening socket and records in a trace what it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from ....elsewhere.asyncio_ import run as run_asyncio
from ....elsewhere.notes import Notes, SharedNotes
from ....fiber import FiberGenerator, start
from ....scheduler import Scheduler
from ....sockets import accept
from ....trace.trace import Trace
from .greenlet_hub import Hub

Server = Callable[[socket.socket, int, Trace], None]
"""Serves so many clients at a listening socket, and records it in a trace."""


# -- Threads ------------------------------------------------------------------


def in_threads(function: Callable[[Any], None]) -> Server:
    """Return a server with a thread for each client, which calls ``function(sock)``."""

    def serve(listener: socket.socket, clients: int, trace: Trace) -> None:
        notes = SharedNotes(trace, "threads")
        threads = []
        for number in range(clients):
            sock, _ = listener.accept()
            notes.spawn(number, function.__name__)
            noted = NotedSocket(sock, notes, number)
            threads.append(threading.Thread(target=run, args=(noted,), daemon=True))
            threads[-1].start()
        for each in threads:
            each.join()
        notes.stop()

    def run(sock: NotedSocket) -> None:
        with sock.sock:
            sock.notes.resume(sock.key)
            function(sock)
            sock.notes.end(sock.key, "return")

    return serve


class NotedSocket:
    """A socket that notes when its thread begins and ends to wait: the system does not tell."""

    def __init__(self, sock: socket.socket, notes: SharedNotes, key: int) -> None:
        self.sock, self.notes, self.key = sock, notes, key

    def recv(self, size: int) -> bytes:
        """Receive; the thread waits meanwhile."""
        data: bytes = self._noted("RECV", self.sock.recv, size)
        return data

    def sendall(self, data: bytes) -> None:
        """Send all; the thread waits meanwhile."""
        self._noted("SEND", self.sock.sendall, data)

    def _noted(self, op: str, call: Callable[[Any], Any], argument: Any) -> Any:
        frame = sys._getframe(2)
        self.notes.wait(self.key, op, src=(frame.f_code, frame.f_lasti))
        result = call(argument)
        self.notes.wake(self.key, "io")
        self.notes.resume(self.key)
        return result


# -- Callbacks ----------------------------------------------------------------


class Callbacks:
    """A connection in the style of asyncore: the loop calls its methods when something is ready.

    handle_read and handle_write are for a subclass to write; what it has to remember from one
    call to the next it keeps in `self`.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.buffer = b""  # what is still to be sent
        self.closed = False

    def handle_read(self) -> None:
        """There is data to receive."""

    def handle_write(self) -> None:
        """There is room to send; called while `buffer` holds something."""

    def close(self) -> None:
        """Be called no more."""
        self.sock.close()
        self.closed = True


def in_callbacks(kind: type[Callbacks]) -> Server:
    """Return a server with an object of `kind` for each client, all called by one loop."""

    def serve(listener: socket.socket, clients: int, trace: Trace) -> None:
        notes = Notes(trace, "callbacks")
        with selectors.DefaultSelector() as selector:
            for _ in range(clients):
                sock, _address = listener.accept()
                sock.setblocking(False)
                each = kind(sock)
                notes.spawn(each, kind.__name__)
                notes.resume(each)
                notes.wait(each, "RECV")
                selector.register(sock, selectors.EVENT_READ, each)
            while selector.get_map():
                _call_the_ready(selector, notes)
        notes.stop()

    return serve


def _call_the_ready(selector: selectors.BaseSelector, notes: Notes) -> None:
    """Make one pass: poll, then call each object that can go on."""
    notes.poll(None)
    found = selector.select()
    notes.polled(len(found))
    for key, _ in found:
        notes.wake(key.data, "io")
    for key, events in found:
        each = key.data
        notes.resume(each)
        each.handle_write() if events & selectors.EVENT_WRITE else each.handle_read()
        if each.closed:
            selector.unregister(key.fileobj)
            notes.end(each, "return")
            continue
        event = selectors.EVENT_WRITE if each.buffer else selectors.EVENT_READ
        selector.modify(key.fileobj, event, each)
        notes.wait(each, "SEND" if each.buffer else "RECV")


# -- Fibers, greenlets, asyncio -----------------------------------------------


def in_fibers(function: Callable[[Any, Any], FiberGenerator]) -> Server:
    """Return a server with a fiber of ``function(sock, address)`` for each client."""

    def serve(listener: socket.socket, clients: int, trace: Trace) -> None:
        def accepting() -> FiberGenerator:
            for _ in range(clients):
                sock, address = yield from accept(listener)
                start(function(sock, address))._owned = sock

        listener.setblocking(False)
        scheduler = Scheduler(trace=trace, file=io.StringIO())
        scheduler.add(accepting(), "accept-1")
        scheduler.run()

    return serve


def in_greenlets(function: Callable[[Any, Hub], None]) -> Server:
    """Return a server with a greenlet of ``function(sock, hub)`` for each client."""

    def serve(listener: socket.socket, clients: int, trace: Trace) -> None:
        hub = Hub(trace)
        with contextlib.ExitStack() as leaving:
            for _ in range(clients):
                sock, _address = listener.accept()
                sock.setblocking(False)
                leaving.enter_context(sock)
                hub.spawn(closing, sock, hub)
            hub.run()

    def closing(sock: socket.socket, hub: Hub) -> None:
        with sock:
            function(sock, hub)

    closing.__name__ = function.__name__
    return serve


def in_asyncio(function: Callable[[Any, Any], Coroutine[Any, Any, None]]) -> Server:
    """Return a server with a task of ``function(reader, writer)`` for each client."""

    def serve(listener: socket.socket, clients: int, trace: Trace) -> None:
        async def accept() -> None:
            left = [clients]
            over = asyncio.Event()

            async def handle(reader: Any, writer: Any) -> None:
                try:
                    await function(reader, writer)
                finally:
                    writer.close()
                    left[0] -= 1
                    if not left[0]:
                        over.set()

            handle.__name__ = function.__name__
            server = await asyncio.start_server(handle, sock=listener)
            await over.wait()
            server.close()

        run_asyncio(accept(), trace)

    return serve

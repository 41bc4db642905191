"""Tunnels: bytes that are carried both ways, for CONNECT, and not understood here.

The rule kept here: an end in one direction is passed on and leaves the other open; if something
breaks, both end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import h11

from ..fiber import join, start
from ..sockets import CHUNK, Steps, send_all
from ..waits import RECV
from .http.channel import Channel

_SILENCE = 86400.0  # seconds; a long download through a tunnel is silent one way


def tunnel(client: Channel, origin: Channel, say: Callable[[str], None]) -> Steps[None]:
    """Tell the client that it is connected, and carry bytes until both ways have ended."""
    with closing(origin.sock) as sock:
        yield from client.receive()  # the end of the request
        yield from client.send(h11.Response(status_code=200, headers=[], reason="Connected"))
        yield from send_all(sock, client.http.trailing_data[0])
        back = start(carry(sock, client.sock, say))
        yield from carry(client.sock, sock, say)
        yield from join(back)


def carry(source: Any, sink: Any, say: Callable[[str], None]) -> Steps[None]:
    """Carry bytes one way until they end; if something breaks, end the other way too."""
    try:
        data = b"?"
        while data:
            yield RECV(source, timeout=_SILENCE)
            data = source.recv(CHUNK)
            yield from send_all(sink, data)
        sink.shutdown(socket.SHUT_WR)
    except OSError as error:
        say(f"the tunnel ends: {error}")
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

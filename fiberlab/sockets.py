"""What fibers do with sockets, for ``yield from``: accept, connect, send and receive whole things.

In an ``async def`` they are awaited instead.

The rule kept here: each waits by RECV and SEND only, so a fiber that uses them blocks no other,
and everything that holds for a yield (time-outs, cancelling, closed sockets) holds for them.
They work on real and simulated sockets alike; only `connect` and `in_thread` need real ones.
"""

from __future__ import annotations

import errno
import math
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, TypeVar

from .coroutines import awaitable
from .errors import one_line
from .waits import RECV, SEND, WAIT, Wait

T = TypeVar("T")
Steps = Generator[Wait, None, T]

CHUNK = 65536  # above 128 KiB the C library maps and unmaps memory at every recv

_OUT_OF = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
# What was wrong with one connection, not with the listener (accept(2), "Error handling").
_NETWORK = (
    "EPROTO",
    "ENETDOWN",
    "ENOPROTOOPT",
    "EHOSTDOWN",
    "ENONET",
    "EHOSTUNREACH",
    "ENETUNREACH",
)
_OF_THE_CLIENT = {getattr(errno, name) for name in _NETWORK if hasattr(errno, name)}
_PAUSE = 0.05  # seconds between two tries to accept while descriptors are short
_CALM = 1.0  # seconds without a shortage, after which the next one is reported again
_MOST = 100  # clients accepted before others run: a few milliseconds


@awaitable
def accept(listener: Any) -> Steps[tuple[Any, Any]]:
    """Wait for a client and return its socket, non-blocking, and its address."""
    with _Door(listener) as door:
        while True:
            yield RECV(listener, timeout=math.inf)
            with suppress(BlockingIOError):  # another took it, or the client has gone already
                return door.accept()


class _Door:
    """A listener, and the client that was accepted last, while nothing owns its socket.

    As a with-block it closes that socket if the block is left by an exception. Else, after ^C in
    the midst of accepting, the traceback would keep the connection open.
    """

    def __init__(self, listener: Any) -> None:
        self.listener = listener
        self.unowned: Any = None

    def accept(self) -> tuple[Any, Any]:
        """Return the socket of a client that waits, and its address.

        Raises BlockingIOError if none waits.
        """
        while True:
            try:
                self.unowned, address = self.listener.accept()
                self.unowned.setblocking(False)
                return self.unowned, address
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _OF_THE_CLIENT:
                    raise

    def __enter__(self) -> _Door:
        return self

    def __exit__(self, kind: Any, _error: Any, _traceback: Any) -> None:
        if kind is not None and self.unowned is not None:
            self.unowned.close()


def accept_all(
    listener: Any,
    function: Callable[[Any, Any], Any],
    add: Callable[[Any], Any],
    say: Callable[[str], None],
    now: Callable[[], float],
) -> Steps[None]:
    """Accept clients for ever, and add a fiber of ``function(sock, address)`` for each.

    All that wait are accepted before others run, up to a limit. When descriptors run out it
    says so once with `say`, and tries again a little later: the clients wait in the listener's
    queue, and those that are served go on. It has recovered when no client waits any longer and
    `now`, in seconds, is a while later; a shortage after that is reported again.
    """
    emptied, short_at = True, -math.inf
    with _Door(listener) as door:
        while True:
            yield RECV(listener, timeout=math.inf)
            try:
                for _ in range(_MOST):
                    sock, address = door.accept()
                    try:
                        add(function(sock, address))._owned = sock  # closed when the fiber ends
                    except Exception as error:
                        sock.close()
                        say(f"error: no fiber for {address}: {one_line(error)}")
                    door.unowned = None
            except BlockingIOError:
                emptied = True
            except OSError as error:
                if error.errno not in _OUT_OF:
                    raise
                if emptied and now() - short_at > _CALM:
                    say(f"accepting waits: {error.strerror}; it goes on when connections end")
                emptied, short_at = False, now()
                # Not RECV: the listener stays readable, and the loop would spin.
                yield WAIT(_PAUSE)


def listen_at(address: Any, function: Any, scheduler: Any) -> tuple[Any, Steps[None]]:
    """Return a socket that listens at `address`, and the generator that accepts its clients.

    Raises TypeError unless `function` can be called, and what the poller's `listen` raises.
    """
    if not callable(function):
        raise TypeError(f"listen() needs a generator function, got {function!r}")
    listener = scheduler._poller.listen(address)
    add, say, now = scheduler.add, scheduler._output.say, scheduler._clock.now
    return listener, accept_all(listener, function, add, say, now)


@awaitable
def connect(address: tuple[str, int], timeout: float | None = None) -> Steps[socket.socket]:
    """Connect to (host, port) without blocking and return the socket.

    Every address of the host is tried in turn; the last one's error is raised, an OSError such
    as ConnectionRefusedError. timeout: seconds for each, None: the scheduler's own.
    The host's name is looked up in a worker thread unless it is an address already.
    """
    host, port = _checked(address)
    found = yield from _look_up(host, port)
    failure: Exception = OSError(f"no address found for {host!r}")
    for family, kind, protocol, _, place in found:
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as in RealPoller.listen
            code = sock.connect_ex(place)
            if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
                yield SEND(sock, timeout=timeout)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code == 0:
                return sock
            # OSError picks the subclass by the number: ConnectionRefusedError and so on.
            failure = OSError(code, f"{errno.errorcode.get(code, code)} for {host}:{port}")
        except OSError as error:
            failure = error
        except BaseException:  # ^C too, or that the fiber is closed
            if sock is not None:
                sock.close()
            raise
        if sock is not None:
            sock.close()
    raise failure


def _look_up(host: str, port: int) -> Steps[list[Any]]:
    numeric = socket.AI_NUMERICHOST
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)
    except (socket.gaierror, UnicodeError):
        found: list[Any] = yield from in_thread(
            lambda: _addresses(host, port)  # which may take seconds
        )
        return found


@awaitable
def send_all(sock: Any, data: bytes) -> Steps[None]:
    """Send every byte of `data`, waiting for room as often as it takes."""
    rest = memoryview(data).cast("B")  # an array counts its numbers, send its bytes
    while rest:
        yield SEND(sock)
        try:
            rest = rest[sock.send(rest) :]
        except BlockingIOError:
            continue  # another fiber, or thread, has filled the room


@awaitable
def recv_exactly(sock: Any, size: int) -> Steps[bytes]:
    """Receive `size` bytes and return them; EOFError if the peer ends before."""
    if not isinstance(size, int):
        raise TypeError(f"recv_exactly() needs a size in bytes, got {size!r}")
    if size < 0:
        raise ValueError(f"recv_exactly() needs a size in bytes >= 0, got {size!r}")
    parts: list[bytes] = []
    missing = size
    while missing:
        data = yield from _recv(sock, min(missing, CHUNK))
        if not data:
            raise EOFError(f"the peer closed after {size - missing} of {size} bytes")
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


@awaitable
def recv_until(sock: Any, delimiter: bytes, limit: int = CHUNK) -> Steps[bytes]:
    """Receive up to and with `delimiter` and return that; what follows stays in the socket.

    limit: bytes without a delimiter after which ValueError is raised, so that no client can
    fill the memory. EOFError if the peer ends before the delimiter.
    """
    if not isinstance(delimiter, (bytes, bytearray)):
        raise TypeError(f"recv_until() needs a delimiter in bytes, got {delimiter!r}")
    if not delimiter:
        raise ValueError("recv_until() needs a delimiter of at least one byte")
    if not isinstance(limit, int):
        raise TypeError(f"recv_until() needs a limit in bytes, got {limit!r}")
    got = bytearray()
    while True:
        data = yield from _recv(sock, CHUNK, socket.MSG_PEEK)
        if not data:
            raise EOFError(f"the peer closed after {len(got)} bytes, before {delimiter!r}")
        # The delimiter may have begun in an earlier packet.
        begin = max(0, len(got) - len(delimiter) + 1)
        seen = len(got)
        got += data
        end = got.find(delimiter, begin)
        size = len(data) if end < 0 else end + len(delimiter) - seen
        if seen + size > limit:
            raise ValueError(f"no {delimiter!r} within {limit} bytes")
        sock.recv(size)
        if end >= 0:
            return bytes(got[: seen + size])


def _recv(sock: Any, size: int, flags: int = 0) -> Steps[bytes]:
    while True:
        yield RECV(sock)
        try:
            data: bytes = sock.recv(size, flags)
            return data
        except BlockingIOError:
            continue  # woken for data that another reader has taken


@awaitable
def in_thread(function: Callable[..., T], *args: Any) -> Steps[T]:
    """Run ``function(*args)`` in a worker thread while other fibers run; return its result.

    Raises what it raises. If the fiber ends meanwhile the thread cannot be stopped: it works
    on, and its result is dropped. Raises RuntimeError under simulated time, which no thread
    can keep to.
    """
    ours, theirs = socket.socketpair()
    done: list[tuple[bool, Any]] = []

    def work() -> None:
        try:
            done.append((True, function(*args)))
        except BaseException as error:
            done.append((False, error))
        finally:
            with suppress(OSError):  # a child that was forked meanwhile may hold a copy
                theirs.shutdown(socket.SHUT_RDWR)
            theirs.close()  # end of file is the signal, whether or not the fiber still listens

    ours.setblocking(False)
    started = False
    try:
        try:
            # There is always room; this asks whether real sockets can be waited for at all.
            yield SEND(ours)
        except TypeError as error:
            raise RuntimeError("in_thread() needs real time: a thread knows no other") from error
        threading.Thread(target=work, name="fiberlab in_thread", daemon=True).start()
        started = True
        while not done:
            yield RECV(ours, timeout=math.inf)
    finally:
        ours.close()
        if not started:
            theirs.close()
    succeeded, result = done[0]
    if succeeded:
        return result  # type: ignore[no-any-return]
    raise result


# -- Addresses -------------------------------------------------------------------------------


def _checked(address: Any) -> tuple[str, int]:
    """Return `address`; TypeError if it is no (host, port), ValueError for what is no port."""
    if not isinstance(address, (tuple, list)) or len(address) != 2:
        raise TypeError(f"connect() needs (host, port), got {address!r}")
    host, port = address
    # The system would take 70000 for 4464.
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
        raise ValueError(f"a port is a whole number from 0 to 65535, got {port!r}")
    return host, port


def _addresses(host: str, port: int) -> list[Any]:
    """Look up the addresses of a host; socket.gaierror for what is none."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # empty between two dots, say, or too long
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} cannot be a host's name") from None

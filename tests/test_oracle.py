"""The same conversation, served by fibers, by asyncio and by threads, is the same to its clients.

The protocol is of lines: ``add N`` and ``sum`` and ``echo TEXT`` and ``quit``. What is not
understood is told so, and a line that is too long ends the conversation. A script is what one
client does; rude clients reset, say nothing, say half a line, or do not listen.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

import pytest

from fiberlab.scheduler import Scheduler
from fiberlab.sockets import recv_until, send_all

pytestmark = pytest.mark.live

LIMIT = 1000


class Conversation:
    """What the server says to each line; it knows no sockets."""

    def __init__(self):
        self.sum = 0
        self.over = False

    def answer(self, line):
        """Return the answer to one line, with its end."""
        word, _, rest = line.rstrip(b"\r\n").partition(b" ")
        if word == b"add" and rest.strip().lstrip(b"-").isdigit():
            self.sum += int(rest)
            return b"ok\n"
        if word == b"sum":
            return b"%d\n" % self.sum
        if word == b"echo":
            return rest + b"\n"
        if word == b"big" and rest.isdigit():
            return b"x" * min(int(rest), 1_000_000) + b"\n"
        self.over = word == b"quit"
        return b"bye\n" if self.over else b"what?\n"


# -- Three servers ------------------------------------------------------------


def serve_by_fibers(ready, stop):
    def handler(sock, _address):
        conversation = Conversation()
        with contextlib.suppress(EOFError, ConnectionError):
            while not conversation.over:
                try:
                    line = yield from recv_until(sock, b"\n", LIMIT)
                except ValueError:
                    yield from send_all(sock, b"too long\n")
                    return
                yield from send_all(sock, conversation.answer(line))

    scheduler = Scheduler()
    ready(scheduler.listen(handler))
    stop(scheduler.stop)
    scheduler.run()


def serve_by_asyncio(ready, stop):
    async def handler(reader, writer):
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await converse(reader, writer)
        finally:
            writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def converse(reader, writer):
        conversation = Conversation()
        while not conversation.over:
            try:
                line = await reader.readuntil(b"\n")
                if len(line) > LIMIT:
                    raise asyncio.LimitOverrunError("", 0)
            except asyncio.LimitOverrunError:
                writer.write(b"too long\n")
                await writer.drain()
                break
            writer.write(conversation.answer(line))
            await writer.drain()

    async def main():
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(handler, "127.0.0.1", 0, limit=LIMIT)
        ready(server.sockets[0].getsockname())
        stop(lambda: loop.call_soon_threadsafe(over.set))
        await over.wait()
        server.close()
        for _ in range(9):  # till who was just accepted has a handler that closes the socket
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run(main())


def serve_by_threads(ready, stop):
    def handler(sock):
        conversation = Conversation()
        with sock, sock.makefile("rb") as lines, contextlib.suppress(ConnectionError):
            while not conversation.over:
                line = lines.readline(LIMIT + 1)
                if len(line) > LIMIT:
                    sock.sendall(b"too long\n")
                    return
                if not line.endswith(b"\n"):
                    return
                sock.sendall(conversation.answer(line))

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        ready(listener.getsockname())
        over = threading.Event()
        stop(lambda: (over.set(), socket.create_connection(listener.getsockname()).close()))
        threads = []
        while not over.is_set():
            sock, _ = listener.accept()
            sock.settimeout(20)
            threads.append(threading.Thread(target=handler, args=[sock]))
            threads[-1].start()
        for thread in threads:
            thread.join(20)


SERVERS = [serve_by_fibers, serve_by_asyncio, serve_by_threads]


@contextlib.contextmanager
def serving(serve):
    """Run a server in a thread, and give its address."""
    told, is_ready = {}, threading.Event()

    def stop(function):
        told["stop"] = function
        is_ready.set()

    thread = threading.Thread(
        target=serve, args=[lambda address: told.update(address=address), stop]
    )
    thread.start()
    try:
        assert is_ready.wait(20)
        yield told["address"]
    finally:
        told["stop"]()
        thread.join(20)
        assert not thread.is_alive()


# -- Scripted clients ---------------------------------------------------------


def read_all(sock):
    """Return everything until the end; a reset is told as such."""
    parts = []
    try:
        while data := sock.recv(65_536):
            parts.append(data)
    except ConnectionError:
        parts.append(b"<reset>")
    return b"".join(parts)


def polite(sock):
    sock.sendall(b"add 5\nadd 37\r\nsum\necho hello, world\nquit\n")
    return read_all(sock)


def line_by_line(sock):
    answers = []
    for number in range(30):
        sock.sendall(b"add %d\nsum\n" % number)
        while b"".join(answers).count(b"\n") != 2 * (number + 1):
            answers.append(sock.recv(3))
    sock.sendall(b"quit\n")
    return b"".join(answers) + read_all(sock)


def byte_by_byte(sock):
    for byte in b"add -3\necho \xff\x00 x\nsum\nquit\n":
        sock.sendall(bytes([byte]))
    return read_all(sock)


def half_closes(sock):
    sock.sendall(b"echo one\necho two\n")
    sock.shutdown(socket.SHUT_WR)
    return read_all(sock)


def says_half_a_line(sock):
    sock.sendall(b"echo one\necho tw")
    sock.shutdown(socket.SHUT_WR)
    return read_all(sock)


def says_nothing(sock):
    sock.shutdown(socket.SHUT_WR)
    return read_all(sock)


def says_nonsense(sock):
    sock.sendall(b"\n\x00\xff\nadd five\nadd\nSUM\n sum\nquit now\n")
    return read_all(sock)


def is_as_long_as_may_be(sock):
    sock.sendall(b"echo " + b"y" * (LIMIT - 6) + b"\nquit\n")
    return read_all(sock)


def is_too_long(sock):
    # Exactly what is read before it is refused, so that nothing unread makes it a reset.
    sock.sendall(b"sum\n")
    first = sock.recv(9)
    sock.sendall(b"z" * (LIMIT + 1))
    return first + sock.recv(9)


def reads_late(sock):
    sock.sendall(b"big 1000000\n" * 3 + b"quit\n")
    heard = read_all(sock)
    return b"%d of %s" % (len(heard), bytes(sorted(set(heard))))


def resets(sock):
    sock.sendall(b"big 1000000\n" * 3)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return b""


SCRIPTS = [
    *(polite, line_by_line, byte_by_byte, half_closes, says_half_a_line, says_nothing),
    *(says_nonsense, is_as_long_as_may_be, is_too_long, reads_late, resets),
]


def talk(address, script):
    """Play one client's script; return what it heard."""
    with socket.create_connection(address, timeout=20) as sock:
        return script(sock)


def hear(serve):
    """Return what each client heard, alone and with all others at once."""
    with serving(serve) as address:
        alone = {script.__name__: talk(address, script) for script in SCRIPTS}
        together = [{} for _ in range(3)]
        threads = [
            threading.Thread(
                target=lambda heard=heard, script=script: heard.update(
                    {script.__name__: talk(address, script)}
                )
            )
            for heard in together
            for script in SCRIPTS
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    return alone, together


EXPECTED = {
    "polite": b"ok\nok\n42\nhello, world\nbye\n",
    "line_by_line": b"".join(b"ok\n%d\n" % (n * (n + 1) // 2) for n in range(30)) + b"bye\n",
    "byte_by_byte": b"ok\n\xff\x00 x\n-3\nbye\n",
    "half_closes": b"one\ntwo\n",
    "says_half_a_line": b"one\n",
    "says_nothing": b"",
    "says_nonsense": b"what?\n" * 4 + b"what?\nwhat?\nbye\n",
    "is_as_long_as_may_be": b"y" * (LIMIT - 6) + b"\nbye\n",
    "is_too_long": b"0\ntoo long\n",
    "reads_late": b"3000007 of \nbexy",
    "resets": b"",
}


@pytest.mark.parametrize("serve", SERVERS)
def test_every_client_hears_the_same_from_each_kind_of_server(serve):
    alone, together = hear(serve)

    assert alone == EXPECTED
    assert together == [EXPECTED] * 3

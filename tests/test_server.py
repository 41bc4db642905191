"""spawn: a server in one call, run here as a process of its own."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fiberlab import spawn

pytestmark = pytest.mark.live

PROGRAM = """
import os, resource, signal, sys
from fiberlab import RECV, SEND, WAIT, spawn

def echo(sock, address):
    print("hello from", sock.fileno())
    try:
        while True:
            yield RECV(sock)
            data = sock.recv(1024)
            if not data:
                return
            if data == b"crash":
                raise RuntimeError("as asked\\x1b[2J")
            if data == b"cpu":
                used = resource.getrusage(resource.RUSAGE_SELF)
                data = str(used.ru_utime + used.ru_stime).encode()
            yield SEND(sock)
            sock.sendall(data)
    finally:
        print("goodbye")

names = [name for name in ("SIGINT", "SIGHUP", "SIGTERM") if hasattr(signal, name)]
before = [signal.getsignal(getattr(signal, name)) for name in names]
spawn(echo, 0, **eval(sys.argv[1]))
print("handlers back:", before == [signal.getsignal(getattr(signal, name)) for name in names])
print("descriptors:", len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else "?")
"""


class Server:
    """A process that has called spawn."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdout is not None
        self.greeting = process.stdout.readline()
        found = re.fullmatch(r"listening on (\S+) port (\d+); \^C ends it\n", self.greeting)
        assert found, self.greeting
        self.address = (found[1], int(found[2]))

    def connect(self) -> socket.socket:
        """Return a blocking client's socket."""
        return socket.create_connection(self.address, timeout=20)

    def ask(self, sock: socket.socket, question: bytes = b"hello") -> bytes:
        """Send a question and return the answer."""
        sock.sendall(question)
        return sock.recv(1024)

    def end(self, name: str = "SIGINT") -> str:
        """Send the signal and return what was printed after the greeting."""
        self.process.send_signal(getattr(signal, name))
        self.process.wait(20)
        assert self.process.stdout is not None
        # Not communicate(): it passes over what readline() has read ahead.
        return self.process.stdout.read()


@contextlib.contextmanager
def serving(tmp_path: Path, *, program: str = PROGRAM, **options: Any) -> Iterator[Server]:
    """Run `program`, which calls spawn with `options`; `start` in them goes to Popen."""
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(program), encoding="utf-8")
    start = options.pop("start", {})
    with subprocess.Popen(
        [sys.executable, "-u", str(path), repr(options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **start,
    ) as process:
        guard = threading.Timer(60, process.kill)  # a server that hangs must not hang the tests
        guard.start()
        try:
            yield Server(process)
        finally:
            guard.cancel()
            process.kill()


# -- Leaving ------------------------------------------------------------------


@pytest.mark.posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_signal_ends_it_and_everything_is_closed_and_put_back(tmp_path, name):
    with serving(tmp_path) as server, server.connect() as sock:
        server.ask(sock)
        rest = server.end(name)
        closed = sock.recv(1024)

    assert closed == b""
    assert server.process.returncode == 0
    assert "goodbye" in rest  # the fiber's finally block ran
    assert "handlers back: True\n" in rest
    # Standard input, output and error, and the listing of the folder itself.
    assert rest.endswith(("descriptors: 4\n", "descriptors: ?\n"))


@pytest.mark.posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_that_was_ignored_when_the_program_began_stays_ignored(tmp_path, name):
    """As under nohup, or for a background job of a script."""

    def ignore():
        signal.signal(getattr(signal, name), signal.SIG_IGN)

    with serving(tmp_path, start={"preexec_fn": ignore}) as server, server.connect() as sock:
        server.process.send_signal(getattr(signal, name))
        answer = server.ask(sock)
        rest = server.end("SIGTERM")

    assert (answer, server.process.returncode) == (b"hello", 0)
    assert "goodbye" in rest
    assert "handlers back: True\n" in rest


@pytest.mark.posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_signal_raises_keyboard_interrupt_inside(tmp_path, name):
    program = """
        import sys
        from fiberlab import RECV, spawn

        def busy(sock, address):
            yield RECV(sock)
            try:
                sock.send(sock.recv(9))
                while True:
                    pass
            except KeyboardInterrupt:
                print("interrupted inside")
                raise

        spawn(busy, 0)
    """
    with serving(tmp_path, program=program) as server, server.connect() as sock:
        server.ask(sock)
        rest = server.end(name)

    assert (rest.count("interrupted inside"), server.process.returncode) == (1, 0)


# -- Fibers -------------------------------------------------------------------


@pytest.mark.posix
def test_a_silent_client_is_timed_out_and_others_are_served(tmp_path):
    with serving(tmp_path, timeout=0.5) as server:
        with server.connect() as silent, server.connect() as busy:
            answers = set()
            silent.settimeout(0.05)
            ended = None
            while ended is None:
                answers.add(server.ask(busy))
                with contextlib.suppress(TimeoutError):
                    ended = silent.recv(1)
            answers.add(server.ask(busy))  # then the other fiber has ended for good
        rest = server.end()

    assert (ended, answers) == (b"", {b"hello"})
    assert rest.count("FiberTimeout") == 1


@pytest.mark.posix
def test_a_fiber_that_crashes_leaves_the_others_alone(tmp_path):
    with serving(tmp_path) as server:
        with server.connect() as well, server.connect() as ill:
            server.ask(well)
            ended = server.ask(ill, b"crash")
            answer = server.ask(well)
        rest = server.end()

    assert (ended, answer) == (b"", b"hello")
    assert re.search(r"error: RuntimeError: as asked\\x1b\[2J \(fiber 'echo-3'\)\n", rest)
    assert "Traceback" not in rest


# -- Output -------------------------------------------------------------------


@pytest.mark.posix
def test_what_a_fiber_prints_is_withheld_and_written_as_one_block(tmp_path):
    with serving(tmp_path) as server:
        with server.connect() as one, server.connect() as two:
            for sock in (one, two):
                server.ask(sock)
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(1) == b""  # else ^C might come in the midst of its print
        rest = server.end()

    blocks = re.findall(
        r"--- \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  (\S+)\n"
        r" +\d+\.\d{3}  hello from \d+\n"
        r" +\d+\.\d{3}  goodbye\n",
        rest,
    )
    assert sorted(blocks) == ["echo-2", "echo-3"]


@pytest.mark.posix
def test_debug_writes_at_once_with_the_fibers_id_and_whole_tracebacks(tmp_path):
    with serving(tmp_path, debug=True) as server:
        with server.connect() as sock:
            assert server.process.stdout is not None
            at_once = server.process.stdout.readline()
            server.ask(sock, b"crash")
        with server.connect() as sock:
            server.ask(sock)  # then the first fiber has ended for good
        rest = server.end()

    assert re.fullmatch(r"\[2\] hello from \d+\n", at_once)
    assert "[2] goodbye\n[2] Traceback (most recent call last):\n" in rest
    assert re.search(r'\[2\]   File ".*program\.py", line \d+, in echo\n', rest)


# -- Where it listens ---------------------------------------------------------


def handler(sock, address):
    yield


def test_a_port_in_use_is_an_error_at_once():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        spawn(handler, taken.getsockname()[1])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "8.8.8.8", "example.org"])
def test_only_this_machine_is_served(host):
    with pytest.raises(ValueError, match="on this machine only"):
        spawn(handler, 0, host=host)


@pytest.mark.posix
def test_it_says_where_it_listens(tmp_path):
    with serving(tmp_path) as server:
        server.end()

    assert server.address[0] == "127.0.0.1"


@pytest.mark.posix
def test_it_listens_at_the_port_it_is_given(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    program = PROGRAM.replace("spawn(echo, 0,", f"spawn(echo, {address[1]},")
    with serving(tmp_path, program=program) as server, server.connect() as sock:
        answer = server.ask(sock)
        server.end()

    assert (server.address, answer) == (address, b"hello")


@pytest.mark.posix
def test_it_makes_a_fiber_for_every_connection(tmp_path):
    with serving(tmp_path) as server, contextlib.ExitStack() as stack:
        socks = [stack.enter_context(server.connect()) for _ in range(5)]
        answers = [server.ask(sock, b"%d" % i) for i, sock in enumerate(socks)]
        rest = server.end()

    assert answers == [b"0", b"1", b"2", b"3", b"4"]
    assert sorted(re.findall(r"^--- .* (echo-\d+)$", rest, re.MULTILINE)) == [
        f"echo-{i}" for i in range(2, 7)
    ]


# -- Running out of descriptors -----------------------------------------------


@pytest.mark.posix
def test_running_out_of_descriptors_delays_accepting_and_drops_nobody(tmp_path):
    import resource

    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))}
    with serving(tmp_path, start=limit) as server, contextlib.ExitStack() as clients:
        first = clients.enter_context(server.connect())
        answers = [server.ask(first)]
        crowd = [clients.enter_context(server.connect()) for _ in range(60)]
        for sock in crowd:
            sock.sendall(b"hello")

        used = float(server.ask(first, b"cpu"))
        time.sleep(1)
        used = float(server.ask(first, b"cpu")) - used
        answers.append(server.ask(first))  # served all the while

        for sock in crowd:  # whoever was served makes room for who waits
            answers.append(sock.recv(1024))
            sock.close()
        with server.connect() as late:
            answers.append(server.ask(late))
        first.close()
        rest = server.end()

    assert set(answers) == {b"hello"}
    assert len(answers) == 63
    assert used < 0.2  # of one second; a loop that spins uses all of it
    assert rest.count("accepting waits: Too many open files") == 1
    assert rest.count("goodbye") == 62


def test_outside_the_main_thread_no_handler_is_installed(monkeypatch):
    asked, raised = [], []

    def serve(port):
        try:
            spawn(lambda sock, address: (yield), port)
        except OSError as error:
            raised.append(error)

    monkeypatch.setattr(signal, "signal", lambda *arguments: asked.append(arguments))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        thread = threading.Thread(target=serve, args=[taken.getsockname()[1]])
        thread.start()
        thread.join(30)

    assert (asked, len(raised)) == ([], 1)

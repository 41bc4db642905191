"""attach: a process that runs already is recorded, and goes on as if nothing had happened.

Before Python 3.14 the script is let in by a signal; that it is let in by ``sys.remote_exec`` is
tried where there is one.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fiberlab.commands.cli import main
from fiberlab.diagnosis import diagnose
from fiberlab.elsewhere.attach import attach
from fiberlab.errors import AttachError

pytestmark = [
    pytest.mark.live,
    pytest.mark.posix,
    pytest.mark.skipif(sys.platform != "linux", reason="attach works on Linux only"),
]

TESTS = Path(__file__).parent
SCRIPT = TESTS.parent / "fiberlab" / "elsewhere" / "injected.py"


def by_signal(pid, _script):
    os.kill(pid, signal.SIGUSR1)


WAYS = [by_signal, *([sys.remote_exec] if hasattr(sys, "remote_exec") else [])]


@pytest.fixture
def server():
    """A process that echoes; it has not heard of fiberlab."""
    command = [sys.executable, TESTS / "attached_server.py", SCRIPT]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True, cwd="/") as process:
        try:
            pid, port = map(int, process.stdout.readline().split())
            with socket.create_connection(("127.0.0.1", port)) as sock:
                yield SimpleNamespace(pid=pid, port=port, sock=sock, process=process)
        finally:
            process.kill()


def ask(server, word=b"hello"):
    server.sock.sendall(word)
    return server.sock.recv(100)


def state(server):
    server.sock.sendall(b"state")
    return json.loads(server.sock.makefile("rb").readline())


def returns_to(server, before):
    """Wait until the server is in the state it was in before; return the last state seen."""
    for _ in range(1000):
        if (now := state(server)) == before:
            break
        time.sleep(0.02)
    return now


@contextlib.contextmanager
def attaching(server, seconds, tmp_path):
    """Run ``fiberlab attach`` as a process, which has begun to record; give it."""
    program = (
        "import os, signal, sys, fiberlab.elsewhere.attach as home\n"
        "from fiberlab.commands.cli import main\n"
        "home._remote_exec = lambda: lambda pid, script: os.kill(pid, signal.SIGUSR1)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["attach", str(server.pid), "--seconds", str(seconds)]
    command = [sys.executable, "-c", program, *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), *sys.path])}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **streams, text=True, cwd=tmp_path, env=environment) as process:
        try:
            said = process.stderr.readline()
            assert said.startswith(f"process {server.pid}: a thread of fiberlab in it records"), (
                said
            )
            yield process
        finally:
            process.kill()


class Load:
    """Clients that ask all the time; `answered` says how often, `lost` how often in vain."""

    def __init__(self, port, clients=4):
        self.answered = self.lost = 0
        self._over = False
        self._threads = [threading.Thread(target=self._ask, args=(port,)) for _ in range(clients)]
        self._lock = threading.Lock()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        for thread in self._threads:
            thread.join()

    def more(self, requests):
        """Wait until so many more were answered."""
        goal = self.answered + requests
        while self.answered < goal and any(thread.is_alive() for thread in self._threads):
            time.sleep(0.005)

    def _ask(self, port):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            number = 0
            while not self._over:
                word = b"%d" % (number := number + 1)
                sock.sendall(word)
                right = sock.recv(100) == word
                with self._lock:
                    self.answered += right
                    self.lost += not right


# -- The process goes on unharmed -------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_no_request_is_lost_before_during_and_after(server, way):
    with Load(server.port) as load:
        load.more(1000)
        before = load.answered
        trace = attach(server.pid, 0.5, inject=way)
        during = load.answered - before
        load.more(1000)

    assert load.lost == 0
    assert load.answered >= 2000 + during
    assert during > 0
    assert list(trace)[-1].ev == "stop"


@pytest.mark.parametrize("way", WAYS)
def test_the_process_is_as_it_was(server, way):
    before = state(server)
    with Load(server.port, clients=1):  # a process that has nothing to do lets nobody in
        attach(server.pid, 0.1, inject=way)

    assert returns_to(server, before) == before
    assert before["modules"] == []
    server.process.kill()
    assert server.process.stderr.read() == ""


@pytest.mark.parametrize("way", WAYS)
def test_the_line_that_blocks_is_found(server, way):
    def begun(_what):
        load.more(20)  # a task is known from its next step on
        ask(server, b"block")

    with Load(server.port) as load:
        trace = attach(server.pid, 0.5, inject=way, begun=begun)
    finding = diagnose(trace)[0]

    with open(TESTS / "attached_server.py", encoding="utf-8") as file:
        [line] = [number for number, text in enumerate(file, 1) if "time.sleep(0.08)" in text]
    assert finding.src == f"attached_server.py:{line}"
    assert finding.name.startswith("serve")
    assert finding.victims


def test_it_may_be_attached_to_again(server):
    before = state(server)
    for _ in range(3):
        attach(server.pid, 0.05, inject=by_signal)
        returns_to(server, before)

    assert state(server) == before


def test_if_attach_is_killed_the_recorder_leaves_by_itself(server, tmp_path):
    before = state(server)
    with attaching(server, 1000, tmp_path) as process:
        during = state(server)
        process.kill()
        process.wait()
        after = returns_to(server, before)

    assert "fiberlab attach" in during["threads"]
    assert after == before
    assert list(tmp_path.iterdir()) == []
    assert ask(server) == b"hello"


def test_interrupting_attach_keeps_what_was_recorded(server, tmp_path):
    before = state(server)
    with attaching(server, 1000, tmp_path) as process:
        ask(server)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert said.splitlines()[-1] == "trace: fiberlab-attach.fiber.jsonl"
    assert [path.name for path in tmp_path.iterdir()] == ["fiberlab-attach.fiber.jsonl"]
    assert returns_to(server, before) == before


def test_a_script_that_comes_too_late_finds_nobody_and_does_nothing(server):
    before = state(server)
    with pytest.raises(AttachError, match=r"ran no Python code in its main thread for 0\.05 s"):
        attach(server.pid, 10, patience=0.05, inject=lambda pid, script: None)
    by_signal(server.pid, SCRIPT)

    assert ask(server) == b"hello"
    assert state(server) == before
    server.process.kill()
    assert server.process.stderr.read() == ""


# -- What is refused, and how it is said ------------------------------------------------


def test_a_process_that_ends_meanwhile_is_reported(server):
    def begun(_what):
        server.sock.sendall(b"end")

    with pytest.raises(AttachError, match=rf"process {server.pid} has ended, and with it"):
        attach(server.pid, 1000, inject=by_signal, begun=begun)


def test_two_at_once_are_refused(server):
    refused = []

    def begun(_what):
        with pytest.raises(AttachError) as error:
            attach(server.pid, 1, inject=by_signal)
        refused.append(str(error.value))

    attach(server.pid, 0.1, inject=by_signal, begun=begun)

    assert refused == [f"another fiberlab attach watches process {server.pid} just now"]


def raising(error):
    def inject(pid, script):
        raise error

    inject.__name__ = type(error).__name__
    return inject


@pytest.mark.parametrize(
    ("pid", "inject", "sentence"),
    [  # "own" and "server": which process that is shows only when the test runs
        (2**22 + 1, by_signal, "there is no process 4194305"),
        ("own", by_signal, "is this one"),
        ("server", raising(PermissionError(1, "no")), r"does not let .* kernel\.yama\.ptrace"),
        ("server", raising(RuntimeError("a reason")), r"must be a Python 3\.\d+ .* \(a reason\)"),
        ("server", raising(OSError(5, "a reason")), r"must be a Python 3\.\d+ .*a reason"),
    ],
)
def test_each_reason_to_refuse_is_one_sentence(server, pid, inject, sentence):
    with pytest.raises(AttachError, match=sentence):
        attach({"own": os.getpid(), "server": server.pid}.get(pid, pid), 1, inject=inject)


def test_another_users_process_is_refused(server, monkeypatch):
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)

    with pytest.raises(AttachError, match="belongs to another user; attach as that user"):
        attach(server.pid, 1, inject=by_signal)


def test_a_process_whose_sockets_are_gevents_is_refused(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import os, runpy, signal, sys, types\n"
        "sys.modules['gevent.monkey'] = types.SimpleNamespace(saved={'socket': {}})\n"
        f"runpy.run_path({str(TESTS / 'attached_server.py')!r}, run_name='__main__')\n"
    )
    command = [sys.executable, program, SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            pid = int(process.stdout.readline().split()[0])
            with pytest.raises(AttachError, match="its sockets and threads are gevent's"):
                attach(pid, 5, inject=by_signal)
        finally:
            process.kill()


def test_an_older_python_says_what_to_use_instead(server, monkeypatch, capsys, tmp_path):
    monkeypatch.delattr(sys, "remote_exec", raising=False)
    monkeypatch.chdir(tmp_path)

    assert main(["attach", str(server.pid)]) == 2
    said = capsys.readouterr().err
    assert "attaching needs Python 3.14 or later on both sides" in said
    assert "`fiberlab run`" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("pid", ["0", "-1", "x", "99999999999999999999"])
def test_what_is_no_process_is_refused_in_one_line(pid, capsys):
    with pytest.raises(SystemExit):
        main(["attach", pid])

    assert capsys.readouterr().err.count("\n") == 1

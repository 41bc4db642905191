"""The command line: what each command writes, and that each mistake costs one line."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fiberlab import Trace, __version__, build_spans
from fiberlab.commands.cli import main

DATA = Path(__file__).parent.parent / "data"

ECHO = """
from fiberlab import RECV, SEND

def echo(sock, address):
    while True:
        yield RECV(sock)
        data = sock.recv(100)
        if not data:
            return
        print("got", data.decode())
        yield SEND(sock)
        sock.send(data)

def plain(sock, address):
    return sock
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a server in it."""
    (tmp_path / "echo_server.py").write_text(ECHO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run ``fiberlab serve`` as a process of its own; give it and its port."""
    command = [sys.executable, "-m", "fiberlab", "serve", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.fullmatch(r"listening on 127\.0\.0\.1 port (\d+); \^C ends it\n", said)
            assert found, said
            yield process, int(found[1])
        finally:
            process.kill()


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the line on stderr of a command that is to end with code 2."""
    try:
        code = main(arguments)
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1), err
    return err.strip()


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])

    assert (ended.value.code, capsys.readouterr().out) == (0, f"fiberlab {__version__}\n")


@pytest.mark.live
def test_the_demo_tells_who_held_the_loop_and_writes_trace_and_figure(folder, capsys):
    code = main(["demo"])

    trace = Trace.load("fiberlab-demo.fiber.jsonl")
    account = capsys.readouterr().out
    naps = [e for e in trace if e.ev == "stall"]
    assert code == 0
    assert "time.sleep(0.2)" in account
    assert re.search(r"echo-6 ran \d+ ms without yielding; at demo\.py:\d+", account)
    assert {(e.fid, e.func) for e in naps} == {(6, "time.sleep(0.2)")}
    assert len(build_spans(trace).lives) == 9  # who accepts, and eight clients' fibers
    assert Path("fiberlab-demo.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.live
def test_a_saved_trace_is_plotted_and_told_in_words(folder, capsys):
    main(["demo"])
    capsys.readouterr()
    code = main(["plot", "fiberlab-demo.fiber.jsonl", "-o", "picture.png"])

    told = capsys.readouterr().out
    assert code == 0
    assert Path("picture.png").read_bytes().startswith(b"\x89PNG")
    assert told.endswith("figure: picture.png\n")
    assert "#6 echo-6" in told


@pytest.mark.live
def test_a_saved_trace_is_diagnosed(folder, capsys):
    main(["demo"])
    capsys.readouterr()
    code = main(["diagnose", "fiberlab-demo.fiber.jsonl"])

    assert (code, "time.sleep(0.2)" in capsys.readouterr().out) == (0, True)


def test_the_bill_of_a_saved_trace_is_told(capsys):
    saved = str(Path(__file__).parent.parent / "data" / "blocker.fiber.jsonl")
    codes = [main(["bill", saved]), main(["bill", saved, "--csv"])]

    out = capsys.readouterr().out
    assert codes == [0, 0]
    assert out.startswith("5 requests: p50 530 ms")
    assert out.count("echo-6") == 2 + 1  # of requests, of lines, and as CSV


@pytest.mark.live
def test_a_saved_trace_is_summed_up_and_compared_with_another(folder, capsys):
    main(["demo"])
    capsys.readouterr()
    saved = "fiberlab-demo.fiber.jsonl"
    codes = [main(["summary", saved]), main(["summary", saved, "--csv"])]
    codes.append(main(["compare", saved, saved, "-o", "both.png"]))

    out = capsys.readouterr().out
    assert codes == [0, 0, 0]
    assert out.count("echo-6") >= 3
    assert Path("both.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.live
@pytest.mark.posix
def test_a_server_that_records_stalls_leaves_them_in_a_file(folder):
    with serving("echo_server:echo", "--stalls", "stalls.fiber.jsonl") as (process, port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"hello")
            answer = sock.recv(100)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)

    assert (answer, process.returncode) == (b"hello", 0)
    assert rest.endswith(" stalls; written to stalls.fiber.jsonl\n")
    assert Trace.load("stalls.fiber.jsonl").header["source"] == "stalls"


@pytest.mark.live
@pytest.mark.posix
def test_stalls_that_could_not_be_written_are_not_said_to_be(folder, capfd):
    os.mkdir("gone")
    with serving("echo_server:echo", "--stalls", "gone/stalls.fiber.jsonl") as (process, port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"hello")
            sock.recv(100)
        os.rmdir("gone")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)

    told = capfd.readouterr().err.splitlines()[-1]
    assert (process.returncode, "written to" in rest) == (2, False)
    assert told.startswith("fiberlab: ")
    assert told.endswith("gone/stalls.fiber.jsonl: No such file or directory")


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("option", ["--trace", "--stalls"])
def test_a_server_that_changes_directory_leaves_its_file_where_that_was_asked_for(folder, option):
    Path("wanders.py").write_text("import os\nos.chdir('..')\nfrom echo_server import echo\n")
    with serving("wanders.py:echo", option, "run.fiber.jsonl") as (process, port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"hello")
            sock.recv(100)  # so it runs: ^C before that would leave nothing to write
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)

    assert process.returncode == 0
    assert len(Trace.load("run.fiber.jsonl")) > 1


@pytest.mark.parametrize("other", [["--trace", "run.fiber.jsonl"], ["--live"]])
def test_stalls_and_a_whole_trace_are_not_recorded_together(folder, capsys, other):
    told = complaint(capsys, "serve", "echo_server:echo", "--stalls", "s.fiber.jsonl", *other)

    assert told.endswith("--stalls records less than --trace and --live do: give one of the two")


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("place", ["echo_server", "echo_server.py"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_server_answers_until_a_signal_and_leaves_its_trace(folder, place, name):
    with serving(f"{place}:echo", "--trace", "run.fiber.jsonl") as (process, port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"hello")
            answer = sock.recv(100)
        process.send_signal(getattr(signal, name))
        rest, _ = process.communicate(timeout=30)

    trace = Trace.load("run.fiber.jsonl")
    assert answer == b"hello"
    assert process.returncode == 0
    assert re.search(r"^--- .*  echo-2\n +0\.\d+  got hello\n", rest, re.MULTILINE)
    assert rest.endswith("trace: run.fiber.jsonl\n")
    assert [e.reason for e in trace if e.ev == "stop"] == ["KeyboardInterrupt"]


@pytest.mark.live
@pytest.mark.posix
def test_a_file_may_use_its_neighbours_and_be_called_like_a_module(folder, monkeypatch):
    (folder / "inside").mkdir()
    (folder / "inside" / "neighbour.py").write_text(ECHO)
    (folder / "inside" / "select.py").write_text("from neighbour import echo\n")
    with serving("inside/select.py:echo") as (process, port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(b"hello")
            answer = sock.recv(100)
        process.send_signal(signal.SIGINT)
        process.wait(30)

    assert (answer, process.returncode) == (b"hello", 0)


@pytest.mark.posix
def test_a_reader_that_leaves_early_is_no_error(folder):
    Path("run.fiber.jsonl").write_text(
        '{"t":0,"ev":"start","fid":0,"schema":1,"clock":"x","unit":"ns"}\n'
        + "".join(
            f'{{"t":{n},"ev":"spawn","fid":{n},"name":"fiber-{n}","by":0}}\n'
            for n in range(1, 5000)
        )
    )
    command = [sys.executable, "-m", "fiberlab", "summary", "run.fiber.jsonl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()

    assert said == b""


@pytest.mark.live
def test_a_port_in_use_is_one_line(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = complaint(capsys, "serve", "echo_server:echo", "--port", str(port))

    assert said == f"fiberlab: port {port}: Address already in use"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("no_such_module:echo", "no_such_module: no module named 'no_such_module' here or"),
        ("no_such_file.py:echo", "no_such_file.py: there is no such file"),
        ("echo_server:sing", "echo_server has no function 'sing'"),
        ("echo_server:plain", "echo_server:plain is no generator function"),
        ("echo_server", "'echo_server' is no MODULE:FUNCTION"),
        ("broken.py:echo", "broken.py cannot be imported: SyntaxError"),
        ("a_folder.py:echo", "a_folder.py"),
        ("opens.py:echo", "opens.py cannot be imported: FileNotFoundError: [Errno 2] No such"),
        ("leaves.py:echo", "leaves.py cannot be imported: it ends the program, by sys.exit(3)"),
        (".echo_server:echo", "'.echo_server' is no module's whole name"),
        ("..:echo", "'..' is no module's whole name"),
    ],
)
def test_a_function_that_cannot_be_served_is_one_line(folder, capsys, function, said):
    Path("broken.py").write_text("def echo(:\n")
    Path("a_folder.py").mkdir()
    Path("opens.py").write_text("open('settings.toml')\n")
    Path("leaves.py").write_text("import sys\nsys.exit(3)\n")

    assert complaint(capsys, "serve", function).startswith(f"fiberlab: {said}")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "fiberlab: the following arguments are required: COMMAND"),
        (("dance",), "fiberlab: argument COMMAND: invalid choice: 'dance'"),
        (
            ("serve", "a:b", "--port", "99999"),
            "fiberlab serve: argument --port: a whole",
        ),
        (
            ("serve", "a:b", "--port", "http"),
            "fiberlab serve: argument --port: a whole",
        ),
        (("serve", "a:b", "--port", "9" * 5_000), "fiberlab serve: argument --port: a whole"),
        (("serve", "a:b", "--port", "-1"), "fiberlab serve: argument --port: a whole"),
        (("serve", "a:b", "--port", "\udcff"), "fiberlab serve: argument --port: a whole"),
        (("serve", "a:b", "--timeout", "-1"), "fiberlab serve: argument --timeout: seconds"),
        (("serve", "a:b", "--timeout", "nan"), "fiberlab serve: argument --timeout: seconds"),
        (("serve", "a:b", "--timeout", "inf"), "fiberlab serve: argument --timeout: seconds"),
        (("serve", "a:b", "--timeout", "0"), "fiberlab serve: argument --timeout: seconds"),
        (("serve", "a:b", "--timeout", "1e999"), "fiberlab serve: argument --timeout: seconds"),
        (("serve", "a:b", "--timeout", "soon"), "fiberlab serve: argument --timeout: seconds"),
        (("serve", "\udcff:b"), "fiberlab: \\udcff"),
        (
            ("demo", "--clients", "3"),
            "fiberlab demo: argument --clients: a whole",
        ),
        (("demo", "--figure", "no/such/folder.png"), "fiberlab: no/such/folder.png: cannot be"),
        (("plot", ""), "fiberlab: .: is a folder"),
        (("export", "/"), "fiberlab: /: is a folder"),
        (("view", "."), "fiberlab: .: is a folder"),
        (("plot", "missing.jsonl"), "fiberlab: missing.jsonl"),
        (("plot", "echo_server.py"), "fiberlab: echo_server.py line 2: no JSON"),
        (("diagnose", "missing.jsonl"), "fiberlab: missing.jsonl"),
    ],
)
def test_a_bad_argument_or_file_is_one_line(folder, capsys, arguments, said):
    assert complaint(capsys, *arguments).startswith(said)


def test_what_a_trace_holds_is_shown_and_not_obeyed(folder, capsys):
    Path("evil.jsonl").write_text(
        '{"t":0,"ev":"start","fid":0,"schema":1,"clock":"x","unit":"ns"}\n'
        '{"t":1,"ev":"spawn","fid":1,"name":"\\u001b[2J","by":0}\n'
        '{"t":2,"ev":"wake","fid":1,"by":0,"why":"spawn","q":1}\n'
        '{"t":3,"ev":"resume","fid":1,"step":1,"q":0}\n'
        '{"t":90000000000,"ev":"exit","fid":1,"how":"return"}\n'
        '{"t":90000000001,"ev":"stop","fid":0,"reason":"done","dropped":0}\n'
    )
    main(["plot", "evil.jsonl", "-o", "evil.png"])
    main(["diagnose", "evil.jsonl"])

    out = capsys.readouterr().out
    assert "\\x1b[2J" in out
    assert "\x1b" not in out


def test_a_folder_that_cannot_be_written_is_told_before_the_work(folder, capsys):
    assert complaint(capsys, "demo", "--trace", os.fspath(folder)).endswith("is a folder")


@pytest.mark.parametrize("terminal", [True, False])
def test_long_work_shows_progress_on_a_terminal_only(folder, capsys, monkeypatch, terminal):
    (folder / "run.fiber.jsonl").write_bytes((DATA / "blocker.fiber.jsonl").read_bytes())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)

    main(["plot", "run.fiber.jsonl"])

    # How much is shown depends on the time it takes; at the end the line is wiped.
    assert capsys.readouterr().err.endswith("\r\x1b[K") == terminal

"""How the command lines write and fail: whatever the streams, the files and their names are."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import pyplot

from fiberlab.commands.cli import main
from fiberlab.console import UserError, run
from fiberlab.trace.file import check_writable, descriptor_of
from fiberlab.trace.trace import Trace

DATA = Path(__file__).parent.parent / "data"
BLOCKER = (DATA / "blocker.fiber.jsonl").read_bytes()
CODECS = ["cp932", "gbk", "koi8-r", "ascii", "latin-1", "utf-16", "cp437"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, with the trace of a run in it."""
    (tmp_path / "run.fiber.jsonl").write_bytes(BLOCKER)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    pyplot.close("all")


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return the line on stderr of a command that is to end with code 2, and say nothing else."""
    code = main(arguments)
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1), (code, out, err)
    return err.removesuffix("\n")


def program(*words: str | bytes, shell: str = "", codec: str = "") -> tuple[int, bytes, bytes]:
    """Run ``python -m fiberlab`` with `shell` after its words; return code, stdout and stderr."""
    environment = {**os.environ, "PYTHONIOENCODING": codec, "MPLBACKEND": "Agg"}
    ran = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "fiberlab", *words],
        capture_output=True,
        timeout=100,
        check=False,
        env=environment,
    )
    return ran.returncode, ran.stdout, ran.stderr


# -- Streams ----------------------------------------------------------------------------

TEXTS = [
    ("summary", "run.fiber.jsonl"),
    ("summary", "run.fiber.jsonl", "--csv"),
    ("diagnose", "run.fiber.jsonl", "run.fiber.jsonl"),
    ("compare", "run.fiber.jsonl", "run.fiber.jsonl"),
]
COMMANDS = [
    *TEXTS,
    ("compare", "run.fiber.jsonl", "run.fiber.jsonl", "-o", "both.png"),
    ("plot", "run.fiber.jsonl"),
    ("export", "run.fiber.jsonl"),
]


@pytest.mark.parametrize(
    ("words", "codec"),
    [(words, codec) for codec in CODECS for words in (COMMANDS if codec == "cp932" else TEXTS)],
)
def test_whatever_stdout_can_encode_each_command_says_all(folder, monkeypatch, words, codec):
    written = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=codec))
        code = main(words)
        errors = sys.stdout.errors
        sys.stdout.detach()

    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        main(words)
    assert (code, errors) == (0, "strict")
    assert written.getvalue() == told.getvalue().encode(codec, "backslashreplace")


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("codec", ["ascii", "cp932:strict"])
def test_the_demo_says_all_in_any_codec(folder, codec):
    code, out, err = program("demo", codec=codec)

    assert (code, err) == (0, b"")
    assert out.count(b"\n") >= 4


@pytest.mark.parametrize("words", [*COMMANDS, ("demo",), ("serve", "a:b"), ("--version",), ()])
def test_a_closed_stdout_is_one_line(folder, monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "stdout", None)

    assert main(words) == 2
    monkeypatch.undo()
    told = "fiberlab: stdout is closed; there is nothing to write to\n"
    assert capsys.readouterr() == ("", told)
    assert [each.name for each in folder.iterdir()] == ["run.fiber.jsonl"]


def test_a_closed_stderr_is_not_replaced_by_stdout(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    codes = [main(["diagnose", "missing"]), main(["plot", "run.fiber.jsonl"])]
    (folder / "cut").write_bytes(BLOCKER[:2000])
    codes.append(main(["summary", "--csv", "cut"]))
    with pytest.raises(SystemExit) as ended:
        main(["dance"])
    monkeypatch.undo()

    out, _ = capsys.readouterr()
    assert (codes, ended.value.code) == ([2, 0, 0], 2)
    assert "missing" not in out
    assert "cut off" not in out


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize(
    ("words", "shell", "code", "said"),
    [
        (("summary", "run.fiber.jsonl"), ">&-", 2, b"fiberlab: stdout is closed; there is"),
        (("summary", "run.fiber.jsonl"), ">/dev/full", 2, b"fiberlab: stdout: No space left"),
        (("plot", "run.fiber.jsonl"), ">/dev/full", 2, b"fiberlab: stdout: No space left"),
        (("export", "run.fiber.jsonl"), ">/dev/full", 2, b"fiberlab: stdout: No space left"),
        (("summary", "run.fiber.jsonl"), "1</dev/null", 2, b"fiberlab: stdout: Bad file desc"),
        (("--help",), ">/dev/full", 2, b"fiberlab: stdout: No space left"),
        (("summary", "missing"), "2>/dev/full", 2, b""),
        (("summary", "missing"), "2>&-", 2, b""),
        (("summary",), "2>&-", 2, b""),
        (("summary", "missing"), "2>&- >&-", 2, b""),
        (("summary", "run.fiber.jsonl"), "<&-", 0, b""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_streams_that_cannot_be_used_cost_one_line(
    folder, monkeypatch, words, shell, code, said, unbuffered
):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    got, _, err = program(*words, shell=shell)

    assert got == code
    assert err.startswith(said)
    assert err.count(b"\n") == (1 if said else 0)


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("words", [("summary", "run.fiber.jsonl"), ("--help",)])
def test_a_reader_that_has_left_is_told_nothing(folder, words):
    command = [sys.executable, "-m", "fiberlab", *words]
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)

    assert (ran.returncode, ran.stderr) == (1, b"")


def test_too_little_memory_is_one_line(capsys):
    def work():
        raise MemoryError

    assert run("it", work) == 2
    assert capsys.readouterr().err == "it: there is not enough memory for this\n"


def test_an_interrupt_is_code_130(capsys):
    def work():
        raise KeyboardInterrupt

    assert (run("it", work), *capsys.readouterr()) == (130, "", "")


def test_what_is_told_is_one_line_and_harmless(capsys):
    def work():
        raise UserError("two\nlines and \x1b[2J")

    assert (run("it", work), capsys.readouterr().err) == (2, "it: two lines and \\x1b[2J\n")


# -- Names ------------------------------------------------------------------------------

ODD_NAMES = [b"\xff.jsonl", "µ \x1b[2J\n.jsonl".encode(), b"-n.jsonl", b"%s{}.jsonl", "☃".encode()]


@pytest.mark.posix
@pytest.mark.once
@pytest.mark.parametrize(
    ("codec", "name"),
    [*(("utf-8", name) for name in ODD_NAMES), ("ascii", b"\xff.jsonl"), ("ascii", "☃".encode())],
)
def test_a_file_may_have_any_name(folder, monkeypatch, name, codec):
    path = "./" + os.fsdecode(name)
    Path(path).write_bytes(BLOCKER)
    stem = path.removesuffix(".jsonl")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=codec))
    codes = [
        main(words)
        for words in (
            ("diagnose", path, path),
            ("summary", path),
            ("plot", path),
            ("plot", path, "-o", stem + ".svg"),
            ("export", path),
            ("compare", path, path, "-o", stem + "2.png"),
        )
    ]
    sys.stdout.detach()
    monkeypatch.undo()

    made = sorted(os.listdir(os.fsencode(folder)))
    stem = os.fsencode(os.path.basename(stem))
    endings = [b".png", b".svg", b".json", b"2.png"]
    assert codes == [0] * 6
    assert made == sorted([name, b"run.fiber.jsonl", *(stem + ending for ending in endings)])
    assert b"\x1b" not in written.getvalue()


@pytest.mark.posix
@pytest.mark.parametrize("name", ODD_NAMES)
def test_what_is_wrong_with_a_file_of_any_name_is_one_line(folder, capsys, name):
    path = "./" + os.fsdecode(name)

    assert "No such file or directory" in complaint(capsys, "plot", path)
    Path(path).write_text("no trace")
    assert " line 1: no JSON" in complaint(capsys, "diagnose", path)


# -- Where is written -------------------------------------------------------------------


@pytest.mark.once
@pytest.mark.parametrize("name", ["picture", ".png", "v1.png", "V.PNG", "a.b.svg", "c.pdf"])
@pytest.mark.parametrize("command", ["plot", "compare"])
def test_a_figure_is_written_where_it_was_asked_for(folder, capsys, command, name):
    other = ["run.fiber.jsonl"] if command == "compare" else []
    code = main([command, "run.fiber.jsonl", *other, "-o", name])

    starts = {".svg": b"<?xml", ".pdf": b"%PDF"}
    assert code == 0
    assert capsys.readouterr().out.endswith(f"figure: {name}\n")
    assert sorted(os.listdir()) == sorted(["run.fiber.jsonl", name])
    assert Path(name).read_bytes().startswith(starts.get(Path(name).suffix, b"\x89PNG"))


@pytest.mark.live
def test_a_backend_that_matplotlib_does_not_know_is_one_line(folder):
    ran = subprocess.run(
        [sys.executable, "-m", "fiberlab", "plot", "run.fiber.jsonl"],
        capture_output=True, text=True, timeout=100, env=os.environ | {"MPLBACKEND": "nonsense"},
    )  # fmt: skip

    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
    assert ran.stderr.startswith("fiberlab: matplotlib cannot be loaded: ")
    assert "'nonsense' is not a valid value for backend" in ran.stderr


@pytest.mark.live
def test_the_demo_writes_its_figure_where_it_was_asked_for(folder, capsys):
    assert main(["demo", "--figure", "shown", "--trace", "told"]) == 0

    assert capsys.readouterr().out.endswith("trace:  told\nfigure: shown\n")
    assert Path("shown").read_bytes().startswith(b"\x89PNG")
    assert len(Trace.load("told")) > 20


@pytest.mark.parametrize(
    "words",
    [
        ("plot", "run.fiber.jsonl", "-o", "v1.2"),
        ("compare", "run.fiber.jsonl", "run.fiber.jsonl", "-o", "v1.2"),
        ("demo", "--figure", "v1.2"),
    ],
)
def test_an_ending_that_no_figure_has_is_told_before_the_work(folder, capsys, words):
    told = complaint(capsys, *words)

    assert told.startswith("fiberlab: v1.2: a figure ends in .png or another of ")
    assert sorted(os.listdir()) == ["run.fiber.jsonl"]


def same_file(kind: str) -> str:
    """Return another name for run.fiber.jsonl."""
    made = {
        "itself": lambda: "run.fiber.jsonl",
        "spelt otherwise": lambda: "./no/../run.fiber.jsonl",
        "absolute": lambda: os.path.abspath("run.fiber.jsonl"),
        "symbolic link": lambda: os.symlink("run.fiber.jsonl", "link"),
        "link to a link": lambda: (os.symlink("link", "b"), os.symlink("run.fiber.jsonl", "link")),
        "hard link": lambda: os.link("run.fiber.jsonl", "link"),
        "linked folder": lambda: os.symlink(".", "here"),
    }[kind]()
    os.makedirs("no", exist_ok=True)
    return {"link to a link": "b", "linked folder": "here/run.fiber.jsonl"}.get(
        kind, made if isinstance(made, str) else "link"
    )


@pytest.mark.posix
@pytest.mark.parametrize("command", ["plot", "export", "compare", "compare with"])
@pytest.mark.parametrize(
    "kind",
    ["itself", "spelt otherwise", "absolute", "symbolic link", "link to a link", "hard link",
     "linked folder"],
)  # fmt: skip
def test_no_command_overwrites_what_it_reads(folder, capsys, command, kind):
    (folder / "other").write_bytes(BLOCKER)
    files = {"compare": ["run.fiber.jsonl", "other"], "compare with": ["other", "run.fiber.jsonl"]}
    target = same_file(kind)
    words = [command.split()[0], *files.get(command, ["run.fiber.jsonl"]), "-o", target]
    told = complaint(capsys, *words)

    assert told == (
        f"fiberlab: {Path(target)}: is the same file as run.fiber.jsonl, which would be overwritten"
    )
    assert (folder / "run.fiber.jsonl").read_bytes() == BLOCKER


def test_the_demo_refuses_one_file_for_trace_and_figure(folder, capsys):
    told = complaint(capsys, "demo", "--trace", "x.png", "--figure", "./x.png")

    assert told == "fiberlab: x.png: is the same file as x.png, which would be overwritten"


def test_a_trace_does_not_overwrite_the_program_that_is_served(folder, capsys):
    program = "def echo(sock, address):\n    yield\n"
    Path("served_here.py").write_text(program)
    told = complaint(capsys, "serve", "served_here.py:echo", "--trace", "served_here.py")

    assert "served_here.py: is the same file as" in told
    assert Path("served_here.py").read_text() == program


UNWRITABLE = ["no/such/folder/x.png", "run.fiber.jsonl/x.png", "/proc/x.png", "n" * 300 + ".png"]


@pytest.mark.posix
@pytest.mark.parametrize("target", UNWRITABLE)
@pytest.mark.parametrize("option", ["plot -o", "export -o", "compare -o", "serve --trace", "demo"])
def test_what_cannot_be_written_is_told_before_the_work(
    folder, capsys, monkeypatch, option, target
):
    (folder / "served.py").write_text("def echo(sock, address):\n    yield\n")
    monkeypatch.setattr("fiberlab.server.spawn", lambda *_args, **_more: 1 / 0)
    monkeypatch.setattr(Trace, "load", lambda *_args, **_more: 1 / 0)
    words = {
        "plot -o": ["plot", "run.fiber.jsonl", "-o"],
        "export -o": ["export", "run.fiber.jsonl", "-o"],
        "compare -o": ["compare", "run.fiber.jsonl", "run.fiber.jsonl", "-o"],
        "serve --trace": ["serve", "served.py:echo", "--trace"],
        "demo": ["demo", "--trace"],
    }[option]

    assert f"{target}: cannot be written here (" in complaint(capsys, *words, target)


@pytest.mark.posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told_even_for_a_file_that_has_it(folder):
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_text("")
    (folder / "closed").chmod(0o500)

    with pytest.raises(PermissionError, match="closed/file"):
        check_writable("closed/file")


def test_to_check_a_file_leaves_everything_as_it_was(folder):
    check_writable("new")
    check_writable("run.fiber.jsonl")

    assert [(each.name, each.read_bytes()) for each in folder.iterdir()] == [
        ("run.fiber.jsonl", BLOCKER)
    ]


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize(
    "words",
    [
        ("plot", "run.fiber.jsonl", "-o", "/dev/full"),
        ("export", "run.fiber.jsonl", "-o", "/dev/full"),
        ("compare", "run.fiber.jsonl", "run.fiber.jsonl", "-o", "/dev/full"),
        ("demo", "--trace", "/dev/full"),
        ("demo", "--figure", "/dev/full"),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_line_that_names_the_file(folder, capsys, words):
    code = main(words)

    err = capsys.readouterr().err
    assert (code, err) == (2, "fiberlab: /dev/full: No space left on device\n")


@contextlib.contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let the disk be full, as far as this process can tell."""
    import resource  # there is none on Windows

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.posix
@pytest.mark.parametrize("name", ["out.json", "out.json.gz"])
def test_a_disk_that_fills_leaves_what_was_there(folder, capsys, name):
    (folder / name).write_text("before")
    with no_file_larger_than(1000):
        code = main(["export", "run.fiber.jsonl", "-o", name])

    assert (code, capsys.readouterr()) == (2, ("", f"fiberlab: {name}: File too large\n"))
    assert sorted(os.listdir()) == sorted([name, "run.fiber.jsonl"])
    assert (folder / name).read_text() == "before"


# -- Pipes and descriptors --------------------------------------------------------------


def is_perfetto(data: bytes) -> bool:
    return len(json.loads(data)["traceEvents"]) > 100


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("target", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("into", ["a pipe", "a file", "the end of a file"])
def test_an_export_to_stdout_is_all_that_stands_there(folder, target, into):
    if target == "link":
        os.symlink("/dev/stdout", "link")
    Path("got").write_text("{}\n")
    shell = {"a pipe": "", "a file": "> got", "the end of a file": ">> got"}[into]
    code, out, err = program("export", "run.fiber.jsonl", "-o", target, shell=shell)

    got = out if into == "a pipe" else Path("got").read_bytes()
    assert (code, err) == (0, f"open it at ui.perfetto.dev: {target}\n".encode())
    assert is_perfetto(got.removeprefix(b"{}\n") if into == "the end of a file" else got)


@pytest.mark.live
@pytest.mark.posix
def test_a_figure_on_stdout_is_all_that_stands_there(folder):
    code, out, err = program("plot", "run.fiber.jsonl", "-o", "/dev/stdout")

    assert (code, out[:8], out[-8:-4]) == (0, b"\x89PNG\r\n\x1a\n", b"IEND")
    assert err.endswith(b"figure: /dev/stdout\n")


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_a_process_substitution_can_be_written_and_read(folder):
    script = (
        '"$0" -m fiberlab export <(cat run.fiber.jsonl) -o >(gzip > out.gz; echo >> done) &&'
        '"$0" -m fiberlab diagnose <(gzip < run.fiber.jsonl);'
        "while [ ! -s done ]; do :; done"
    )
    ran = subprocess.run(
        ["bash", "-c", script, sys.executable],
        capture_output=True,
        timeout=100,
        check=False,
        text=True,
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert is_perfetto(gzip.decompress(Path("out.gz").read_bytes()))
    assert "without yielding" in ran.stdout


@pytest.mark.posix
def test_a_process_substitution_has_no_file_beside_it(folder, capsys):
    read, write = os.pipe()
    told = complaint(capsys, "plot", f"/dev/fd/{read}")
    os.close(read)
    os.close(write)

    assert told.startswith(f"fiberlab: /dev/fd/{read}.png: cannot be written here (")


@pytest.mark.posix
@pytest.mark.parametrize("name", ["pipe", "pipe.gz"])
def test_a_named_pipe_is_written_as_its_name_says(folder, name):
    os.mkfifo(name)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(Path(name).read_bytes()))
    reader.start()
    code = main(["export", "run.fiber.jsonl", "-o", name])
    reader.join()

    data = gzip.decompress(got[0]) if name.endswith(".gz") else got[0]
    assert (code, is_perfetto(data)) == (0, True)


@pytest.mark.posix
def test_a_pipe_whose_reader_has_left_is_one_line(folder, capsys, monkeypatch):
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)

    def packed(file: io.BufferedWriter, _name: str) -> contextlib.AbstractContextManager[object]:
        os.close(reader)
        return contextlib.nullcontext(file)

    monkeypatch.setattr("fiberlab.trace.file._packed", packed)
    code = main(["export", "run.fiber.jsonl", "-o", "pipe"])

    assert (code, capsys.readouterr().err) == (2, "fiberlab: pipe: Broken pipe\n")


@pytest.mark.posix
@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/dev/stdout", 1),
        ("/dev/stderr", 2),
        ("/dev/fd/17", 17),
        ("/proc/self/fd/1", 1),
        ("/proc/{pid}/fd/0", 0),
        ("/dev/../dev/stdout", 1),
        ("/dev/null", None),
        ("/dev/full", None),
        ("1", None),
        ("missing", None),
    ],
)
def test_a_name_that_stands_for_a_descriptor_is_known(path, number):
    assert descriptor_of(path.format(pid=os.getpid())) == number


# -- Cut traces -------------------------------------------------------------------------

CUT = re.compile(r"cut\S* was cut off: it has no end, and the last of its [\d,]+ events is at \d")


@pytest.fixture(params=["in a line", "after a line", "compressed"])
def cut(request: pytest.FixtureRequest, folder: Path) -> str:
    """The name of a trace that lacks its end."""
    lines = BLOCKER.splitlines(keepends=True)
    if request.param == "compressed":
        packed = gzip.compress(BLOCKER)
        (folder / "cut.gz").write_bytes(packed[: len(packed) * 2 // 3])
        return "cut.gz"
    half = b"".join(lines[: len(lines) // 2])
    (folder / "cut").write_bytes(half[:-9] if request.param == "in a line" else half)
    return "cut"


@pytest.mark.parametrize(
    "words",
    ["diagnose CUT", "summary CUT", "plot CUT", "export CUT", "compare CUT run.fiber.jsonl",
     "compare run.fiber.jsonl CUT"],
)  # fmt: skip
def test_each_command_says_that_a_trace_was_cut(cut, capsys, words):
    code = main([cut if word == "CUT" else word for word in words.split()])

    out, err = capsys.readouterr()
    assert (code, err, len(CUT.findall(out))) == (0, "", 1)


@pytest.mark.parametrize("words", ["diagnose", "summary", "plot", "export"])
def test_of_a_whole_trace_nothing_of_the_kind_is_said(folder, capsys, words):
    main([words, "run.fiber.jsonl"])

    assert "cut off" not in "".join(capsys.readouterr())


def test_a_table_for_other_programs_stays_one(cut, capsys):
    code = main(["summary", cut, "--csv"])

    out, err = capsys.readouterr()
    assert (code, len(CUT.findall(err)), "cut off" in out) == (0, 1, False)

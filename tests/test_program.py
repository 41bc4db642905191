"""fiberlab run: a program that knows nothing of us is recorded, and ends as it would without."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import re
import signal
import subprocess
import sys
import time
import urllib.request
import zipapp

import pytest
from test_viewer import unpacked

from fiberlab.commands.cli import main
from fiberlab.trace import Trace

pytestmark = pytest.mark.live

PROGRAM = """\
import asyncio, sys, time

async def handle(number):
    await asyncio.sleep(0.01)
    if number == 3:
        time.sleep(0.15)

async def main():
    await asyncio.gather(*(handle(number) for number in range(6)))
    print("arguments:", *sys.argv[1:])
    if "fail" in sys.argv:
        raise ValueError("wrong")
    if "exit" in sys.argv:
        sys.exit(7)
    if "long" in sys.argv:
        await asyncio.sleep(100)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Go to a folder that holds app.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(PROGRAM)


def ran(*arguments):
    """Run the command line in this process; return the exit code."""
    with pytest.raises(SystemExit) as leaving:
        main(["run", *arguments])
    return leaving.value.code


@pytest.mark.parametrize("command", [["app.py"], ["-m", "app"]])
def test_a_script_and_a_module_get_their_arguments_and_the_sentence_is_on_stderr(
    program, capsys, command
):
    code = ran(*command, "one", "--two")
    out, err = capsys.readouterr()

    assert (code, out) == (0, "arguments: one --two\n")
    assert "at app.py:6 it was inside time.sleep(0.15)" in err
    assert os.path.exists("fiberlab-run.png")
    assert {e.fields["name"] for e in Trace.load("fiberlab-run.fiber.jsonl") if e.ev == "spawn"} > {
        f"handle-{number}" for number in range(2, 8)
    }


def test_the_programs_own_exit_code_and_traceback_are_kept(program, capsys):
    assert ran("app.py", "exit") == 7
    assert ran("app.py", "fail") == 1

    traceback = capsys.readouterr().err.partition("Traceback")[2].partition("ValueError: wrong")[0]
    assert "app.py" in traceback
    assert not [name for name in ("fiberlab", "runpy") if name in traceback]


def test_the_trace_the_picture_and_what_is_long_can_be_chosen(program, capsys):
    assert ran("--trace", "a.jsonl.gz", "--figure", "a.svg", "--stall", "0.5", "app.py") == 0

    assert "app.py:6 it was inside" not in capsys.readouterr().err
    assert sorted(os.listdir()) == ["a.jsonl.gz", "a.svg", "app.py"]


@pytest.mark.posix
def test_after_the_seconds_the_program_is_interrupted_and_that_is_no_error(program, capsys):
    began = time.monotonic()
    assert ran("--seconds", "0.5", "app.py", "long") == 0

    assert time.monotonic() - began < 50
    assert "app.py:6" in capsys.readouterr().err


def test_a_program_without_a_loop_says_that_nothing_was_recorded(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.py").write_text("print('plain')")

    assert ran("plain.py") == 0
    assert "nothing recorded: no loop of asyncio ran" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "run needs a program"),
        (["missing.py"], "missing.py: there is no such file; a module is run with -m"),
        (["-m", "missing.module"], "no module named 'missing.module'"),
        (["folder"], "folder: is a folder without __main__.py: it cannot be run"),
        (["-m", "_posixsubprocess" if os.name == "posix" else "_socket"], "it cannot be run"),
        (["-m", "xml"], "'xml' is a package without __main__.py: it cannot be run"),
        (["--trace", "app.py", "app.py"], "app.py: is the same file as app.py"),
        (["."], ".: is a folder without __main__.py: it cannot be run"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(program, capsys, arguments, words):
    os.mkdir("folder")

    assert main(["run", *arguments]) == 2

    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("ending", ["sys.stderr.close()", "os.close(2)"])
def test_a_program_that_closes_stderr_keeps_its_trace_and_its_exit_code(program, ending):
    with open("app.py", "a") as app:
        app.write(f"    import os; {ending}; sys.exit(3)\n")

    command = [sys.executable, "-m", "fiberlab", "run", "--figure", "x.png", "app.py"]
    ended = subprocess.run(command, capture_output=True, timeout=60)

    assert (ended.returncode, ended.stderr) == (3, b"")
    assert len(Trace.load("fiberlab-run.fiber.jsonl")) > 2


def test_the_traceback_of_a_program_is_whole_whatever_its_folder_is_called(
    program, tmp_path, capfd
):
    folder = tmp_path / "my-runpython"
    folder.mkdir()
    (folder / "app.py").write_text("def fails():\n    1 / 0\nfails()\n")

    assert ran("--figure", "x.png", str(folder / "app.py")) == 1
    assert re.findall(r"line (\d+)", capfd.readouterr().err) == ["3", "2"]


BLOCKED = """\
import asyncio, os, time

def hold():
    while not os.path.exists("seen"):
        time.sleep(0.01)

async def main():
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(hold) if CALLBACK else hold()
    await asyncio.sleep(0)

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("callback", "name", "still"),
    [
        pytest.param(False, "main-1", "so far, without yielding", id="task"),
        pytest.param(True, "hold (app.py:3)", "and has not yielded once", id="callback"),
    ],
)
def test_a_live_page_names_the_culprit_and_its_line_while_it_blocks(
    tmp_path, callback, name, still
):
    (tmp_path / "app.py").write_text(BLOCKED.replace("CALLBACK", str(callback)))
    process = started(tmp_path, "--live", "--stall", "0.02", "app.py")
    url = process.stderr.readline().removeprefix("live: ").strip()
    found, given_up = [], time.monotonic() + 30
    try:
        while not found and time.monotonic() < given_up:
            header, _ = unpacked(urllib.request.urlopen(url + "run", timeout=20).read())
            found = [each for each in header["findings"] if "time.sleep(0.01)" in each["text"]]
            names = [fiber["name"] for fiber in header["fibers"]]
            held = {label.split()[0] for label in header["heldLabels"]}
    finally:
        (tmp_path / "seen").touch()
        _, err = process.communicate(timeout=60)

    assert names[found[0]["row"]] == name
    assert re.search(rf" ran [\d.]+ m?s {still}; at app.py:5", found[0]["text"])
    assert "app.py:5" in held
    assert "app.py:5 it was inside time.sleep(0.01)" in err


ENDINGS = """\
import asyncio, os, signal, sys, threading, time

async def main():
    time.sleep(0.15)
    await asyncio.sleep(0.001)
    END

ran = threading.Thread(target=asyncio.run, args=(asyncio.sleep(0),))
ran.start()
ran.join()
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os._exit(5)", 5),
        ("threading.Thread(target=os._exit, args=(5,)).start(); await asyncio.sleep(20)", 5),
        ("asyncio.get_running_loop().call_soon(sys.exit, 4); await asyncio.sleep(20)", 4),
        pytest.param("os.kill(os.getpid(), signal.SIGTERM)", 143, marks=pytest.mark.posix),
        pytest.param("os.kill(os.getpid(), signal.SIGHUP)", 129, marks=pytest.mark.posix),
    ],
)
def test_however_a_program_ends_what_was_found_is_told(tmp_path, end, code):
    (tmp_path / "app.py").write_text(ENDINGS.replace("END", end))
    process = started(tmp_path, "--", "app.py")
    _, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert "at app.py:4 it was inside time.sleep(0.15)" in err
    assert "not seen" not in err
    assert len(Trace.load(tmp_path / "fiberlab-run.fiber.jsonl")) > 5


# -- What a program may do to its process -------------------------------------------------------

MISCHIEF = """\
import asyncio, os, sys, threading
async def main():
    await asyncio.sleep(0)
asyncio.run(main())
print("told", flush=True)
"""


@pytest.mark.parametrize(
    ("mischief", "code", "words"),
    [
        ("os.chdir('..'); sys.argv.clear(); sys.path = None; sys.stdout = None", 0, "0 stalls;"),
        ("sys.stdout.close(); sys.stderr = open(os.devnull, 'w')", 0, "0 stalls; written to"),
        ("sys.stderr.close()", 0, ""),
        ("os.close(2)", 0, ""),
        ("sys.excepthook = lambda *_: sys.exit(9); wrong", 9, "0 stalls; written to"),
        ("sys.excepthook = None; wrong", 1, "Original exception was:"),
        ("del sys.excepthook; wrong", 1, "NameError: name 'wrong' is not defined"),
    ],
)
def test_a_program_may_spoil_its_process_and_is_recorded_all_the_same(
    tmp_path, mischief, code, words
):
    (tmp_path / "app.py").write_text(MISCHIEF + mischief)
    process = started(tmp_path, "--stalls", "stalls.jsonl", "app.py")
    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (code, "told\n"), err
    assert words in err
    assert "fiberlab/" not in err
    assert sorted(os.listdir(tmp_path)) == ["app.py", "stalls.jsonl"]


@pytest.mark.parametrize("mischief", ["sys.stdout.close(); os.chdir('..')", "sys.stderr.close()"])
def test_its_figure_is_drawn_too(tmp_path, mischief):
    (tmp_path / "app.py").write_text(MISCHIEF + mischief)
    process = started(tmp_path, "app.py")
    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (0, "told\n"), err
    assert sorted(os.listdir(tmp_path)) == [
        "app.py",
        "fiberlab-run.fiber.jsonl",
        "fiberlab-run.png",
    ]


THREADED = """\
import asyncio, concurrent.futures, os, pickle, sys, threading, time

class Mine:
    pass

async def main():
    await asyncio.sleep(0.3)
    time.sleep(0.15)
    print(type(pickle.loads(pickle.dumps(Mine()))).__name__, sys.argv[1:])

pool = concurrent.futures.ThreadPoolExecutor()
pool.submit(print).result()
threading.Thread(target=asyncio.run, args=(main(),)).start()
"""


@pytest.mark.parametrize("command", [["app.py"], ["-m", "app"]])
def test_a_loop_in_a_thread_that_outlives_the_main_one_is_recorded_to_its_end(tmp_path, command):
    (tmp_path / "app.py").write_text(THREADED)
    process = started(tmp_path, "--stalls", "stalls.jsonl", *command, "one")
    out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (0, "\nMine ['one']\n"), err
    assert "1 stalls; written to stalls.jsonl" in err


@pytest.mark.posix
@pytest.mark.parametrize(
    ("end", "options", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM)", (), 143),
        ("await asyncio.sleep(100)", ("--seconds", "0.3"), 0),
        ("await asyncio.sleep(0)", ("--seconds", "0.3"), 0),
    ],
)
def test_a_thread_of_the_program_holds_up_neither_sigterm_nor_the_seconds(
    tmp_path, end, options, code
):
    (tmp_path / "app.py").write_text(
        "import asyncio, os, signal, threading\n"
        "threading.Thread(target=threading.Event().wait, args=(100,)).start()\n"
        f"async def main():\n    {end}\n"
        "asyncio.run(main())\n"
    )
    process = started(tmp_path, "--stalls", "stalls.jsonl", *options, "app.py")
    _, err = process.communicate(timeout=80)

    assert process.returncode == code
    assert "0 stalls; written to stalls.jsonl" in err


ASKING = """\
import os, sys
os.chdir(os.path.dirname(__file__) if os.path.isdir(os.path.dirname(__file__)) else "/")
print(__name__, __file__, __package__, sys.path[0], sys.argv, getattr(__spec__, "name", None))
"""


@pytest.mark.parametrize(
    "command", ["app.py", "folder", "app.pyz", "app.pyc", "-m app", "-m folder", "../here/app.py"]
)
def test_a_program_finds_what_it_finds_without_us_wherever_it_goes(tmp_path, command):
    here = tmp_path / "here"
    (here / "folder").mkdir(parents=True)
    for place in (here / "app.py", here / "folder" / "__main__.py"):
        place.write_text(ASKING)
    zipapp.create_archive(here / "folder", here / "app.pyz")
    py_compile.compile(str(here / "app.py"), str(here / "app.pyc"))
    process = started(here, *command.split(), "one")
    out, err = process.communicate(timeout=120)
    plain = subprocess.run(
        [sys.executable, *command.split(), "one"],
        cwd=here, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (out, process.returncode) == (plain.stdout, 0), err


# -- Programs of others, with a route that blocks ---------------------------------------------

AIOHTTP = """\
import asyncio, time, urllib.request
from aiohttp import web

async def slow(request):
    time.sleep(0.2)
    return web.Response(text="slow")

async def fast(request):
    return web.Response(text="fast")

async def main():
    app = web.Application()
    app.router.add_get("/slow", slow)
    app.router.add_get("/fast", fast)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    def get(path):
        return urllib.request.urlopen(f"http://{host}:{port}/{path}").read()
    await asyncio.gather(*(asyncio.to_thread(get, path) for path in ("fast", "slow", "fast")))
    await runner.cleanup()

asyncio.run(main())
"""

STARLETTE = """\
import time
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def slow(request):
    time.sleep(0.2)
    return PlainTextResponse("slow")

app = Starlette(routes=[Route("/slow", slow)])
"""


def started(folder, *arguments):
    """Begin `fiberlab run` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "fiberlab", "run", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_PROXY": "127.0.0.1", "MPLBACKEND": "Agg"},
    )


def test_a_blocking_route_of_aiohttp_is_named_with_file_and_line(tmp_path):
    pytest.importorskip("aiohttp")
    (tmp_path / "app.py").write_text(AIOHTTP)
    process = started(tmp_path, "app.py")
    _, err = process.communicate(timeout=120)

    assert process.returncode == 0
    assert "at app.py:5 it was inside time.sleep(0.2)" in err


@pytest.mark.posix
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_blocking_route_of_starlette_in_uvicorn_is_named_at_the_end_by_ctrl_c(tmp_path, loop):
    pytest.importorskip("starlette")
    if not all(importlib.util.find_spec(name) for name in ("uvicorn", loop)):
        pytest.skip(f"needs uvicorn and {loop}")
    (tmp_path / "app.py").write_text(STARLETTE)
    process = started(tmp_path, "-m", "uvicorn", "app:app", "--port", "0", "--loop", loop)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    address = next(found[1] for line in lines if (found := re.search(r"(http://[\d.:]+)", line)))
    assert urllib.request.urlopen(f"{address}/slow", timeout=60).read() == b"slow"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)

    assert "at app.py:7 it was inside time.sleep(0.2)" in err
    assert ("not seen: uvloop runs its transports" in err) is (loop == "uvloop")


@pytest.mark.posix
def test_a_child_that_the_program_forks_tells_nothing_a_second_time(tmp_path):
    (tmp_path / "app.py").write_text(
        "import asyncio, os\nasyncio.run(asyncio.sleep(0))\nif os.fork():\n    os.wait()\n"
    )
    process = started(tmp_path, "app.py")
    _, err = process.communicate(timeout=120)

    assert process.returncode == 0
    assert err.count("trace:  fiberlab-run.fiber.jsonl") == 1

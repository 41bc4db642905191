"""Build sdist and wheel, and try the wheel alone as a user does: `make wheel`.

In a fresh environment outside the repository, with the pinned versions and no extra: the
README's example, `fiberlab --version`, and a strict type check of a small program.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

import readme

ROOT = Path(__file__).resolve().parent.parent

USER_PROGRAM = '''\
"""What a user writes, with every type that the package should know."""

from collections.abc import Generator
from typing import TYPE_CHECKING
from socket import socket

from fiberlab import RECV, SEND, WAIT, Scheduler, Trace, TraceEvent, plot_timeline, spawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def echo(sock: socket, address: tuple[str, int]) -> Generator[RECV | SEND | WAIT, None, None]:
    yield RECV(sock, timeout=5)
    while data := sock.recv(1024):
        yield SEND(sock)
        sock.sendall(data)
        yield WAIT(0)
        yield RECV(sock)


def watch(event: TraceEvent) -> None:
    print(event.t, event.fid)


def main() -> None:
    trace = Trace()
    scheduler = Scheduler(timeout=1, trace=trace)
    fiber = scheduler.add(idle(), name="idle")
    scheduler.run()
    name: str = fiber.name
    axes: "Axes" = plot_timeline(trace)
    axes.set_title(name)
    spawn(echo, 0, trace=watch)


def idle() -> Generator[WAIT, None, int]:
    yield WAIT(0.1)
    return 1
'''

WRONG_LINES = '\n\nScheduler(timeout="soon")\nSEND(42)\nScheduler().nothing()\n'


def run(*command: str | Path, cwd: Path, expected: int = 0) -> str:
    """Run a command outside the repository; return what it printed, or end with that."""
    quiet = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**quiet, "MPLBACKEND": "Agg", "PYTHONWARNINGS": "error"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != expected:
        shown = " ".join(str(word) for word in command[:6])
        sys.exit(f"{done.stdout}\nwheel check: {shown} ended with {done.returncode}")
    return done.stdout


def build(out: Path) -> Path:
    """Build the sdist, and from it the wheel; return the wheel."""
    run(
        sys.executable,
        "-W",
        "default",
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        out,
        ROOT,
        cwd=out,
    )
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")

    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("README.md", "LICENSE", "Makefile", "constraints.txt", "tests/conftest.py"):
        assert name in held, f"the sdist has no {name}"
    paths = [each for each in ROOT.glob("notebooks/**/*.ipynb") if each.parent.name[0] != "."]
    lessons = {path.relative_to(ROOT).as_posix() for path in paths}
    assert lessons <= held, f"the sdist lacks {sorted(lessons - held)}"

    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert len(tops) == 2, f"the wheel installs more than the package: {sorted(tops)}"
    assert "fiberlab/py.typed" in names, "the wheel has no py.typed"
    sources = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("fiberlab/**/*.py")}
    assert sources <= set(names), f"the wheel lacks {sorted(sources - set(names))}"
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel alone in a fresh environment; return the folder of its commands."""
    venv.create(folder, with_pip=True)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = (commands / "python", "-W", "default", "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    run(*pip, "check", cwd=folder)
    return commands


def check_types(python: Path, folder: Path) -> None:
    """Type-check a user's program against the installed wheel: the right one and a wrong one."""
    mypy = (
        sys.executable,
        "-W",
        "default",
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        folder / "cache",
    )
    right, wrong = folder / "right.py", folder / "wrong.py"
    right.write_text(USER_PROGRAM, "utf-8")
    wrong.write_text(USER_PROGRAM + WRONG_LINES, "utf-8")
    run(*mypy, "--python-executable", python, right, cwd=folder)
    told = run(*mypy, "--python-executable", python, wrong, cwd=folder, expected=1)
    assert "Found 3 errors" in told, f"the wrong program should have three errors:\n{told}"


def main() -> None:
    """Do all of it in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="fiberlab-wheel-") as name:
        folder = Path(name).resolve()
        (folder / "dist").mkdir()
        wheel = build(folder / "dist")
        print(f"wheel check: built {wheel.name}", flush=True)
        commands = install(wheel, folder / "env")

        version = run(commands / "fiberlab", "--version", cwd=folder).strip()
        assert version.split()[-1] == wheel.name.split("-")[1], f"--version says {version!r}"
        print(f"wheel check: {version} runs in a fresh environment", flush=True)

        run(commands / "python", "-c", readme.example(), cwd=folder)
        print("wheel check: the README's example runs there", flush=True)

        check_types(commands / "python", folder)
        print("wheel check: a user's program is type-checked against it", flush=True)


if __name__ == "__main__":
    main()

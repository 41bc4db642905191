"""`make` mends an environment that cannot be used, and says what it does and how long it takes.

A small stand-in for Python makes environments here in no time; pip in them does nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [
    pytest.mark.posix,
    pytest.mark.skipif(not shutil.which("make"), reason="there is no make"),
]

STAND_IN = """\
#!/bin/sh
case "$1 $2" in
"-m venv")
    rm -rf "$4" && mkdir -p "$4/bin" && touch "$4/pyvenv.cfg" && cp "$0" "$4/bin/python"
    there=$(cd "$4" && pwd)/lib/python3/site-packages/pip
    printf '#!/bin/sh\\necho "pip 1 from %s (python 3)"\\n' "$there" > "$4/bin/pip"
    printf '#!/bin/sh\\n' > "$4/bin/jupyter"
    chmod +x "$4/bin/"* ;;
"-m pip") ;;
*) exec "{python}" "$@" ;;
esac
"""

OLD = '#!/bin/sh\nexec "{python}" -c "import sys; sys.version_info = (3, 9); $2"\n'


def script(path: Path, text: str) -> Path:
    """Write a program."""
    path.write_text(text.replace("{python}", sys.executable), "utf-8")
    path.chmod(0o755)
    return path


def make(checkout: Path, *arguments: str) -> tuple[bool, bool, str]:
    """Run `make env`; return whether it made an environment, and installed, and what it said."""
    ran = subprocess.run(
        ["make", "env", *arguments],
        cwd=checkout,
        env={"PATH": f"{checkout.parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    return "-m venv" in ran.stdout, "-m pip install" in ran.stdout, ran.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with what `make env` reads; beside it the python3 that it finds."""
    script(tmp_path / "python3", STAND_IN)
    folder = tmp_path / "check out"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def no_pip(checkout: Path) -> Path:
    """As Debian leaves it when python3-venv is not installed."""
    (checkout / ".venv/bin/pip").unlink()
    return checkout


def python_removed(checkout: Path) -> Path:
    (checkout / ".venv/bin/python").unlink()
    (checkout / ".venv/bin/python").symlink_to(checkout / "gone")
    return checkout


def python_renewed(checkout: Path) -> Path:
    """Another version of Python, which does not see what the old one installed."""
    script(checkout / ".venv/bin/pip", "#!/bin/sh\nexit 1\n")
    return checkout


def python_too_old(checkout: Path) -> Path:
    script(checkout / ".venv/bin/python", OLD)
    return checkout


def cut_short(checkout: Path) -> Path:
    """The folders are there, and no file."""
    shutil.rmtree(checkout / ".venv")
    (checkout / ".venv/bin").mkdir(parents=True)
    return checkout


def moved(checkout: Path) -> Path:
    return checkout.rename(checkout.parent / "moved")


def copied(checkout: Path) -> Path:
    return shutil.copytree(checkout, checkout.parent / "copied", symlinks=True)


DAMAGE = [no_pip, python_removed, python_renewed, python_too_old, cut_short, moved, copied]


@pytest.mark.parametrize("damage", DAMAGE)
def test_an_environment_that_cannot_be_used_is_made_anew(checkout: Path, damage) -> None:
    make(checkout)
    broken = damage(checkout)

    assert make(broken)[:2] == (True, True)
    assert make(broken)[:2] == (False, False)


def test_an_environment_that_can_be_used_is_left_alone(checkout: Path) -> None:
    assert make(checkout)[:2] == (True, True)
    assert make(checkout)[:2] == (False, False)


def test_other_versions_are_installed_into_the_same_environment(checkout: Path) -> None:
    make(checkout)
    (checkout / "constraints.txt").write_text("h11==0.0\n", "utf-8")

    assert make(checkout)[:2] == (False, True)


def test_an_environment_of_another_python_than_the_one_asked_for_is_made_anew(
    checkout: Path,
) -> None:
    """Only if it is asked for: a python3 found by chance does not undo what was chosen."""
    script(checkout / "other", "#!/bin/sh\n[ $1 = -c ] && echo 3 99 || exec python3 $*\n")
    make(checkout)

    assert make(checkout, "PYTHON=python3")[:2] == (False, False)
    assert make(checkout, "PYTHON=./other")[:2] == (True, True)


def test_an_environment_may_serve_two_checkouts_in_turn(checkout: Path, tmp_path: Path) -> None:
    """What is installed refers to one of them."""
    other = shutil.copytree(checkout, tmp_path / "other")
    elsewhere = f"VENV={tmp_path / 'venv'}"

    assert make(checkout, elsewhere)[:2] == (True, True)
    assert make(other, elsewhere)[:2] == (False, True)
    assert make(checkout, elsewhere)[:2] == (False, True)


def test_a_folder_that_is_no_environment_is_not_emptied(checkout: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work", "utf-8")

    with pytest.raises(AssertionError, match="mine holds files and is no environment of Python"):
        make(checkout, f"VENV={mine}")
    assert (mine / "thesis.txt").read_text("utf-8") == "years of work"


def test_the_first_installation_says_what_it_takes_and_shows_its_progress(checkout: Path) -> None:
    first, later = make(checkout)[2], make(checkout, "READY=again")[2]

    before, _, after = first.partition("-m venv")
    assert "about a minute, and 500 MB" in before
    assert "pip install" in after
    assert "--quiet" not in first
    assert "pip install --quiet" in later


# -- make lab --------------------------------------------------------------------------


def lab_command(*arguments: str) -> str:
    """Return the command with which `make lab` starts JupyterLab."""
    ran = subprocess.run(
        ["make", "-n", "--no-print-directory", "lab", *arguments],
        cwd=ROOT,
        env={**os.environ, "MAKEFLAGS": ""},  # this test may run under make itself
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()[-1]


def page_at(address: str) -> str:
    """Return a page of a server that tells its address before it listens there."""
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError(f"nobody listens at {address}")


@pytest.mark.live
def test_make_lab_opens_the_first_lesson_and_uses_no_option_of_yesterday(tmp_path: Path) -> None:
    pytest.importorskip("jupyterlab")
    lessons = tmp_path / "anywhere" / "lessons"
    lessons.mkdir(parents=True)
    (lessons / "00_map.ipynb").write_text("{}", "utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = lab_command(
        f"VENV={sys.prefix}",
        f"LESSONS={lessons}",
        f"ARGS=--no-browser --allow-root --port={port} --IdentityProvider.token=",
    )
    mine = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}

    said = []
    with subprocess.Popen(
        ["sh", "-c", f"exec {command}"],
        cwd=tmp_path,
        env={**os.environ, **mine},
        stderr=subprocess.PIPE,
        text=True,
    ) as lab:
        assert lab.stderr is not None
        try:
            for line in lab.stderr:
                said.append(line)
                if address := re.search(r"http://127\.0\.0\.1:\S+", line):
                    page = page_at(address[0])
                    break
        finally:
            lab.kill()

    assert address is not None, said
    assert address[0].endswith("/lab/tree/00_map.ipynb")
    assert '"treePath": "00_map.ipynb"' in page
    assert [
        line for line in said if "deprecat" in line.lower() or "unrecogni" in line.lower()
    ] == []


def test_the_plugin_that_asks_about_news_still_has_the_name_that_make_switches_off() -> None:
    pytest.importorskip("jupyterlab")
    (news,) = re.findall(r"^NEWS = (\S+)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    scripts = Path(sys.prefix, "share/jupyter/lab/static").glob("jlab_core*.js")

    assert any(f'"{news}"' in path.read_text("utf-8") for path in scripts)
    assert "labextension disable $(NEWS)" in (ROOT / "Makefile").read_text("utf-8")

"""What the README shows runs, and prints what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import readme

from fiberlab.lab.normal_form import first_line, read_notebook

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.live
def test_the_example_runs_and_prints_what_the_readme_says(tmp_path: Path) -> None:
    """Numbers may differ: they are measured. On a busy machine a client may also be through
    before the nap begins, and so be no victim: one run of ten has to say it all.
    """
    (tmp_path / "server.py").write_text(readme.example(), "utf-8")
    said = readme.printed()
    for _ in range(10):
        ran = subprocess.run(
            [sys.executable, "-W", "error", "server.py"],
            cwd=tmp_path,
            env={**os.environ, "MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        if said is None or readme.same_but_for_numbers(ran.stdout) == (
            readme.same_but_for_numbers(said)
        ):
            return

    assert readme.same_but_for_numbers(ran.stdout) == readme.same_but_for_numbers(said or "")


@pytest.mark.live
@pytest.mark.once
def test_the_asyncio_example_runs_and_says_what_the_readme_says(tmp_path: Path) -> None:
    """Its worst sentence; a busy machine may add others, or let a client be no victim."""
    (tmp_path / "app.py").write_text(readme.example(1), "utf-8")
    said = readme.same_but_for_numbers(readme.printed(1) or "")
    for _ in range(10):
        ran = subprocess.run(
            [sys.executable, "-m", "fiberlab", "run", "app.py"],
            cwd=tmp_path,
            env={**os.environ, "MPLBACKEND": "Agg"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (ran.returncode, ran.stdout) == (0, "")
        told = readme.same_but_for_numbers(ran.stderr)[:1]
        if told == said:
            return

    assert told == said


def test_the_example_records_only_when_it_is_run(tmp_path: Path) -> None:
    """Not when `fiberlab serve server:echo` imports it."""
    (tmp_path / "server.py").write_text(readme.example(), "utf-8")

    ran = subprocess.run(
        [sys.executable, "-c", "import server; print(server.echo.__name__)"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
    )
    assert (ran.stdout, ran.stderr) == ("echo\n", "")
    assert not (tmp_path / "timeline.png").exists()


def test_every_file_that_the_readme_names_is_there() -> None:
    text = readme.README.read_text("utf-8")
    named = re.findall(r"\]\(([^):#]+)\)", text) + re.findall(r"`(fiberlab/[\w/.]+)`", text)

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_readme_lists_every_lesson_by_its_title() -> None:
    """In order, with what it teaches."""
    entry = re.compile(r"^- \[(.+)\]\((notebooks/.+)\): (\S.*)", re.MULTILINE)
    listed = {file: title for title, file, _ in entry.findall(readme.README.read_text("utf-8"))}
    there = {
        path.relative_to(ROOT).as_posix(): first_line(read_notebook(path)["cells"][0])
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
    }

    assert list(listed) == sorted(there)
    assert len(listed) == 18
    assert {file: f"# {title}" for file, title in listed.items()} == there

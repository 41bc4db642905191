"""Record, check and copy the lessons, and make assignments and slides of them.

    python -m fiberlab.lab.notebooks record notebooks/07_blocking_pitfalls.ipynb
    python -m fiberlab.lab.notebooks check notebooks
    python -m fiberlab.lab.notebooks copy notebooks lessons
    python -m fiberlab.lab.notebooks assign notebooks course
    python -m fiberlab.lab.notebooks receive course 07_blocking_pitfalls
    python -m fiberlab.lab.notebooks slides notebooks slides

The rule kept here: a lesson is stored whole or not at all, in the one form of `normal_form`,
and a copy that a student has changed is never written to.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import json
import math
import os
import queue
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fiberlab.lab.assignment import CONFIG, as_assignment
from fiberlab.lab.normal_form import (
    Cell,
    LessonError,
    Notebook,
    first_line,
    machine_paths,
    normalise,
    read_notebook,
    to_text,
    without_outputs,
)
from fiberlab.lab.slides import to_html
from fiberlab.lab.submissions import receive_submissions
from fiberlab.viewer.notebook import KEEP_RUNS

CELL_SECONDS = 60
"""How long a cell may run while it is recorded; the tests allow the same."""

MANIFEST = ".copied.json"
"""The file in a folder of copies that tells what was last put there."""


def record(path: str | Path) -> None:
    """Run a lesson in its folder, with this Python, and store its normalised outputs.

    Raises LessonError, and leaves the file as it was, if a cell fails that is not tagged
    ``raises-exception`` or if an output holds a path of this machine.
    """
    _write(Path(path), to_text(executed(path)).encode())


def executed(path: str | Path, *, keep_runs: bool = False) -> Notebook:
    """Return a lesson as `record` stores it; keep_runs: with the run of each timeline in it.

    Raises LessonError for what `record` refuses.
    """
    path = Path(path)
    asked = {KEEP_RUNS: "1"} if keep_runs else {}
    notebook = normalise(_run(read_notebook(path), path, asked))
    for sentence in machine_paths(notebook, path.parent):
        raise LessonError(f"{path}: {sentence}")
    return notebook


def check(path: str | Path) -> list[str]:
    """Return what keeps a lesson from being one that `record` has stored."""
    path = Path(path)
    try:
        notebook = read_notebook(path)
    except LessonError as error:
        return [str(error)]
    found = [f"{path}: {sentence}" for sentence in machine_paths(notebook, path.parent)]
    if path.read_bytes() != to_text(normalise(notebook)).encode():
        found.append(f"{path}: not normalised: record it again")
    return found


def copy_lessons(source: str | Path, folder: str | Path) -> list[str]:
    """Copy every lesson under `source` to `folder`, without outputs; keep what was changed there.

    What they link to outside `source` is copied with them, so that `folder` may be anywhere. A
    copy that is still what was last put there follows its lesson. One that has been changed is
    never written to. Returns a sentence for each that was kept although its lesson is newer.
    """
    source, folder = Path(source), Path(folder)
    manifest = folder / MANIFEST
    put = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    kept = []
    for name, data in _copies(source).items():
        newest, place = _digest(data), folder / name
        there = _digest(place.read_bytes()) if place.exists() else None
        if there in (None, newest, put.get(name)):
            if there != newest:
                _write(place, data)
            put[name] = newest
        elif put.get(name) != newest:
            kept.append(f"kept {place}, which you changed; rename it to get the newer lesson")
    _write(manifest, (json.dumps(put, indent=1, sort_keys=True) + "\n").encode())
    return kept


def assign_lessons(source: str | Path, folder: str | Path) -> list[Path]:
    """Write each lesson in `source` below `folder` as an assignment for nbgrader; return where.

    source: one notebook, or the folder of the lessons. Then its optional sheets are left out. A
    configuration that is there already is left alone.
    """
    source, folder = Path(source), Path(folder)
    lessons = _lessons(source)
    places = [folder / "source" / path.stem / path.name for path in lessons]
    for path, place in zip(lessons, places, strict=True):
        _write(place, to_text(as_assignment(read_notebook(path))).encode())
    if not (config := folder / "nbgrader_config.py").exists():
        _write(config, CONFIG.encode())
    return places


def write_slides(source: str | Path, folder: str | Path) -> list[Path]:
    """Write the slides of each lesson in `source` to `folder`, a page for each; return where.

    source: one notebook, or the folder of the lessons. The outputs are those that are stored.
    """
    places = []
    for lesson in _lessons(Path(source)):
        places.append(Path(folder) / f"{lesson.stem}.slides.html")
        _write(places[-1], to_html(read_notebook(lesson)).encode())
    return places


def find_notebooks(paths: Iterable[str | Path]) -> list[Path]:
    """Return the notebooks among files and below folders, in order of name."""
    found: set[Path] = set()
    for path in map(Path, paths):
        inside = path.rglob("*.ipynb") if path.is_dir() else [path]
        found.update(each for each in inside if ".ipynb_checkpoints" not in each.parts)
    return sorted(found)


def _lessons(source: Path) -> list[Path]:
    """Return the lessons in a folder, without sheets and solutions; or the one notebook.

    Raises LessonError if there is none.
    """
    lessons = sorted(source.glob("*.ipynb")) if source.is_dir() else [source]
    if not lessons:
        raise LessonError(f"{source} holds no lessons")
    return lessons


def _run(notebook: Notebook, path: Path, asked: dict[str, str]) -> Notebook:
    """Return the notebook with the outputs of a run in its folder; asked: by the environment."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    ready: Any = nbformat.reads(  # type: ignore[no-untyped-call]
        to_text(without_outputs(notebook)), as_version=4
    )
    client = NotebookClient(
        ready,
        kernel_manager_class=_this_python(),
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        # Kept, or nbclient fails at the first output inside a widget; `normalise` drops it.
        store_widget_state=True,
        coalesce_streams=True,
        # Or a kernel that listens on ports warns that it can be overheard on this machine.
        extra_arguments=["--log-level=ERROR"],
    )
    # With a backend chosen outside, the kernel would not put figures into the notebook.
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    try:
        client.execute(env={**environment, **asked})
    except CellExecutionError as error:
        number = next(n for n, cell in enumerate(ready.cells, 1) if _failed(cell))
        source = first_line(ready.cells[number - 1])
        raise LessonError(
            f"{path}: cell {number} ({source!r}) raised {error.ename}: {error.evalue}"
        ) from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise LessonError(f"{path}: {str(error).strip().partition(chr(10))[0]}") from None
    executed: Notebook = ready
    return executed


def own_address() -> dict[str, str]:
    """Return where a kernel is to listen, as a kernel manager takes it: on files of its own.

    A port that is free when the manager looks may be somebody's when the kernel has started: among
    180 kernels, started three at a time, one died of that. Ports are left where there are no such
    files (Windows), and where their path would be longer than a socket's may be.
    """
    if os.name != "posix" or len(tempfile.gettempdir()) > 70:
        return {}
    folder = tempfile.mkdtemp(prefix="kernel")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {"transport": "ipc", "ip": os.path.join(folder, "kernel")}


def _this_python() -> Any:
    """Return the class of a kernel manager that starts this Python, and misses no reply of it."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.asynchronous.client import AsyncKernelClient
    from jupyter_client.channels import AsyncZMQSocketChannel
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Channel(AsyncZMQSocketChannel):
        async def get_msg(  # type: ignore[override]
            self, timeout: float | None = None
        ) -> dict[str, Any]:
            # A reply that has come may go unnoticed until its timeout is over; so look each second.
            deadline = math.inf if timeout is None else time.monotonic() + timeout
            while (left := deadline - time.monotonic()) > 1:
                with suppress(queue.Empty):
                    return await super().get_msg(1)
            return await super().get_msg(max(0.0, left))

    class Client(AsyncKernelClient):
        shell_channel_class = Channel

    class ThisPython(AsyncKernelManager):
        client_factory = Client

        def __init__(self, **options: Any) -> None:
            super().__init__(**own_address(), **options)

        # A kernel that the user has installed under the same name would be found first.
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

    return ThisPython


def _failed(cell: Cell) -> bool:
    expected = "raises-exception" in cell["metadata"].get("tags", [])
    return not expected and any(o["output_type"] == "error" for o in cell.get("outputs", []))


def _copies(source: Path) -> dict[str, bytes]:
    """Return what the copies hold, by name: the lessons, and what they link to beside `source`."""
    copies: dict[str, bytes] = {}
    for lesson in find_notebooks([source]):
        place = lesson.relative_to(source)
        text = to_text(without_outputs(read_notebook(lesson)))
        inside = "../" * (len(place.parts) - 1)  # from the lesson to the folder of the lessons
        for name in set(re.findall(rf"\]\({re.escape(inside)}\.\./([^.)#][^)#]*)", text)):
            if (linked := source.parent / name).is_file():
                copies[name] = linked.read_bytes()
                text = text.replace(f"]({inside}../{name}", f"]({inside}{name}")
        copies[place.as_posix()] = text.encode()
    return copies


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    beside.write_bytes(data)
    os.replace(beside, path)


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; return 0, or 1 if a lesson was refused."""
    parser = argparse.ArgumentParser(
        prog="python -m fiberlab.lab.notebooks",
        description="Record, check and copy the lessons, and make assignments and slides of them.",
    )
    commands = parser.add_subparsers(
        required=True, metavar="record | check | copy | assign | receive | slides"
    )
    add = commands.add_parser("record", help="run lessons and store their normalised outputs")
    add.add_argument("paths", nargs="+", help="notebooks, or folders of them")
    add.set_defaults(command=_record_all)
    add = commands.add_parser("check", help="say which lessons are not as record stores them")
    add.add_argument("paths", nargs="+", help="notebooks, or folders of them")
    add.set_defaults(command=_check_all)
    add = commands.add_parser("copy", help="copy lessons without outputs; keep changed copies")
    add.add_argument("source", help="the folder of the lessons")
    add.add_argument("folder", help="where the copies go")
    add.set_defaults(command=_copy_all)
    add = commands.add_parser("assign", help="make assignments for nbgrader of the lessons")
    add.add_argument("source", help="the folder of the lessons, or one of them")
    add.add_argument("folder", help="the folder of the course")
    add.set_defaults(command=_assign_all)
    add = commands.add_parser("receive", help="make what was handed in ready for nbgrader")
    add.add_argument("course", help="the folder of the course")
    add.add_argument("name", help="the assignment, as 07_blocking_pitfalls")
    add.set_defaults(command=_receive_all)
    add = commands.add_parser("slides", help="make slides of the lessons, for a class")
    add.add_argument("source", help="the folder of the lessons, or one of them")
    add.add_argument("folder", help="where the pages go")
    add.set_defaults(command=_show_all)
    chosen = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        return command(chosen)
    except (LessonError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _record_all(chosen: argparse.Namespace) -> int:
    for path in find_notebooks(chosen.paths):
        print(f"recording {path} ...", flush=True)
        record(path)
    return 0


def _check_all(chosen: argparse.Namespace) -> int:
    sentences = [each for path in find_notebooks(chosen.paths) for each in check(path)]
    print("\n".join(sentences) or "every lesson is normalised")
    return 1 if sentences else 0


def _copy_all(chosen: argparse.Namespace) -> int:
    for sentence in copy_lessons(chosen.source, chosen.folder):
        print(sentence)
    print(f"the lessons are in {chosen.folder}")
    return 0


def _assign_all(chosen: argparse.Namespace) -> int:
    for place in assign_lessons(chosen.source, chosen.folder):
        print(place)
    print(f"in {chosen.folder}: nbgrader generate_assignment NN_topic")
    return 0


def _receive_all(chosen: argparse.Namespace) -> int:
    received = receive_submissions(chosen.course, chosen.name)
    print("\n".join(map(str, received)) or f"nobody has handed in {chosen.name}")
    return 1 if any(each.refused for each in received) else 0


def _show_all(chosen: argparse.Namespace) -> int:
    for place in write_slides(chosen.source, chosen.folder):
        print(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The rooms of the package: what each module may import, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import fiberlab

pytestmark = pytest.mark.once

PACKAGE = Path(fiberlab.__file__).parent

EVERYTHING: set[str] = set()  # filled below: the rooms that may import any other
# What each room may import besides itself: a folder, or a file at the top.
# A room stands below those that it imports, so that the table reads from top to bottom.
ROOMS = {
    # what a student reads
    "errors": set(),
    "waits": set(),
    "states": set(),
    "alarms": set(),
    "coroutines": {"waits"},
    "fiber": {"errors", "waits", "states", "coroutines"},
    "sockets": {"errors", "waits", "coroutines"},
    # between the scheduler, the world and the trace
    "io": {"errors", "waits"},
    "simulation": {"errors", "waits", "io"},
    "trace": {"errors"},
    "recording": {"errors", "waits", "alarms", "io", "trace"},
    "output": {"errors", "io", "trace"},
    "endings": {"alarms", "fiber"},
    "scheduler": {
        *("errors", "waits", "alarms", "fiber", "sockets", "endings"),
        *("io", "recording", "output"),
    },
    "server": {"fiber", "recording", "scheduler"},
    # what is made of a trace; no scheduler is needed for it
    "spans": {"errors", "states", "trace"},
    "report": {"states", "trace", "spans"},
    "diagnosis": {"states", "trace", "spans"},
    "billing": {"states", "trace", "spans", "report", "diagnosis"},
    "pytest_plugin": {"recording", "diagnosis"},
    "exploration": {
        *("errors", "waits", "alarms", "fiber", "scheduler"),
        *("io", "simulation", "trace", "report"),
    },
    "figures": {
        *("waits", "states", "alarms", "trace", "spans", "report", "diagnosis"),
        *("billing", "exploration"),
    },
    "viewer": {
        "states",
        "trace",
        "spans",
        "diagnosis",
        "billing",
        "figures",
        "scheduler",
        "sockets",
    },
    # what uses it all
    "console": {"errors", "trace"},
    "replicator": {"fiber", "sockets", "waits", "trace", "server", "errors", "console"},
    "elsewhere": {
        *("errors", "io", "coroutines", "simulation"),
        *("recording", "trace", "exploration"),
    },
    "lab": None,
    "commands": None,
    "__main__": {"commands"},
}

# Generators only: they yield to whatever runs them.
NEVER = {"replicator.proxy": {"scheduler", "server"}}

DRAWING = {
    *("figures.draw_timeline", "figures.draw_charts", "figures.draw_schedules"),
    *("figures.canvas", "figures.page", "figures.marks", "figures.window", "figures.png"),
}

# Each library has its rooms or modules; "inside functions" keeps `import fiberlab` free of it.
LIBRARIES = {
    "matplotlib": {"figures"},
    "mpl_toolkits": {"figures"},
    "numpy": DRAWING,
    "PIL": {"figures.png"},
    "ipywidgets": {"lab.widgets"},
    "anywidget": {"viewer.notebook"},
    "traitlets": {"viewer.notebook"},
    "IPython": {"lab"},
    "ipykernel": {"lab.notebooks"},
    "jupyter_client": {"lab.notebooks"},
    "nbclient": {"lab.notebooks"},
    "nbconvert": {"lab.slides"},
    "nbformat": {"lab.notebooks", "lab.slides"},
    "h11": {"replicator"},
    "prometheus_client": {"recording.prometheus"},
    "pytest": {"pytest_plugin"},
    "trio": {"elsewhere", "lab"},
    "gevent": {"elsewhere", "lab"},
    "greenlet": {"lab", "elsewhere"},
    "pandas": {"exploration"},
}
ONLY_INSIDE_FUNCTIONS = set(LIBRARIES) - {"ipywidgets", "h11", "pytest", "trio", "greenlet"}
# Through and through for a library: `timeline` and `charts` import it inside a function.
NEEDS_ITS_LIBRARY = DRAWING | {"lab.widgets"}


class Import(NamedTuple):
    """One imported module: its full name, its line, and whether the import runs at once."""

    target: str
    line: int
    when: str  # "at once", "in a function" or "for types"


# -- Reading ---------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Return every module of the package by its name below it; "" is the package itself."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports_of(source: str, package: str) -> Iterator[Import]:
    """Yield what a source imports; `package` is where its relative imports begin."""

    def visit(node: ast.AST, when: str) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, node.lineno, when)
            case ast.ImportFrom():
                base = node.module or ""
                if node.level:
                    parts = package.split(".")
                    base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [base])])
                for alias in node.names:
                    yield Import(f"{base}:{alias.name}", node.lineno, when)
            case ast.Call(args=[ast.Constant(value=str(name)), *_]) if ast.unparse(
                node.func
            ).rpartition(".")[2] in ("import_module", "__import__"):
                yield Import(name, node.lineno, when)
        for field, value in ast.iter_fields(node):
            inner = when
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and field == "body":
                inner = "in a function"
            if (
                isinstance(node, ast.If)
                and field == "body"
                and "TYPE_CHECKING" in ast.unparse(node.test)
            ):
                inner = "for types"
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child, inner)

    return visit(ast.parse(source), "at once")


def inside(target: str) -> str | None:
    """Return the module of the package that a target means, "" for its front, or None."""
    base, _, name = target.partition(":")
    top, _, below = base.partition(".")
    if top != "fiberlab":
        return None
    if not below and name in {known.partition(".")[0] for known in modules()}:
        return name
    return below


# -- The rules -------------------------------------------------------------------------


def may_import(room: str, other: str) -> bool:
    """Whether a room may import another one; both have a place in ROOMS."""
    allowed = ROOMS[room]
    if allowed is None:
        order = list(ROOMS)
        return order.index(other) < order.index(room)
    return other in allowed


def offences(module: str, source: str, *, package: bool = False) -> list[str]:
    """Return a sentence for each import by which a module leaves its place."""
    found = []
    full = f"fiberlab.{module}"
    for each in imports_of(source, full if package else full.rpartition(".")[0]):
        if told := _offence(module, each):
            found.append(f"{module} line {each.line} {told}")
    return found


def _offence(module: str, each: Import) -> str | None:
    target = inside(each.target)
    if target is None:
        return _library_offence(module, each)
    if target == "":
        return None if each.target.endswith(":__version__") else "imports from the package's front"
    room, other = module.partition(".")[0], target.partition(".")[0]
    if not {room, other} <= set(ROOMS):
        return f"imports {target}: one of the two has no place in ROOMS"
    if other in NEVER.get(module, ()):
        return f"imports {target}, which it must not know"
    if room == other or may_import(room, other):
        return None
    return f"imports {target}, and {room} may not import {other}"


def _library_offence(module: str, each: Import) -> str | None:
    library = each.target.partition(":")[0].partition(".")[0]
    if library in sys.stdlib_module_names or each.when == "for types":
        return None
    places = LIBRARIES.get(library)
    if places is None:
        return f"imports {library}, which has no place in LIBRARIES"
    if not {module, module.partition(".")[0]} & places:
        return f"imports {library}, which belongs to {' and '.join(sorted(places))}"
    if module in NEEDS_ITS_LIBRARY:
        return None
    if each.when == "at once" and library in ONLY_INSIDE_FUNCTIONS:
        return f"imports {library} outside a function"
    return None


# -- The tests -------------------------------------------------------------------------


def test_every_module_has_a_place():
    rooms = {name.partition(".")[0] for name in modules() if name}

    assert rooms == set(ROOMS)


def test_the_table_allows_no_circle():
    order = list(ROOMS)
    upwards = [
        (room, other)
        for room, allowed in ROOMS.items()
        for other in allowed or ()
        if order.index(other) >= order.index(room)
    ]

    assert upwards == []


def test_the_table_allows_nothing_that_is_not_used():
    used: dict[str, set[str]] = {room: set() for room in ROOMS}
    for name, path in modules().items():
        package = (
            f"fiberlab.{name}"
            if path.name == "__init__.py"
            else f"fiberlab.{name}".rpartition(".")[0]
        )
        for each in imports_of(path.read_text(encoding="utf-8"), package):
            if (target := inside(each.target)) and name:
                used[name.partition(".")[0]].add(target.partition(".")[0])
    stale = {
        room: left for room, allowed in ROOMS.items() if (left := (allowed or set()) - used[room])
    }

    assert stale == {}


def test_every_import_is_one_that_the_table_allows():
    found = [
        sentence
        for name, path in sorted(modules().items())
        if name
        for sentence in offences(
            name, path.read_text(encoding="utf-8"), package=path.name == "__init__.py"
        )
    ]

    assert found == []


def test_the_map_names_every_folder_and_every_file_of_the_library():
    folders = {f"{name}/" for name in ROOMS if (PACKAGE / name).is_dir()}
    apart = [name for name in modules() if name.startswith(("lab.", "replicator.", "elsewhere."))]
    files = {
        path.name
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    } - {name.rpartition(".")[2] + ".py" for name in apart}

    assert [name for name in sorted(folders | files) if name not in (fiberlab.__doc__ or "")] == []


def test_the_front_of_the_package_imports_nothing_of_it_at_once():
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")

    at_once = [each for each in imports_of(source, "fiberlab") if each.when == "at once"]
    assert [each for each in at_once if inside(each.target) is not None] == []


@pytest.mark.parametrize(
    ("module", "source", "sentence"),
    [
        ("waits", "import fiberlab.scheduler", "waits may not import scheduler"),
        ("fiber", "from .scheduler import Scheduler", "fiber may not import scheduler"),
        ("fiber", "from . import scheduler", "fiber may not import scheduler"),
        ("trace.trace", "from fiberlab.figures import timeline", "trace may not import figures"),
        ("spans.build", "from ..diagnosis import diagnose", "spans may not import diagnosis"),
        ("server", "from . import Scheduler", "imports from the package's front"),
        (
            "waits",
            "def f():\n    from importlib import import_module\n"
            "    import_module('fiberlab.fiber')",
            "waits may not import fiber",
        ),
        ("lab.load", "from ..commands.cli import main", "lab may not import commands"),
        ("elsewhere.trio_", "from ..lab import x", "elsewhere may not import lab"),
        ("replicator.proxy", "from ..scheduler import Scheduler", "which it must not know"),
        ("novelty", "from .waits import RECV", "one of the two has no place in ROOMS"),
        ("scheduler", "def f():\n    import trio", "which belongs to elsewhere and lab"),
        ("figures.timeline", "import matplotlib", "imports matplotlib outside a function"),
        ("lab.load", "from h11 import Request", "which belongs to replicator"),
        ("lab.load", "import ipywidgets", "which belongs to lab.widgets"),
        ("commands.cli", "import requests", "imports requests, which has no place in LIBRARIES"),
    ],
)
def test_a_module_that_leaves_its_place_is_named(module, source, sentence):
    [told] = offences(module, source)

    assert told.startswith(f"{module} line ")
    assert told.endswith(sentence)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("scheduler", "from .fiber import Fiber\nfrom .waits import RECV\nimport heapq"),
        ("diagnosis.evidence", "from ..spans.spans import Span"),
        ("lab.load", "from .background import serving\nfrom ..figures import plot_timeline"),
        ("spans.build", "def f():\n    import heapq\n    from .check import check_story"),
        ("recording.reporter", "from .. import __version__"),
        ("lab.story", "if TYPE_CHECKING:\n    from matplotlib.axes import Axes"),
        ("replicator.proxy", "from ..waits import RECV\nfrom ..sockets import send_all"),
    ],
)
def test_a_module_that_keeps_its_place_is_not_named(module, source):
    assert offences(module, source) == []


def loaded_after(code: str) -> set[str]:
    """Return the names of the modules that a fresh process has after some code."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


@pytest.mark.live
def test_importing_the_package_loads_no_library():
    loaded = loaded_after("import fiberlab")

    assert loaded & set(LIBRARIES) == set()


@pytest.mark.live
def test_a_program_that_serves_loads_no_library():
    loaded = loaded_after("from fiberlab import *\nimport fiberlab.commands.cli, fiberlab.lab")

    assert loaded & set(LIBRARIES) == set()


@pytest.mark.live
def test_matplotlib_is_loaded_when_a_figure_is_drawn():
    ask = "from fiberlab import Scheduler, Trace, plot_timeline\n"
    draw = "trace = Trace(); Scheduler(trace=trace).run(); plot_timeline(trace)"

    assert "matplotlib" not in loaded_after(ask)
    assert "matplotlib" in loaded_after(ask + draw)


@pytest.mark.live
def test_a_trace_is_studied_without_a_scheduler():
    code = "from fiberlab import Trace, build_spans, diagnose, plot_timeline"

    loaded = loaded_after(code)

    assert "fiberlab.spans" in loaded
    assert "fiberlab.scheduler" not in loaded


def modules_that_call(name: str) -> set[str]:
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == name
    }


def test_only_spawn_and_what_runs_a_program_install_signal_handlers():
    assert modules_that_call("signal.signal") == {"server.py", "commands/program.py"}


def test_nothing_that_runs_in_a_thread_prints():
    commands = {"commands/cli.py", "lab/notebooks.py", "lab/misconceptions.py"}
    # The lines of check, of predict and reveal, and of keep and kept.
    answers = {"lab/exercises.py", "lab/predictions.py", "lab/handed_on.py"}
    fibers = {"replicator/proxy.py"}  # a fiber's print is withheld
    said = {"server.py"}  # where it listens

    assert modules_that_call("print") == commands | answers | fibers | said | {
        "lab/lessons/l12_off_the_loop/exercises.py",  # prints to a stream of its own
    }


def test_the_library_neither_sleeps_nor_exits():
    sleepers = {name for name in modules_that_call("time.sleep") if "lessons/" not in name}
    on_purpose = {"lab/demo.py"}  # a fiber that holds the loop, and clients that take their time

    assert sleepers == on_purpose
    assert modules_that_call("sys.exit") == {
        "__main__.py",
        "lab/misconceptions.py",
        "lab/notebooks.py",
        "replicator/__main__.py",
    }


def test_the_scheduler_is_short_enough_to_be_read_whole():
    lines = (PACKAGE / "scheduler.py").read_text("utf-8").splitlines()

    assert len(lines) <= 250
    assert [line for line in lines if len(line) > 90] == []

"""The layers of the package: what each module may import, read from the sources."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import fiberlab

PACKAGE = Path(fiberlab.__file__).parent

# Imports run to lower lines only. A package (lab, replicator, elsewhere) is one place.
LAYERS = [
    {
        *("waits", "poller", "descriptors", "alarms", "errors", "delivery"),
        "coroutines",
        *("watchdog", "whereabouts"),
        *("events", "traceline", "tracefile", "trace", "arrivals"),
    },
    {"fiber", "sockets", "output", "reporter", "connection"},
    {
        *("scheduler", "simulation", "simulated_socket"),
        *("columns", "spans", "evidence", "measures", "tables", "summary", "comparison"),
        "arrows",
        *("finding", "long_steps", "delays", "conduct", "diagnosis"),
    },
    {
        *("timeline", "figures", "drawing", "canvas", "bars", "overlays", "charts", "looks"),
        *("pixels", "perfetto", "server"),
    },
    {"lab", "replicator", "elsewhere"},
    {"cli", "__main__", "arguments"},
]

# Neighbours do not import each other, but for these.
MAY_USE = {
    "diagnosis": {"spans", "columns", "evidence", "finding", "long_steps", "delays", "conduct"},
    "finding": {"columns", "evidence"},  # a finding shows its spans and victims
    "long_steps": {"columns", "evidence", "finding"},  # its sentences are made of spans
    "delays": {"columns", "evidence", "finding", "measures"},
    "conduct": {"columns", "evidence", "finding"},
    "evidence": {"columns"},
    "measures": {"columns", "evidence"},  # the line of a step is where it was seen
    "summary": {"columns", "measures", "spans", "tables"},
    "comparison": {"columns", "measures", "spans", "summary", "tables"},
    "spans": {"columns"},  # where they are kept
    "looks": {"pixels"},
    "canvas": {"looks", "pixels"},
    "bars": {"canvas", "looks", "pixels"},
    "overlays": {"canvas", "looks", "pixels"},
    "drawing": {"bars", "canvas", "looks", "overlays", "pixels"},  # it puts them together
    "charts": {"canvas", "drawing", "looks", "pixels"},  # the same looks, rows and words
    "timeline": {"canvas", "drawing"},  # what needs matplotlib, loaded when a figure is drawn
    "figures": {"charts", "timeline"},
    "poller": {"descriptors", "errors", "waits"},  # it raises SocketBusy; it watches a Socket
    "arrows": {"columns"},  # they go from span to span
    "coroutines": {"waits"},  # what they yield
    "arrivals": {"waits"},  # it asks a Socket
    "traceline": {"events"},  # a line is an event
    "tracefile": {"errors", "events", "traceline"},  # a file is lines; it raises TraceError
    "trace": {"events", "tracefile"},  # it keeps events and saves them
    "watchdog": {"whereabouts"},  # where a stack is
    "whereabouts": {"trace", "events"},  # a path is shortened in one way
    "simulation": {"simulated_socket"},  # what its network hands out
    "lab": {"elsewhere", "replicator"},  # what the lessons show
    "__main__": {"cli"},
    "cli": {"arguments"},  # what they mean
}

# Generators only: they yield to whatever runs them.
NEVER = {"replicator.proxy": {"scheduler", "server"}}

DRAWING = {"drawing", "canvas", "bars", "overlays", "charts", "looks", "pixels"}

# Each library has its places; "inside functions" keeps `import fiberlab` free of it.
LIBRARIES = {
    "matplotlib": {"timeline", "figures", *DRAWING},
    "mpl_toolkits": {"timeline"},
    "numpy": DRAWING,
    "ipywidgets": {"lab.widgets"},
    "IPython": {"lab"},
    "ipykernel": {"lab.notebooks"},
    "jupyter_client": {"lab.notebooks"},
    "nbclient": {"lab.notebooks"},
    "nbformat": {"lab.notebooks"},
    "h11": {"replicator"},
    "trio": {"elsewhere"},
    "greenlet": {"lab"},
}
ONLY_INSIDE_FUNCTIONS = set(LIBRARIES) - {"ipywidgets", "h11", "trio", "greenlet"}
# Drawing through and through: `timeline` imports it inside a function.
NEEDS_ITS_LIBRARY = DRAWING


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


def level(module: str) -> int | None:
    place = module.partition(".")[0]
    return next((n for n, names in enumerate(LAYERS) if place in names), None)


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
    place, other = module.partition(".")[0], target.partition(".")[0]
    mine, theirs = level(module), level(target)
    if mine is None or theirs is None:
        return f"imports {target}: one of the two has no place in LAYERS"
    if other in NEVER.get(module, ()):
        return f"imports {target}, which it must not know"
    if place == other or theirs < mine or other in MAY_USE.get(place, ()):
        return None
    return f"imports {target}, which is not below it"


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
    without = [name for name in modules() if name and level(name) is None]

    assert without == []


def test_imports_run_to_lower_layers_only():
    found = [
        sentence
        for name, path in sorted(modules().items())
        if name
        for sentence in offences(
            name, path.read_text(encoding="utf-8"), package=path.name == "__init__.py"
        )
    ]

    assert found == []


def test_the_front_of_the_package_imports_nothing_of_it_at_once():
    source = (PACKAGE / "__init__.py").read_text(encoding="utf-8")

    at_once = [each for each in imports_of(source, "fiberlab") if each.when == "at once"]
    assert [each for each in at_once if inside(each.target) is not None] == []


@pytest.mark.parametrize(
    ("module", "source", "sentence"),
    [
        ("waits", "import fiberlab.scheduler", "imports scheduler, which is not below it"),
        ("fiber", "from .sockets import accept", "imports sockets, which is not below it"),
        ("fiber", "from . import sockets", "imports sockets, which is not below it"),
        ("trace", "from fiberlab.timeline import draw", "imports timeline, which is not below it"),
        ("spans", "from .diagnosis import diagnose", "imports diagnosis, which is not below it"),
        ("server", "from . import Scheduler", "imports from the package's front"),
        (
            "waits",
            "def f():\n    from importlib import import_module\n"
            "    import_module('fiberlab.fiber')",
            "imports fiber, which is not below it",
        ),
        ("lab.load", "from ..cli import main", "imports cli, which is not below it"),
        ("elsewhere.trio_", "from ..lab import x", "imports lab, which is not below it"),
        ("replicator.proxy", "from ..scheduler import Scheduler", "which it must not know"),
        ("novelty", "from .waits import RECV", "one of the two has no place in LAYERS"),
        ("scheduler", "def f():\n    import trio", "which belongs to elsewhere"),
        ("timeline", "import matplotlib", "imports matplotlib outside a function"),
        ("lab.load", "from h11 import Request", "which belongs to replicator"),
        ("lab.load", "import ipywidgets", "which belongs to lab.widgets"),
        ("cli", "import requests", "imports requests, which has no place in LIBRARIES"),
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
        ("diagnosis", "from .spans import Span"),
        ("lab.load", "from .background import serving\nfrom ..timeline import plot_timeline"),
        ("spans", "def f():\n    import heapq"),
        ("reporter", "from . import __version__"),
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
    loaded = loaded_after("from fiberlab import *\nimport fiberlab.cli, fiberlab.lab")

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


def test_only_spawn_installs_signal_handlers():
    assert modules_that_call("signal.signal") == {"server.py"}


def test_nothing_that_runs_in_a_thread_prints():
    commands = {"cli.py", "lab/notebooks.py", "replicator/__main__.py"}
    answers = {"lab/exercises.py"}  # the lines of predict, reveal and check
    fibers = {"replicator/proxy.py"}  # a fiber's print is withheld
    said = {"server.py"}  # where it listens

    assert modules_that_call("print") == commands | answers | fibers | said | {
        "lab/lessons/l12.py",  # prints to a stream of its own
    }


def test_the_library_neither_sleeps_nor_exits():
    sleepers = {name for name in modules_that_call("time.sleep") if "lessons/" not in name}
    on_purpose = {"lab/demo.py"}  # a fiber that holds the loop, and clients that take their time

    assert sleepers == on_purpose
    assert modules_that_call("sys.exit") == {
        "__main__.py",
        "lab/notebooks.py",
        "replicator/__main__.py",
    }


def test_the_scheduler_is_short_enough_to_be_read_whole():
    assert len((PACKAGE / "scheduler.py").read_text("utf-8").splitlines()) <= 300

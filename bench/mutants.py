"""Break the code on purpose, and see who notices: ``python -m bench.mutants tests | lessons``.

A mutant is the package with one small change: a comparison turned round, a number moved by one,
an argument left out. mutmut thinks them up (``pip install mutmut``; it is no dependency). With
``tests`` each mutant of the core modules is given to the tests; with ``lessons`` some of them,
drawn by a fixed seed, and the five named ones below are given to the lessons, as nbval compares
them. A mutant that somebody notices is *killed*, one that makes a test wait for ever as well; the
others *survive*, and each is shown.

    python -m bench.mutants tests      # all of waits, fiber, scheduler and spans: about two hours
    python -m bench.mutants lessons    # fifty of them, and the named ones: about half an hour

The rule kept here: the source on disk is never touched (see mutated/sitecustomize.py), and what
was found is kept in a file of JSON lines, so that a run that was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from .processes import ROOT

MODULES = ("waits", "fiber", "scheduler", "spans.build")
HOOK = ROOT / "bench" / "mutated"
LESSONS = 50
SEED = 6
MEMORY = 4 << 30  # bytes: a mutant may ask for more than there is

# The tests that know a module best come first: most mutants fall there.
NEAREST = {
    "waits": ["tests/test_waits.py", "tests/test_errors.py"],
    "fiber": ["tests/test_fiber.py", "tests/test_scheduler_endings.py", "tests/test_oracle.py"],
    "scheduler": [f"tests/test_scheduler_{part}.py"
                  for part in ("run", "waits", "parking", "endings", "leaving")],
    "spans.build": ["tests/test_spans.py", "tests/test_trace_files.py"],
}  # fmt: skip

# These are slow and look at other modules, or at the sources on disk.
APART = [
    "tests/lessons",
    "tests/replicator",
    *(f"tests/test_{name}.py" for name in ("bench", "chaos", "historical", "interrupts")),
    *(f"tests/test_{name}.py" for name in ("mutants", "notebooks", "trace")),
]
LIVE = ["server", "sockets", "output", "oracle", "lab_background", "lab_clients"]
LIVE += ["watchdog", "blame"]

NAMED = {
    "WAIT(None) never wakes": (
        "scheduler", 'self._make_ready(woken, runner.id, "fiber")', "pass",
    ),
    "WAIT(0) goes first": ("scheduler", "queue.append(fiber)", "queue.appendleft(fiber)"),
    "time-outs ignored": (
        "scheduler", "fiber.pending = FiberTimeout.of(fiber)", "pass",
    ),
    "ready spans lost": ("spans.build", "READY", "RUNNING"),
    "output misrouted": ("output", "fiber = output.printing()", "fiber = None"),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one module. name: says which, and where."""

    name: str
    module: str
    source: str
    change: str


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant. by: what noticed it, as far as its output tells."""

    name: str
    module: str
    killed: bool
    by: str
    change: str


# -- Mutants ------------------------------------------------------------------


def mutants_of(module: str) -> Iterator[Mutant]:
    """Yield each mutant of a module that mutmut thinks up, in the order of the source."""
    from mutmut.mutation.file_mutation import create_mutations, deep_replace

    path = ROOT / "fiberlab" / f"{module.replace('.', '/')}.py"
    before = path.read_text(encoding="utf-8")
    tree, mutations, _, _ = create_mutations(path.name, before)
    # Outside functions it would misspell names in __all__ and __slots__: mutmut leaves that out.
    inside = [each for each in mutations if each.contained_by_top_level_function is not None]
    for number, each in enumerate(inside, 1):
        after = deep_replace(tree, each.original_node, each.mutated_node).code
        if after != before:
            yield Mutant(f"{module}-{number}", module, after, _change(before, after))


def named_mutants() -> Iterator[Mutant]:
    """Yield the mutants that the lessons have to notice whatever else they do."""
    for name, (module, old, new) in NAMED.items():
        before = (ROOT / "fiberlab" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        if old not in before:
            raise ValueError(f"{module}.py has changed: look for {old!r} anew")
        after = before.replace(old, new)
        yield Mutant(name, module, after, _change(before, after))


def _change(before: str, after: str) -> str:
    """Return the lines that differ, as a diff writes them."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return "\n".join([line for line in lines if not line.startswith(("---", "+++"))])


# -- Trying them --------------------------------------------------------------


def try_on(mutant: Mutant, stages: list[list[str]], seconds: float) -> Verdict:
    """Run one stage after another until one fails; each may take so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / f"{mutant.module}.py"
        source.write_text(mutant.source, encoding="utf-8")
        environment = {
            **{name: value for name, value in os.environ.items() if name != "MPLBACKEND"},
            "PYTHONPATH": os.pathsep.join([str(HOOK), str(ROOT)]),
            "FIBERLAB_MUTANT": f"fiberlab.{mutant.module}={source}",
        }
        by = next(filter(None, (_failure(stage, environment, seconds) for stage in stages)), "")
    return Verdict(mutant.name, mutant.module, bool(by), by, mutant.change)


def _failure(stage: list[str], environment: dict[str, str], seconds: float) -> str:
    """Return how a command fails; empty if it does not."""
    process = subprocess.Popen(
        [sys.executable, *stage], cwd=ROOT, env=environment, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # what the tests started, too
        process.communicate()
        return f"no end within {seconds:g} s"
    if process.returncode == 0:
        return ""
    told = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
    return (told or said.splitlines() or ["exit code only"])[-1][:200]


def stages_of_tests(module: str) -> list[list[str]]:
    """Return the commands that give a mutant to the tests, the quickest first."""
    pytest = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    return [
        [*pytest, *NEAREST[module]],
        [*pytest, "-m", "not live", "tests", *(f"--ignore={path}" for path in APART)],
        [*pytest, "-m", "live", *(f"tests/test_{name}.py" for name in LIVE)],
    ]


def stages_of_lessons() -> list[list[str]]:
    """Return the commands that give a mutant to the lessons, one after the other."""
    nbval = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--nbval"]
    nbval += ["--nbval-current-env", "--nbval-cell-timeout=60"]
    return [[*nbval, str(path)] for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]


def can_be_imported(mutant: Mutant) -> bool:
    """Return whether the package still loads, all of it."""
    code = "import fiberlab as f, fiberlab.lab as b; [getattr(f, n) for n in dir(f)]"
    return not try_on(mutant, [["-c", f"{code}; [getattr(b, n) for n in dir(b)]"]], 30).killed


# -- The command --------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Give mutants to the tests or to the lessons, and say who survived."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=main.__doc__)
    parser.add_argument("what", choices=["tests", "lessons"])
    parser.add_argument("--modules", nargs="+", choices=MODULES, default=list(MODULES))
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--into", type=Path, help="the file of verdicts (bench/results/...)")
    parser.add_argument("--seconds", type=float, default=300, help="the longest for a stage (300)")
    asked = parser.parse_args(arguments)
    into = asked.into or ROOT / "bench" / "results" / f"mutants-{asked.what}.jsonl"
    known = _known(into)
    chosen = list(_for_tests(asked.modules) if asked.what == "tests" else _for_lessons())
    left = [(mutant, stages) for mutant, stages in chosen if mutant.name not in known]
    print(f"{len(chosen)} mutants, {len(left)} to be tried", file=sys.stderr)
    with ThreadPoolExecutor(asked.jobs) as pool, into.open("a", encoding="utf-8") as file:
        for verdict in pool.map(lambda pair: try_on(*pair, asked.seconds), left):
            known[verdict.name] = verdict
            file.write(json.dumps(asdict(verdict)) + "\n")
            file.flush()
            print("killed  " if verdict.killed else "SURVIVED", verdict.name, verdict.by,
                  file=sys.stderr, flush=True)  # fmt: skip
    print(report([known[mutant.name] for mutant, _ in chosen]))
    return 0


def _for_tests(modules: list[str]) -> Iterator[tuple[Mutant, list[list[str]]]]:
    for module in modules:
        for mutant in mutants_of(module):
            yield mutant, stages_of_tests(module)


def _for_lessons() -> Iterator[tuple[Mutant, list[list[str]]]]:
    mutants = [mutant for module in MODULES for mutant in mutants_of(module)]
    random.Random(SEED).shuffle(mutants)
    loading = filter(can_be_imported, mutants)
    for mutant in [*named_mutants(), *(next(loading) for _ in range(LESSONS))]:
        yield mutant, stages_of_lessons()


def _known(path: Path) -> dict[str, Verdict]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {each["name"]: Verdict(**each) for each in map(json.loads, lines)}


def report(verdicts: list[Verdict]) -> str:
    """Return who survived, and for each module how many were killed."""
    told = [f"survived: {each.name}\n{each.change}\n" for each in verdicts if not each.killed]
    named = [each for each in verdicts if each.name in NAMED]
    groups = {"named": named} if named else {}
    groups["all" if not named else "drawn"] = drawn = [e for e in verdicts if e not in named]
    for module in MODULES:
        groups[module] = [each for each in drawn if each.module == module]
    for name, group in groups.items():
        if group:
            killed = sum(each.killed for each in group)
            told.append(f"{name}: {killed} of {len(group)} killed, {killed / len(group):.0%}")
    return "\n".join(told)


if __name__ == "__main__":
    raise SystemExit(main())

"""The files that say what is installed agree with each other, and name no machine."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = "lessons,test,replicator"
PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
SYSTEMS = {"linux": "posix", "darwin": "posix", "win32": "nt"}
ANYWHERE = list(itertools.product(PYTHONS, SYSTEMS))


def read(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text("utf-8")


def pin_lines() -> list[str]:
    """Return the lines of constraints.txt that pin something."""
    return [line for line in read("constraints.txt").splitlines() if not line.startswith("#")]


def pins(python: str, system: str) -> dict[str, list[str]]:
    """Return the versions that constraints.txt allows of each package on one system."""
    there = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": system,
        "os_name": SYSTEMS[system],
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    found: dict[str, list[str]] = {}
    for pin in map(Requirement, pin_lines()):
        if pin.marker is None or pin.marker.evaluate(there):
            found.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier))
    return found


def direct_requirements() -> list[Requirement]:
    """Return what pyproject.toml itself asks for, extras included."""
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(each) for each in (*PROJECT["dependencies"], *itertools.chain(*extras))]


def environment_lines() -> list[str]:
    """Return the entries of environment.yml, without their indentation and dashes."""
    lines = (line.strip().removeprefix("- ") for line in read("environment.yml").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def test_every_pin_is_one_exact_version() -> None:
    shape = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+( ; .+)?")

    assert [line for line in pin_lines() if not shape.fullmatch(line)] == []


@pytest.mark.parametrize(("python", "system"), ANYWHERE)
def test_no_package_has_two_pins_on_one_system(python: str, system: str) -> None:
    assert {name: found for name, found in pins(python, system).items() if len(found) > 1} == {}


@pytest.mark.parametrize(("python", "system"), ANYWHERE)
def test_the_pins_meet_what_pyproject_asks_for(python: str, system: str) -> None:
    pinned = pins(python, system)

    for wanted in direct_requirements():
        (pin,) = pinned[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(pin.removeprefix("=="))


def test_all_that_is_installed_for_fiberlab_is_pinned_at_that_version() -> None:
    """Follow the requirements of the installed packages: the whole closure has its pin."""
    here = {
        canonicalize_name(pin.name): pin
        for pin in map(Requirement, pin_lines())
        if pin.marker is None or pin.marker.evaluate()
    }
    to_follow = direct_requirements()
    seen: set[str] = set()
    wrong = []
    while to_follow:
        wanted = to_follow.pop()
        name = canonicalize_name(wanted.name)
        if (key := f"{name}{sorted(wanted.extras)}") in seen:
            continue
        seen.add(key)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # An extra that is not installed here.
        if name not in here or not here[name].specifier.contains(found.version):
            wrong.append(f"{name} {found.version}, pinned: {here.get(name)}")
        for each in map(Requirement, found.requires or []):
            extras = wanted.extras or {""}
            if each.marker is None or any(each.marker.evaluate({"extra": e}) for e in extras):
                to_follow.append(each)

    assert wrong == []


def test_conda_installs_what_pip_installs() -> None:
    lines = environment_lines()

    assert {"conda-forge", "pip", "jupyter"} <= set(lines)
    assert lines[lines.index("pip:") + 1 :] == [
        "--constraint constraints.txt",
        f"--editable .[{EXTRAS}]",
    ]


def test_conda_takes_a_python_that_is_tried() -> None:
    (python,) = [line for line in environment_lines() if line.startswith("python")]

    assert python.removeprefix("python=") in PYTHONS


def test_binder_needs_no_more_than_environment_and_post_build() -> None:
    """Binder looks for a folder of its own first, and in it for all: there must be none."""
    assert not (ROOT / "binder").exists()
    assert not (ROOT / ".binder").exists()
    assert environment_lines()[0] == "name: fiberlab"
    # Binder has ready environments for a minor version; it takes the number after "=".
    assert re.search(r"^  - python=3\.\d+$", read("environment.yml"), re.MULTILINE)
    # A constraint or a "." is what makes it copy the whole repository before it installs.
    assert "--constraint constraints.txt" in environment_lines()


def test_the_workflow_tries_every_python_on_every_system() -> None:
    """Not yet run, which it and CONTRIBUTING.md say; that it is right can be read at least."""
    text = read(".github/workflows/tests.yml")
    workflow = yaml.safe_load(text)
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    commands = [step.get("run", "") for step in workflow["jobs"]["tests"]["steps"]]

    assert matrix == {"system": ["ubuntu", "macos", "windows"], "python": PYTHONS}
    assert f'python -m pip install -c constraints.txt -e ".[{EXTRAS}]"' in commands
    assert text.startswith("# Not yet run") == (
        "it has not been run yet" in read("CONTRIBUTING.md")
    )


@pytest.mark.posix
def test_post_build_makes_copies_without_outputs(tmp_path: Path) -> None:
    """Run as Binder does: in a folder with the repository's files, by its shebang."""
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    assert os.access(ROOT / "postBuild", os.X_OK)
    subprocess.run(
        [ROOT / "postBuild"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )

    lessons = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    copies = sorted((tmp_path / "lessons").glob("*.ipynb"))
    assert [path.name for path in copies] == lessons
    assert all('"output_type"' not in path.read_text("utf-8") for path in copies)


def test_make_installs_every_extra_under_the_pins() -> None:
    assert f"--constraint constraints.txt --editable '.[{EXTRAS}]'" in re.sub(
        r"\\\n\s*", "", read("Makefile")
    )
    # Not bench: its peers are measured beside us, and not all of them install everywhere.
    apart = {"bench", "cluster", "site"}
    assert set(EXTRAS.split(",")) == set(PROJECT["optional-dependencies"]) - apart


def test_only_matplotlib_is_needed_to_run() -> None:
    assert [Requirement(each).name for each in PROJECT["dependencies"]] == ["matplotlib"]


def test_the_classifiers_name_the_pythons_that_are_allowed() -> None:
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if ":: 3." in line]

    assert named == PYTHONS
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(each) for each in PYTHONS)


def test_the_changelog_tells_of_this_version() -> None:
    import fiberlab

    assert f"\n## {fiberlab.__version__}" in read("CHANGELOG.md")


def test_no_file_names_a_registry_or_a_path_of_this_machine() -> None:
    """Every file that git keeps: what is true on one machine only does not belong there."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    machine = {str(ROOT), str(Path.home()), os.path.realpath(sys.prefix)} - {"/"}
    words = [rf"{re.escape(path)}(?![\w.-])" for path in machine]
    words += [
        r"\b(?:extra-)?index" + r"-url\b",
        r"\bfiles\.python" + r"hosted\b",
        r"/simple" + r"/",
    ]
    pattern = re.compile("|".join(words))

    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and (match := pattern.search(path.read_text("utf-8", "replace"))):
            found.append(f"{name}: {match[0]}")
    assert found == []


def test_what_windows_has_not_can_be_hidden_from_a_process_and_its_children() -> None:
    ask = (
        "import os, select, selectors, signal, subprocess, sys\n"
        "print([hasattr(os, 'fork'), hasattr(select, 'epoll'), hasattr(select, 'poll'),"
        " hasattr(signal, 'SIGHUP'), selectors.DefaultSelector.__name__], flush=True)\n"
        "if sys.argv[1:]:\n"
        "    subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)\n"
    )
    hiding = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "without_posix")}

    told = subprocess.run(
        [sys.executable, "-c", ask, ask], env=hiding, capture_output=True, text=True, check=True
    )

    assert told.stdout == "[False, False, False, False, 'SelectSelector']\n" * 2

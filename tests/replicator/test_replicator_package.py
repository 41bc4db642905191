"""The replicator as a whole: small enough to read in one sitting, recorded, and measured."""

from __future__ import annotations

import ast
import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

import fiberlab.replicator
from fiberlab.trace import Trace

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(fiberlab.replicator.__file__).parent
DATA = ROOT / "data"
NAME = "replicator-joined.fiber.jsonl"


def test_the_package_is_read_in_two_sittings():
    """HTTP is read first, then what is made with it: each about as long as a lesson."""
    sources = {path.relative_to(PACKAGE): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    long = [
        (name, node.name)
        for name, source in sources.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 25
    ]

    assert sum(len(source.splitlines()) for source in sources.values()) <= 2000
    assert long == []


# -- The recording of twelve clients -----------------------------------------------------


@pytest.fixture(scope="module")
def recording():
    return Trace.load(DATA / NAME)


def test_the_recording_is_what_the_readme_says(recording):
    readme = (DATA / "README.md").read_text("utf-8")
    text = readme.partition(f"## {NAME}\n")[2].partition("\n## ")[0]
    fibers = [event for event in recording if event.ev == "spawn"]
    header = recording.header

    assert hashlib.sha256((DATA / NAME).read_bytes()).hexdigest() in text
    assert f"{len(list(recording))} events of {len(fibers)} fibers" in text
    assert f"{header['wall']}, Python {header['python']}" in text
    assert (DATA / "replicator-joined.png").read_bytes().startswith(b"\x89PNG")


def test_the_recording_has_twelve_clients_that_join_one_download(recording):
    names = [event.name.partition("-")[0] for event in recording if event.ev == "spawn"]
    parked = {event.fid for event in recording if event.ev == "wake" and event.why == "fiber"}

    assert Counter(names) == {"accept": 1, "serve": 12, "fetch": 1}
    assert len(parked) == 12


# -- The figures ---------------------------------------------------------------------------


def test_the_bench_tells_the_ratios_to_proxies_people_use():
    """bench/README.md has the ratios that stand in the table of bench/replicator.md."""
    row = r"^\| (\w+) \| (squid|tinyproxy) \| %s([\d.]+) \|"
    full = re.findall(row % r"[^|]+ \| ", (ROOT / "bench/replicator.md").read_text("utf-8"), re.M)
    short = re.findall(row % "", (ROOT / "bench/README.md").read_text("utf-8"), re.M)

    assert short == full
    assert len(full) == 5

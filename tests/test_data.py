"""The recorded traces: what README.md says of them is so, and they still tell what they told."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import pytest

from fiberlab import FiberState, Trace, build_spans, diagnose, write_perfetto
from fiberlab.diagnosis.finding import Diagnosis
from fiberlab.spans.check import check_story

sys.path.insert(0, str(Path(__file__).parent))

from perfetto_checker import problems, read

DATA = Path(__file__).resolve().parent.parent / "data"
README = (DATA / "README.md").read_text("utf-8")
RECORDED = [
    "blocker.fiber.jsonl",
    "busy-waiting.fiber.jsonl.gz",
    "crash.fiber.jsonl",
    "cure.fiber.jsonl",
    "deadlock.fiber.jsonl",
    "healthy.fiber.jsonl",
    "late-timers.fiber.jsonl",
    "slow-reader.fiber.jsonl",
]


def section(name: str) -> str:
    """Return what README.md says of a recording."""
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", README, re.S | re.M)
    assert found is not None
    return found[1]


def said(name: str, what: str) -> str:
    found = re.search(rf"^- {what}: (.*)$", section(name), re.M)
    assert found is not None
    return found[1]


def findings(name: str) -> list[Diagnosis]:
    return list(diagnose(Trace.load(DATA / name), most=None))


def test_every_recording_is_listed_and_there():
    there = {path.name for path in DATA.iterdir() if ".fiber.jsonl" in path.name}
    listed = set(re.findall(r"^## (\S+\.fiber\.jsonl\S*)$", README, re.M))

    assert set(RECORDED) <= there
    assert set(RECORDED) <= listed


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_is_what_the_readme_says(name):
    path = DATA / name
    trace = Trace.load(path)
    fibers = sum(event.ev == "spawn" for event in trace)

    assert said(name, "sha256") == f"`{hashlib.sha256(path.read_bytes()).hexdigest()}`"
    assert said(name, "holds") == f"{len(trace)} events of {fibers} fibers"
    assert said(name, "command") == f"`python data/record.py {name.partition('.')[0]}`"
    header = trace.header
    assert said(name, "recorded").startswith(f"{header['wall']}, Python {header['python']}, ")


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_is_small_whole_and_keeps_the_laws(name):
    trace = Trace.load(DATA / name)

    assert ((DATA / name).stat().st_size < 200_000, trace.dropped, trace.unfinished) == (
        True, 0, False,
    )  # fmt: skip
    check_story(trace)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_names_no_machine_and_no_folder(name):
    for event in Trace.load(DATA / name):
        for text in event.fields.values():
            assert "/" not in str(text) or event.ev == "output"


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_can_be_written_for_perfetto(tmp_path, name):
    write_perfetto(Trace.load(DATA / name), tmp_path / "run.json")

    assert problems(read(tmp_path / "run.json")) == []


@pytest.mark.parametrize("name", ["healthy.fiber.jsonl", "cure.fiber.jsonl"])
def test_who_did_nothing_wrong_is_not_accused(name):
    assert [str(found) for found in findings(name)] == []


def test_the_blocking_call_is_found_with_its_line_and_victims():
    worst = findings("blocker.fiber.jsonl")[0]

    assert (worst.kind, worst.name, worst.certainty) == (
        "blocking call", "echo-3", "certain",
    )  # fmt: skip
    assert "it was inside time.sleep(0.4)" in str(worst)
    assert "Use `yield WAIT(0.4)`" in str(worst)
    assert {victim.name for victim in worst.victims} == {
        f"echo-{number}" for number in (2, 4, 5, 6)
    }
    assert 0.36e9 < worst.victims[0].waited < 0.44e9


def test_the_blocking_call_hid_data_for_most_of_its_time():
    wakes = [event for event in Trace.load(DATA / "blocker.fiber.jsonl") if event.ev == "wake"]

    assert 0.36e9 < max(wake.hidden or 0 for wake in wakes) < 0.41e9


@pytest.mark.parametrize(
    ("name", "kind", "fiber"),
    [
        ("busy-waiting.fiber.jsonl.gz", "busy waiting", "echo_that_spins-3"),
        ("crash.fiber.jsonl", "crash", "echo_that_fails-3"),
        ("deadlock.fiber.jsonl", "deadlock", "left-1"),
    ],
)
def test_what_is_wrong_is_found_and_nothing_else(name, kind, fiber):
    assert [(each.kind, each.name) for each in findings(name)] == [(kind, fiber)]


def test_timers_that_were_late_are_found_and_no_step_is_blamed():
    kinds = {each.kind for each in findings("late-timers.fiber.jsonl")}

    assert "late timer" in kinds
    assert kinds & {"blocking call", "CPU hog", "long step"} == set()


def test_the_handler_of_a_slow_reader_waits_to_send_and_is_not_blamed():
    name = "slow-reader.fiber.jsonl"
    spans = build_spans(Trace.load(DATA / name))

    sending = [spans.totals(life.id)[FiberState.SEND] for life in spans.lives]
    assert max(sending) > 0.2e9
    assert [str(found) for found in findings(name) if found.blames] == []

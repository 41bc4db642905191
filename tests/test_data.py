"""The recorded traces: what README.md says of them is so, and they still tell what they told."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib import pyplot as plt

from fiberlab import (
    FiberState,
    Limits,
    Trace,
    build_spans,
    diagnose,
    plot_timeline,
    summarize,
    write_perfetto,
)
from fiberlab.diagnosis.finding import Finding
from fiberlab.figures import describe_timeline
from fiberlab.lab import longest_step
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


def findings(name: str) -> list[Finding]:
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
def test_a_run_without_a_fault_is_not_blamed(name):
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


@pytest.mark.parametrize("name", RECORDED)
def test_a_sentence_a_table_a_label_and_a_fact_name_the_same_line(name):
    """Of the longest step of each fiber, and of each step that held the loop."""
    trace = Trace.load(DATA / name)
    spans = build_spans(trace)
    longest = {
        life.id: max(steps, key=lambda i: (spans.end[i] - spans.start[i], -i))
        for life in spans.lives
        if (steps := [i for i in spans.steps() if spans.lives[spans.row[i]].id == life.id])
    }
    long = {spans[i]: spans.held_at(i) for i in spans.steps(Limits().step)}
    told = [each for each in diagnose(trace, most=None) if each.spans and each.spans[0] in long]
    sentences = {max(each.spans, key=lambda span: span.length): each.text for each in told}
    with matplotlib.rc_context({"backend": "Agg"}):
        labels = [text.get_text() for text in plot_timeline(trace).texts]
        plt.close("all")
    words = describe_timeline(trace, steps=len(spans.steps()))
    labels = [text.rpartition("  ")[0] for text in labels if re.match(r"\S+\.py:\d+.*  ", text)]

    assert {each.id: each.longest_at for each in summarize(trace).fibers if each.steps} == {
        fiber: spans.held_at(step).text for fiber, step in longest.items()
    }
    assert [longest_step(trace, fiber).src for fiber in longest] == [
        spans.held_at(step).text for step in longest.values()
    ]
    assert all(held.first in sentences.get(span, held.first) for span, held in long.items())
    assert all(held.text in words for held in long.values())
    assert set(labels) <= {held.text for held in long.values()}
    assert "None" not in words

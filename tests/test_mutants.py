"""The command that breaks the code on purpose: a mutant reaches every process, the disk none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from bench import mutants

SCHEDULER = Path(mutants.ROOT, "fiberlab", "scheduler.py")
TWO = "import fiberlab.scheduler as s, inspect; assert not hasattr(s, 'MUTANT'), 'seen'"


def mutant_with(added: str) -> mutants.Mutant:
    source = SCHEDULER.read_text(encoding="utf-8") + added
    return mutants.Mutant("scheduler-1", "scheduler", source, added)


@pytest.mark.live
@pytest.mark.posix
def test_a_mutant_is_run_in_place_of_its_module_and_the_source_that_is_shown_stays():
    shown = "import fiberlab.scheduler as s, inspect; assert 'MUTANT' not in inspect.getsource(s)"
    before = SCHEDULER.read_bytes()

    verdict = mutants.try_on(mutant_with("\nMUTANT = 1\n"), [["-c", shown], ["-c", TWO]], 60)

    assert (verdict.killed, verdict.by) == (True, "AssertionError: seen")
    assert SCHEDULER.read_bytes() == before


@pytest.mark.live
@pytest.mark.posix
def test_a_mutant_that_nobody_notices_survives():
    verdict = mutants.try_on(mutant_with("\n"), [["-c", TWO]], 60)

    assert not verdict.killed


@pytest.mark.live
@pytest.mark.posix
def test_a_mutant_that_never_ends_is_killed():
    verdict = mutants.try_on(mutant_with("\nwhile True: pass\n"), [["-c", TWO]], 1.0)

    assert verdict.by == "no end within 1 s"


def test_each_named_mutant_still_finds_the_text_it_changes():
    for each in mutants.named_mutants():
        compile(each.source, each.name, "exec")
        assert each.change


def test_the_report_shows_survivors_and_shares():
    kept = mutants.Verdict("waits-1", "waits", False, "", "@@ -1 +1 @@\n-a\n+b")
    found = dataclasses.replace(kept, name="waits-2", killed=True)

    assert mutants.report([kept, found]) == (
        "survived: waits-1\n@@ -1 +1 @@\n-a\n+b\n\n"
        "all: 1 of 2 killed, 50%\nwaits: 1 of 2 killed, 50%"
    )

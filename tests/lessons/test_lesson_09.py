"""Lesson 09, queues and tails: its simulation, its question and its exercises."""

from __future__ import annotations

import itertools
import math
import random
import statistics
from collections import deque

import pytest
from misconceptions import Wrong

from fiberlab import FiberState, build_spans
from fiberlab.lab import examine
from fiberlab.lab.lessons.l09_queues_and_tails import experiment, percentile, recorded, simulate
from fiberlab.lab.lessons.l09_queues_and_tails.question import which_truth
from fiberlab.lab.shared.overloaded_server import overload

# -- The simulation --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "p99_ms", "slow"), [(None, 0.3, 1), (500, 183.3, 95), (1000, 193.3, 229)]
)
def test_a_stall_is_hidden_in_a_closed_loop_and_not_in_an_open_one(rate, p99_ms, slow):
    latencies = [each.latency for each in simulate(0.2, rate)]

    assert len(latencies) == 1000
    assert round(1000 * percentile(latencies, 99), 1) == p99_ms
    assert sum(latency > 0.04 for latency in latencies) == slow


def test_latency_since_sending_makes_an_open_loop_look_closed():
    seconds = [each.answered - each.sent for each in simulate(0.2, 1000)]

    assert round(1000 * percentile(seconds, 99), 1) == 0.3
    assert sum(each > 0.04 for each in seconds) == 1


@pytest.mark.parametrize(
    ("percent", "value"), [(1, 1), (20, 1), (21, 2), (50, 3), (99, 5), (100, 5)]
)
def test_a_percentile_is_the_value_at_the_nearest_rank(percent, value):
    assert percentile([5, 1, 4, 2, 3], percent) == value


# -- Poisson arrivals ------------------------------------------------------------------


@pytest.mark.parametrize(("load", "mean_ms", "p99_ms"), [(0.6, 17.5, 55), (0.82, 32.8, 123)])
def test_the_simulated_latency_is_that_of_theory_and_of_an_independent_computation(
    load, mean_ms, p99_ms
):
    requests = [1000 * each.latency for each in overload(deque(), load, seconds=300)]
    theory = 10 * (1 + load / (2 * (1 - load)))  # Pollaczek and Khinchine
    chance, waited, alone = random.Random(1), 0.0, []
    for _ in range(100_000):  # Lindley: who comes waits for what is left of the work before it
        alone.append(waited + 10)
        waited = max(0.0, waited + 10 - chance.expovariate(load / 10))

    assert theory == pytest.approx(mean_ms, rel=0.01)
    for latencies in (requests, alone):
        assert statistics.mean(latencies) == pytest.approx(theory, rel=0.05)
        assert percentile(latencies, 99) == pytest.approx(p99_ms, rel=0.06)


# -- Traces in data --------------------------------------------------------------------


def test_a_recorded_trace_is_found_in_a_folder_above(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "__file__", str(tmp_path / "a/b/c/d/experiment.py"))
    (tmp_path / "data").mkdir()
    (tmp_path / "below" / "lessons").mkdir(parents=True)
    recorded_events = len(BLOCKER)
    BLOCKER.save(tmp_path / "data" / "mine.fiber.jsonl")
    monkeypatch.chdir(tmp_path / "below" / "lessons")

    assert len(recorded("mine")) == recorded_events


def test_a_trace_that_is_not_there_is_named():
    with pytest.raises(FileNotFoundError, match=r"no data/gone\.fiber\.jsonl"):
        recorded("gone")


# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "opened", "choice"),
    [(0.0004, 0.0005, "a"), (0.2, 0.19, "b"), (0.0004, 0.19, "c"), (0.2, 0.0005, "d")],
)
def test_which_truth_follows_from_both_p99(closed, opened, choice):
    assert which_truth({"closed": closed, "open": opened}) == choice


# -- Exercise 1: a trace in numbers ----------------------------------------------------

BLOCKER = recorded("blocker")
SPANS = build_spans(BLOCKER)
WHOLE = SPANS.finish - SPANS.begin
STEPS = [span for span in SPANS if span.state is FiberState.RUNNING]
WAITS = [span for span in SPANS if span.state is not FiberState.RUNNING]
USED = sum(step.length for step in STEPS) / WHOLE
GAP_NS = max(b.start - a.end for a, b in itertools.pairwise(STEPS))
GAP = GAP_NS / 1e6

OF_PROCESSOR = sum(step.cpu or 0 for step in STEPS) / WHOLE
OF_LIVES = sum(step.length for step in STEPS) / sum(span.length for span in SPANS)
LONGEST_WAIT = max(wait.length for wait in WAITS) / 1e6
LONGEST_STEP = max(step.length for step in STEPS) / 1e6


@pytest.mark.parametrize("answer", [(USED, GAP), (round(USED, 2), round(GAP)), [USED, GAP]])
def test_utilisation_and_gap_may_be_rounded(answer):
    told = "passed: the loop was held for 72%, the longest gap was 22 ms"

    assert str(examine("l09-e1", answer, BLOCKER)) == told


@pytest.mark.parametrize("answer", [(..., GAP), (USED, ...), (..., ...)])
def test_dots_are_no_attempt(answer):
    assert not examine("l09-e1", answer, BLOCKER).attempted


def given_trace():
    return (BLOCKER,)


# -- Exercise 2: the nearest rank ------------------------------------------------------


def nearest_rank(values, percent):
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def rank_as_index(values, percent):
    return sorted(values)[min(len(values) - 1, math.ceil(len(values) * percent / 100))]


def share_as_index(values, percent):
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def rounded_down(values, percent):
    return sorted(values)[max(0, int(len(values) * percent / 100) - 1)]


def rounded_to_even(values, percent):
    return sorted(values)[max(1, round(len(values) * percent / 100)) - 1]


def interpolated(values, percent):
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[min(98, percent - 1)]


def not_sorted(values, percent):
    return values[math.ceil(len(values) * percent / 100) - 1]


def sorted_in_place(values, percent):
    values.sort()
    return values[math.ceil(len(values) * percent / 100) - 1]


def test_the_value_at_the_nearest_rank_passes():
    assert str(examine("l09-e2", nearest_rank)) == "passed: 7 percentiles at their nearest ranks"


# -- Exercise 3: from the moment it was due --------------------------------------------


def since_due(log, rate):
    return [answered - number / rate for number, (_, answered) in enumerate(log)]


def since_sent(log, rate):
    return [answered - sent for sent, answered in log]


def since_the_last_was_sent(log, rate):
    due, latencies = 0.0, []
    for sent, answered in log:
        latencies.append(answered - due)
        due = sent + 1 / rate
    return latencies


def counting_from_one(log, rate):
    return [answered - number / rate for number, (_, answered) in enumerate(log, 1)]


def leaving_the_slow_out(log, rate):
    return [each for each in since_due(log, rate) if each < 0.1]


def lateness(log, rate):
    return [sent - number / rate for number, (sent, _) in enumerate(log)]


def test_latencies_since_each_was_due_pass():
    told = "passed: 229 of 1000 were slow, p99 is 193 ms"

    assert str(examine("l09-e3", since_due)) == told


WRONG = (
    Wrong("l09-e1", (100 * USED, GAP), "that is in percent", given_trace),
    Wrong("l09-e1", (OF_LIVES, GAP), "divide by the run, not by the fibers' lives", given_trace),
    Wrong("l09-e1", (OF_PROCESSOR, GAP), "its time, not the processor's", given_trace),
    Wrong("l09-e1", (1 - USED, GAP), "in which no fiber ran", given_trace),
    Wrong("l09-e1", (0.5, GAP), "add up the steps", given_trace),
    Wrong("l09-e1", (USED, GAP_NS), "spans are in nanoseconds", given_trace),
    Wrong("l09-e1", (USED, GAP / 1000), "that is in seconds", given_trace),
    Wrong("l09-e1", (USED, LONGEST_WAIT), "one fiber's longest wait", given_trace),
    Wrong("l09-e1", (USED, LONGEST_STEP), "that is the longest step", given_trace),
    Wrong("l09-e1", (USED, 7), "from one step's end", given_trace),
    Wrong("l09-e2", rank_as_index, "rank 1 is the smallest"),
    Wrong("l09-e2", share_as_index, "rank 1 is the smallest"),
    Wrong("l09-e2", rounded_down, "round the rank up"),
    Wrong("l09-e2", rounded_to_even, "round the rank up"),
    Wrong("l09-e2", interpolated, "a value that occurred"),
    Wrong("l09-e2", not_sorted, "sort first"),
    Wrong("l09-e2", sorted_in_place, "makes a new one"),
    Wrong("l09-e3", since_sent, "the client sent late"),
    Wrong("l09-e3", since_the_last_was_sent, "due times are fixed beforehand"),
    Wrong("l09-e3", counting_from_one, "count from 0"),
    Wrong("l09-e3", leaving_the_slow_out, "one for each request"),
    Wrong("l09-e3", lateness, "due at n / rate seconds"),
)

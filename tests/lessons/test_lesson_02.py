"""Lesson 02, a scheduler in 15 lines: what its question and its exercises make of an answer."""

from __future__ import annotations

import contextlib
from collections import deque

import matplotlib.pyplot as plt
import pytest
from misconceptions import Wrong

from fiberlab import SimulatedClock
from fiberlab.lab import examine
from fiberlab.lab.lessons.l02_scheduler_in_15_lines import (
    draw_schedule,
    draw_toy,
    draw_two_kinds,
    noted,
)
from fiberlab.lab.lessons.l02_scheduler_in_15_lines.exercises import longest_gap
from fiberlab.lab.lessons.l02_scheduler_in_15_lines.experiment import Step
from fiberlab.lab.lessons.l02_scheduler_in_15_lines.question import first_eight
from fiberlab.lab.shared.grown import Turns

# -- The question, the notes and the figures -------------------------------------------


@pytest.mark.parametrize(
    ("names", "choice"),
    [
        ("ann ben cat ann ben cat ann ben", "a"),
        ("ann ben cat ann ben ann ben ann ben", "b"),
        ("ann ann ann ann ann ben ben ben", "c"),
        ("ann ben cat ann ben ann cat ben", "d"),
    ],
)
def test_the_first_eight_steps_decide(names, choice):
    assert first_eight([Step(name, 0, 1, None) for name in names.split()]) == choice


def test_each_step_of_a_fiber_is_noted_with_its_times():
    def work(clock):
        clock.burn(1)
        yield 3
        clock.burn(2)
        return "done"

    clock, steps = SimulatedClock(), []
    [fiber] = noted({"ann": work(clock)}, clock, steps)
    yielded = list(fiber)

    assert yielded == [3]
    assert steps == [Step("ann", 0, 1, 3), Step("ann", 1, 3, None, last=True)]


def test_the_longest_gap_counts_the_steps_of_others():
    assert longest_gap(["a", "b", "b", "a", "b"], "a") == 2
    assert longest_gap(["b", "b"], "a") == 2


def test_the_figures_name_what_they_show():
    fig, axes = plt.subplots(1, 4)
    draw_schedule(axes[0], [Step("ann", 0, 1, 3), Step("ben", 1, 2, None), Step("ann", 4, 5, None)])
    draw_toy(axes[1])
    draw_two_kinds(*axes[2:])
    rows = [label.get_text() for label in axes[0].get_yticklabels()]
    words = {text.get_text() for text in axes[1].texts}
    titles = [ax.get_title() for ax in axes[2:]]
    plt.close(fig)

    assert rows == ["ann", "ben"]
    assert {"run queue", "sleepers", "next(fiber)", "popleft"} <= words
    assert titles == ["concurrent", "concurrent and parallel"]


# -- Exercise 1: last come, first served -----------------------------------------------


def run_with(fibers, take, put=deque.append):
    queue = deque(fibers)
    while queue:
        fiber = take(queue)
        try:
            next(fiber)
        except StopIteration:
            continue
        put(queue, fiber)


def last_come(fibers):
    run_with(fibers, deque.pop)


def round_robin(fibers):
    run_with(fibers, deque.popleft)


def backwards(fibers):
    run_with(list(reversed(fibers)), deque.popleft)


def one_step_each(fibers):
    run_with(fibers, deque.pop, put=lambda queue, fiber: None)


def never_ended(fibers):
    queue = deque(fibers)
    while queue:
        queue.append(fiber := queue.pop())
        next(fiber, None)


# -- Exercise 2: starve a fiber --------------------------------------------------------


def victim_last(fibers):
    round_robin(fibers[1:])
    round_robin(fibers[:1])


def without_the_victim(fibers):
    round_robin(fibers[1:])


def victim_at_the_end_of_the_queue(fibers):
    round_robin([*fibers[1:], fibers[0]])


# -- Exercise 3: the first step of a scheduler -----------------------------------------


class WithoutEnd(Turns):
    def run_ready(self):
        while self.queue:
            self.turn(self.queue.popleft())


class RunToItsEnd(Turns):
    def turn(self, fiber):
        for wait in fiber:
            self.park(fiber, wait)


class WithoutSelf(Turns):
    def turn(fiber):  # noqa: N805
        next(fiber)


class OneATime(Turns):
    def run_ready(self):
        self.turn(self.queue.popleft())


class LastCome(Turns):
    def run_ready(self):
        for _ in range(len(self.queue)):
            self.turn(self.queue.pop())


class WithoutTurn(Turns):
    def run_ready(self):
        for _ in range(len(self.queue)):
            fiber = self.queue.popleft()
            with contextlib.suppress(StopIteration):
                self.park(fiber, next(fiber))


class DroppedAfterOneStep(Turns):
    def turn(self, fiber):
        next(fiber, None)


class ParkedWithNothing(Turns):
    def turn(self, fiber):
        try:
            next(fiber)
        except StopIteration:
            return
        self.park(fiber, None)


class BackIntoTheQueue(Turns):
    def turn(self, fiber):
        with contextlib.suppress(StopIteration):
            next(fiber)
            self.queue.append(fiber)


class NotCaught(Turns):
    def turn(self, fiber):
        self.park(fiber, next(fiber))


class EndedComesAgain(Turns):
    def turn(self, fiber):
        self.park(fiber, next(fiber, None))


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [("l02-e1", last_come), ("l02-e2", victim_last), ("l02-e2", last_come), ("l02-e3", Turns)],
)
def test_a_right_answer_passes(exercise, answer):
    assert examine(exercise, answer).passed


WRONG = (
    Wrong("l02-e1", round_robin, "that is round robin still"),
    Wrong("l02-e1", backwards, "put in last, so it is next"),
    Wrong("l02-e1", one_step_each, "put it into the queue again"),
    Wrong("l02-e1", never_ended, "the traceback there names the line"),
    Wrong("l02-e2", round_robin, "in round robin each of the others gets one step"),
    Wrong("l02-e2", victim_at_the_end_of_the_queue, "let them have more before ann's turn"),
    Wrong("l02-e2", without_the_victim, "a fiber that is dropped is not ready"),
    Wrong("l02-e3", WithoutEnd, "a pass has an end"),
    Wrong("l02-e3", RunToItsEnd, "turn resumes a fiber once"),
    Wrong("l02-e3", WithoutSelf, "the first name of a method is self"),
    Wrong("l02-e3", OneATime, "not the first alone"),
    Wrong("l02-e3", LastCome, "the first that came is the first to run"),
    Wrong("l02-e3", WithoutTurn, "a later lesson changes turn"),
    Wrong("l02-e3", DroppedAfterOneStep, "wait is what next(fiber) gave"),
    Wrong("l02-e3", ParkedWithNothing, "wait is what next(fiber) gave"),
    Wrong("l02-e3", BackIntoTheQueue, "wait is what next(fiber) gave"),
    Wrong("l02-e3", NotCaught, "catch it, with except StopIteration"),
    Wrong("l02-e3", EndedComesAgain, "return at StopIteration"),
)

"""Lesson 13, overload and policy: its simulation, its question and its exercises."""

from __future__ import annotations

from collections import deque

import pytest
from misconceptions import Wrong

from fiberlab import RECV, WAIT, Scheduler, SimulatedNetwork, send_all
from fiberlab.lab import examine
from fiberlab.lab.lessons.l13_overload_and_policy import overload, share_in_time
from fiberlab.lab.lessons.l13_overload_and_policy.question import which_policy

# -- The simulation --------------------------------------------------------------------


class LastCome(deque):
    def popleft(self):
        return self.pop()


def test_first_come_fails_in_overload_and_last_come_does_not():
    shares = [share_in_time(overload(policy(), 1.25)) for policy in (deque, LastCome)]

    assert [round(share, 2) for share in shares] == [0.08, 0.77]


def test_a_bound_refuses_who_would_wait_too_long():
    requests = overload(deque(), 1.25, bound=8)

    assert round(share_in_time(requests), 2) == 0.81
    assert {each.in_time for each in requests if each.latency is not None} == {True}


def test_at_90_percent_the_policy_matters_since_users_come_in_crowds():
    waiting, bounded = (overload(deque(), 0.9, bound, seconds=60) for bound in (None, 8))

    assert [round(share_in_time(each), 2) for each in (waiting, bounded)] == [0.87, 0.98]


def test_a_slow_reader_reaches_back_to_the_maker():
    network, sent = SimulatedNetwork(buffer_bytes=1000), []
    sender, receiver = network.socketpair()

    def maker():
        for _ in range(5):
            yield from send_all(sender, bytes(1000))
            sent.append(network.clock.now())
        sender.close()

    def reader():
        yield RECV(receiver)
        while receiver.recv(1000):
            yield WAIT(1)
            yield RECV(receiver)

    scheduler = Scheduler(clock=network.clock, poller=network)
    scheduler.add(maker())
    scheduler.add(reader())
    scheduler.run()

    assert sent == [0, 0, 0, 1, 2]


def test_a_simulation_is_the_same_each_time():
    assert overload(deque(), 0.9) == overload(deque(), 0.9)


# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "choice"),
    [(0.8, 0.3, "a"), (0.04, 0.78, "b"), (0.78, 0.8, "c"), (0.45, 0.55, "d")],
)
def test_which_policy_follows_from_the_shares(first, last, choice):
    assert which_policy({"first-come": first, "last-come": last}) == choice


# -- Exercise 1: a bounded queue -------------------------------------------------------


class Bounded:
    def __init__(self, bound):
        self.bound, self.items, self.refused = bound, deque(), 0

    def offer(self, item):
        if len(self.items) >= self.bound:
            self.refused += 1
            return False
        self.items.append(item)
        return True

    def take(self):
        return self.items.popleft()

    def __len__(self):
        return len(self.items)


class OneTooMany(Bounded):
    def offer(self, item):
        if len(self.items) > self.bound:
            self.refused += 1
            return False
        self.items.append(item)
        return True


class DroppingTheOldest(Bounded):
    def __init__(self, bound):
        super().__init__(bound)
        self.items = deque(maxlen=bound)

    def offer(self, item):
        full = len(self.items) == self.bound
        self.refused += full
        self.items.append(item)
        return not full


class NotCounting(Bounded):
    def offer(self, item):
        if len(self.items) >= self.bound:
            return False
        self.items.append(item)
        return True


class SayingNothing(Bounded):
    def offer(self, item):
        super().offer(item)


class TakingTheLatest(Bounded):
    def take(self):
        return self.items[-1]


def test_a_queue_that_refuses_the_newcomer_passes():
    assert str(examine("l13-e1", Bounded)) == "passed: never more than 3 waiting, 4 refused"


# -- Exercise 2: earliest deadline first -----------------------------------------------


class EarliestDeadline:
    def __init__(self, deadlines):
        self.deadlines, self.fibers = deadlines, []

    def append(self, fiber):
        self.fibers.append(fiber)

    def popleft(self):
        first = min(self.fibers, key=lambda fiber: self.deadlines[fiber.name])
        self.fibers.remove(first)
        return first

    def __len__(self):
        return len(self.fibers)


class FirstCome(EarliestDeadline):
    def popleft(self):
        return self.fibers.pop(0)


class LatestDeadline(EarliestDeadline):
    def popleft(self):
        first = max(self.fibers, key=lambda fiber: self.deadlines[fiber.name])
        self.fibers.remove(first)
        return first


class LatestOfEqualOnes(EarliestDeadline):
    def popleft(self):
        self.fibers.sort(key=lambda fiber: -self.deadlines[fiber.name])
        return self.fibers.pop()


def test_earliest_deadline_first_passes():
    assert examine("l13-e2", EarliestDeadline).passed


# -- Exercise 3: a fair share ----------------------------------------------------------


class FairShare:
    def __init__(self):
        self.lines = {}

    def append(self, fiber):
        self.lines.setdefault(fiber.name.partition("-")[0], deque()).append(fiber)

    def popleft(self):
        client = next(iter(self.lines))
        line = self.lines.pop(client)
        fiber = line.popleft()
        if line:
            self.lines[client] = line
        return fiber

    def __len__(self):
        return sum(len(line) for line in self.lines.values())


class OneLine(FairShare):
    def append(self, fiber):
        self.lines.setdefault("all", deque()).append(fiber)


class OneClientAfterTheOther(FairShare):
    def popleft(self):
        client = next(iter(self.lines))
        fiber = self.lines[client].popleft()
        if not self.lines[client]:
            del self.lines[client]
        return fiber


class LastOfEachLine(FairShare):
    def popleft(self):
        client = next(iter(self.lines))
        line = self.lines.pop(client)
        fiber = line.pop()
        if line:
            self.lines[client] = line
        return fiber


def test_a_line_for_each_client_passes():
    assert examine("l13-e3", FairShare).passed


WRONG = (
    Wrong("l13-e1", OneTooMany, "look at the length before you append"),
    Wrong("l13-e1", DroppingTheOldest, "the newcomer is refused"),
    Wrong("l13-e1", NotCounting, "count in offer()"),
    Wrong("l13-e1", SayingNothing, "True for an item that came in and False"),
    Wrong("l13-e1", TakingTheLatest, "the newcomer is refused"),
    Wrong("l13-e2", FirstCome, "that is first-come"),
    Wrong("l13-e2", LatestDeadline, "the smallest deadline is the earliest one"),
    Wrong("l13-e2", LatestOfEqualOnes, "the one that has waited longest goes first"),
    Wrong("l13-e3", OneLine, "ann's four all go before cat"),
    Wrong("l13-e3", OneClientAfterTheOther, "one client is served to its end"),
    Wrong("l13-e3", LastOfEachLine, "the lines take turns"),
)

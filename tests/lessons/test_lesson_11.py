"""Lesson 11, endings: what its question and its exercises make of an answer."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from misconceptions import Wrong

from fiberlab import RECV, SEND, WAIT, FiberCancelled, join, start
from fiberlab.lab import examine
from fiberlab.lab.lessons.l11_endings import after, endings, is_open, left_behind, simulated
from fiberlab.lab.lessons.l11_endings.question import what_the_silent_sees

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "choice"),
    [
        (TimeoutError(), "a"),
        (b"", "b"),
        (b"FiberTimeout", "c"),
        (ConnectionResetError(), "d"),
    ],
)
def test_what_the_silent_client_sees_follows_from_its_recv(seen, choice):
    assert what_the_silent_sees(seen) == choice


# -- How fibers ended, and what is left ------------------------------------------------


def test_endings_tell_who_ended_when_and_how():
    def failing():
        yield WAIT(0.2)
        raise ValueError("seven")

    scheduler, _, trace = simulated()
    scheduler.add(failing(), "ann")
    fiber = scheduler.add(after(1, int), "ben")
    scheduler.add(after(0.5, fiber.cancel), "cat")
    scheduler.run()

    assert [(end.name, end.at, str(end)) for end in endings(trace)] == [
        ("ann", 0.2, "error (ValueError)"),
        ("ben", 0.5, "cancel"),
        ("cat", 0.5, "return"),
    ]


def test_what_is_left_is_counted_and_closed():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    with left_behind() as left:
        number = os.open(os.devnull, os.O_RDONLY)
        os.close(os.open(os.devnull, os.O_RDONLY))
        thread.start()
    stop.set()
    thread.join()
    told = str(left)
    left.close()

    assert told == "left behind: 1 descriptors, 1 threads"
    pytest.raises(OSError, os.fstat, number)


@pytest.mark.live
def test_a_port_is_open_while_somebody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        before = is_open(address)

    assert (before, is_open(address)) == (True, False)


# -- Exercise 1: a limit for the whole -------------------------------------------------


def within(seconds, work):
    worker = start(work)
    timer = start(after(seconds, worker.cancel))
    try:
        return (yield from join(worker))
    except FiberCancelled:
        raise TimeoutError from None
    finally:
        timer.cancel()


def no_limit(_seconds, work):
    return (yield from work)


def joining_the_generator(_seconds, work):
    return (yield from join(work))


def looking_between(seconds, work):
    left = seconds
    while True:
        try:
            wait = next(work)
        except StopIteration as end:
            return end.value
        yield wait
        left -= wait.seconds
        if left < 0:
            work.close()
            raise TimeoutError


def sleeping_first(seconds, work):
    worker = start(work)
    yield WAIT(seconds)
    if worker.error is not None:
        raise worker.error
    if worker.state.value == "done":
        return worker.result
    worker.cancel()
    raise TimeoutError


def asking_in_turns(seconds, work):
    worker = start(work)
    while worker.state.value != "done":
        yield WAIT(0)
    return worker.result


def leaving_the_timer(seconds, work):
    worker = start(work)
    start(after(seconds, worker.cancel))
    try:
        return (yield from join(worker))
    except FiberCancelled:
        raise TimeoutError from None


def letting_it_out(seconds, work):
    worker = start(work)
    timer = start(after(seconds, worker.cancel))
    try:
        return (yield from join(worker))
    finally:
        timer.cancel()


def any_error_is_late(seconds, work):
    worker = start(work)
    timer = start(after(seconds, worker.cancel))
    try:
        return (yield from join(worker))
    except BaseException:
        raise TimeoutError from None
    finally:
        timer.cancel()


def returning_nothing(seconds, work):
    worker = start(work)
    timer = start(after(seconds, worker.cancel))
    try:
        yield from join(worker)
    except FiberCancelled:
        raise TimeoutError from None
    finally:
        timer.cancel()


def leaving_the_work(seconds, work):
    worker = start(work)
    timer = start(after(seconds, int))
    while "done" not in (worker.state.value, timer.state.value):
        yield WAIT(None)
    timer.cancel()
    if worker.state.value != "done":
        raise TimeoutError
    return (yield from join(worker))


def test_a_limit_by_a_second_fiber_passes():
    judgement = examine("l11-e1", within)

    assert judgement.passed, judgement


# -- Exercise 2: nothing left open -----------------------------------------------------


def answering(sock, log):
    yield RECV(sock)
    while word := sock.recv(1024):
        os.write(log, word)
        yield SEND(sock)
        sock.send(b"%d" % int(word) ** 2)
        yield RECV(sock)


def open_log():
    return os.open(os.devnull, os.O_WRONLY)


def logged(sock, _address):
    log = open_log()
    try:
        yield from answering(sock, log)
    finally:
        os.close(log)


def closing_at_the_end(sock, _address):
    log = open_log()
    yield from answering(sock, log)
    os.close(log)


def never_closing(sock, _address):
    yield from answering(sock, open_log())


def closing_after_an_error(sock, _address):
    log = open_log()
    try:
        yield from answering(sock, log)
    except BaseException:
        os.close(log)
        raise


def catching_exceptions(sock, _address):
    log = open_log()
    try:
        yield from answering(sock, log)
    except Exception:
        os.close(log)
        raise
    os.close(log)


def swallowing(sock, _address):
    log = open_log()
    try:
        yield from answering(sock, log)
    except BaseException:
        pass
    finally:
        os.close(log)


def closing_twice(sock, _address):
    log = open_log()
    try:
        yield from answering(sock, log)
        os.close(log)
    finally:
        os.close(log)


def without_a_log(sock, _address):
    yield RECV(sock)
    while word := sock.recv(1024):
        yield SEND(sock)
        sock.send(b"%d" % int(word) ** 2)
        yield RECV(sock)


def one_answer(sock, _address):
    with open(os.devnull, "wb") as log:
        yield RECV(sock)
        log.write(sock.recv(1024))


def test_a_handler_with_a_finally_leaves_nothing_open():
    with left_behind() as left:
        judgement = examine("l11-e2", logged)

    assert judgement.passed, judgement
    assert left.descriptors == set()


def test_what_an_answer_has_left_open_is_closed():
    with left_behind() as left:
        examine("l11-e2", never_closing)

    assert left.descriptors == set()


# -- Exercise 3: a nursery -------------------------------------------------------------


def done(child):
    return child.state.value == "done"


def started(generators):
    return [start(each) for each in generators]


def park_until(true):
    while not true():
        yield WAIT(None)


def nursery(*generators):
    children, failure = started(generators), None
    try:
        yield from park_until(lambda: all(map(done, children)) or any(c.error for c in children))
        failure = next((child.error for child in children if child.error), None)
    except FiberCancelled as error:
        failure = error
    for child in children:
        child.cancel()
    yield from park_until(lambda: all(map(done, children)))
    if failure is not None:
        raise failure
    return [child.result for child in children]


def of_the_lesson(*generators):
    children = started(generators)
    try:
        results = []
        for child in children:
            results.append((yield from join(child)))
        return results
    finally:
        for child in children:
            child.cancel()


def one_by_one(*generators):
    results = []
    for each in generators:
        results.append((yield from join(start(each))))
    return results


def only_starting(*generators):
    started(generators)
    yield WAIT(0)


def returning_fibers(*generators):
    children = started(generators)
    yield from park_until(lambda: all(map(done, children)))
    return children


def not_waiting_after_cancel(*generators):
    children = started(generators)
    try:
        yield from park_until(lambda: all(map(done, children)) or any(c.error for c in children))
        for child in children:
            if child.error is not None:
                raise child.error
        return [child.result for child in children]
    finally:
        for child in children:
            child.cancel()


def losing_the_error(*generators):
    children = started(generators)
    yield from park_until(lambda: all(map(done, children)) or any(c.error for c in children))
    for child in children:
        child.cancel()
    yield from park_until(lambda: all(map(done, children)))
    return [child.result for child in children]


def joining_the_cancelled(*generators):
    children = started(generators)
    yield from park_until(lambda: all(map(done, children)) or any(c.error for c in children))
    for child in children:
        child.cancel()
    yield from park_until(lambda: all(map(done, children)))
    results = []
    for child in children:
        results.append((yield from join(child)))
    return results


def forgetting_to_be_cancelled(*generators):
    children, failure = started(generators), None
    yield from park_until(lambda: all(map(done, children)) or any(c.error for c in children))
    failure = next((child.error for child in children if child.error), None)
    for child in children:
        child.cancel()
    yield from park_until(lambda: all(map(done, children)))
    if failure is not None:
        raise failure
    return [child.result for child in children]


def swallowing_the_cancel(*generators):
    try:
        return (yield from nursery(*generators))
    except FiberCancelled:
        return None


def spinning(*generators):
    children = started(generators)
    while not all(map(done, children)):
        yield WAIT(0)
    return [child.result for child in children]


def test_a_nursery_that_waits_for_all_passes():
    judgement = examine("l11-e3", nursery)

    assert judgement.passed, judgement


WRONG = (
    Wrong("l11-e1", no_limit, "their sum counts"),
    Wrong("l11-e1", joining_the_generator, "start(work) makes a fiber"),
    Wrong("l11-e1", looking_between, "a look between two waits comes too late"),
    Wrong("l11-e1", sleeping_first, "join the work, not the timer"),
    Wrong("l11-e1", asking_in_turns, "yield from join(worker)"),
    Wrong("l11-e1", leaving_the_timer, "still sleeps until the deadline"),
    Wrong("l11-e1", letting_it_out, "make a TimeoutError of that"),
    Wrong("l11-e1", any_error_is_late, "only the cancelling becomes a TimeoutError"),
    Wrong("l11-e1", returning_nothing, "return what join(worker) returns"),
    Wrong("l11-e1", leaving_the_work, "nothing waits for it: cancel it"),
    Wrong("l11-e2", closing_at_the_end, "is reached by a return only"),
    Wrong("l11-e2", never_closing, "is closed by its number"),
    Wrong("l11-e2", closing_after_an_error, "a fiber also ends by returning"),
    Wrong("l11-e2", catching_exceptions, "are no Exception"),
    Wrong("l11-e2", swallowing, "the error must come out"),
    Wrong("l11-e2", closing_twice, "close the log once"),
    Wrong("l11-e2", without_a_log, "open the log first of all"),
    Wrong("l11-e2", one_answer, "answer each number by its square"),
    Wrong("l11-e3", of_the_lesson, "look at all children each time"),
    Wrong("l11-e3", one_by_one, "start() all of them first"),
    Wrong("l11-e3", only_starting, "it has ended before its children"),
    Wrong("l11-e3", returning_fibers, "return a list of child.result"),
    Wrong("l11-e3", not_waiting_after_cancel, "wait once more"),
    Wrong("l11-e3", losing_the_error, "a child's error must not be lost"),
    Wrong("l11-e3", joining_the_cancelled, "note the first error before"),
    Wrong("l11-e3", forgetting_to_be_cancelled, "however long it takes"),
    Wrong("l11-e3", swallowing_the_cancel, "raise that again"),
    Wrong("l11-e3", spinning, "a fiber that waits for others parks"),
)

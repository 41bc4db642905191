"""The museum of lesson 16: two bugs that well-known libraries shipped, rebuilt with fibers.

What is here has the shape of the bug, not the library's code: a semaphore whose place goes to a
fiber that is cancelled (python/cpython#90155), and a pool whose connection is given back with
an answer unread (redis/redis-py#2624: users were shown what others had asked).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from ....exploration import World
from ....waits import WAIT, Wait

Program = Callable[[World], None]


class Place:
    """A place in the line of a semaphore; `given`: whether it may go on."""

    given = False


class Semaphore:
    """Lets `free` fibers in at a time; the others wait in line. Cancelled, one is lost."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.line: deque[Place] = deque()

    def acquire(self) -> Generator[Wait, None, None]:
        """Wait until this fiber may go on."""
        if self.free:
            self.free -= 1
            return
        me = Place()
        self.line.append(me)
        while not me.given:
            yield WAIT(None)

    def release(self) -> None:
        """Let the first in line go on; if there is none, the next that comes."""
        if self.line:
            self.line.popleft().given = True
        else:
            self.free += 1


def turns(make_semaphore: Callable[[int], Any]) -> Program:
    """Return a program of three fibers that go through a semaphore, one at a time."""

    def program(world: World) -> None:
        semaphore, inside = make_semaphore(1), []

        def fiber(name: str) -> Generator[Wait, None, None]:
            yield from semaphore.acquire()
            inside.append(name)
            try:
                yield WAIT(0)
            finally:
                inside.remove(name)
                semaphore.release()

        def one_at_a_time() -> bool:
            return len(inside) <= 1

        world.always(one_at_a_time)
        for name in ("ann", "ben", "cat"):
            world.add(fiber(name), name)

    return program


class Connection:
    """A connection to a server that answers one question after the other."""

    def __init__(self) -> None:
        self.unread: deque[str] = deque()
        self.closed = False

    def send(self, question: str) -> None:
        """Ask; the answer will be there at the next step."""
        self.unread.append(f"answer to {question}")

    def receive(self) -> str:
        """Return the first answer that was not read."""
        return self.unread.popleft()

    def close(self) -> None:
        """Give it up, with all that was not read."""
        self.closed = True


class Pool:
    """Keeps connections that nobody uses; `made` are all there ever were."""

    def __init__(self) -> None:
        self.free: list[Connection] = []
        self.made: list[Connection] = []

    def take(self) -> Connection:
        """Return a connection that nobody uses, a new one if there is none."""
        if self.free:
            return self.free.pop()
        self.made.append(Connection())
        return self.made[-1]

    def give_back(self, connection: Connection) -> None:
        """Let others use it."""
        self.free.append(connection)


def questions(ask: Callable[[Pool, str], Generator[Wait, None, str]]) -> Program:
    """Return a program of two fibers that ask, and of one that asks when they have."""

    def program(world: World) -> None:
        pool, mistaken = Pool(), []

        def fiber(name: str, patience: int) -> Generator[Wait, None, None]:
            for _ in range(patience):
                yield WAIT(0)
            if (answer := (yield from ask(pool, name))) != f"answer to {name}":
                mistaken.append(f"{name} got the {answer}")

        def each_gets_its_own_answer() -> None:
            assert not mistaken, mistaken[0]

        def no_connection_is_lost() -> bool:
            return all(each.closed or each in pool.free for each in pool.made)

        world.always(each_gets_its_own_answer)
        world.at_end(no_connection_is_lost)
        world.add(fiber("ann", 0), "ann")
        world.add(fiber("ben", 1), "ben")

    return program

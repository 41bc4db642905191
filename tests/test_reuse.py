"""Any sequence of dup, dup2, fork, close and reuse: no fiber is lost, none is woken for another.

Random programs with real descriptors. A fiber waits on an object; meanwhile descriptors are
copied, closed, and their numbers used again, also behind the object's back.
"""

from __future__ import annotations

import io
import os
import select
import selectors
import socket
import time
from random import Random

import pytest

from fiberlab.errors import SocketBusy
from fiberlab.fiber import start
from fiberlab.io import poller as poller_module
from fiberlab.scheduler import Scheduler
from fiberlab.waits import RECV, WAIT

pytestmark = [pytest.mark.live, pytest.mark.posix]

SWEEP = 0.01  # instead of half a second
SOON = 5.0  # seconds after which a wake-up counts as lost; a hundred times what it takes


class Plain:
    """A system socket; its number can be closed, or overwritten, behind its back."""

    def __init__(self, world):
        self.world = world
        self.waitable = None
        self.open()

    def open(self):
        self.waitable = self.world.new_end()

    def number(self):
        return self.waitable.fileno()

    def close(self):
        self.waitable.close()

    def let_go(self):
        self.waitable.detach()  # or it would close a stranger, when it is collected


class Number(Plain):
    """An object that knows a number only."""

    def open(self):
        self.held = self.world.new_end().detach()
        self.waitable = self

    def fileno(self):
        return self.held

    def number(self):
        return self.held

    def close(self):
        os.close(self.held)

    def let_go(self):
        pass


class Reconnecting(Plain):
    """An object that gets a new socket, mostly of the same number."""

    def open(self):
        self.sock = self.world.new_end()
        self.waitable = self

    def fileno(self):
        return self.sock.fileno()

    def number(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()

    def let_go(self):
        self.sock.detach()


class World:
    """Objects to wait on, their peers by inode, and copies of their descriptors."""

    def __init__(self):
        self.objects = []
        self.peers = {}
        self.copies = []
        self.children = []
        self.waiting = set()
        self.happened = 0  # how many things
        self.touched = {}  # numbers of which somebody disposed behind an object's back, and when
        self.wrong = []

    def new_end(self):
        """Return one end of a new pair."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        # Copied and closed, so that numbers that were just freed go to our end next time.
        self.peers[os.fstat(ours.fileno()).st_ino] = theirs.dup()
        theirs.close()
        return ours

    def is_open(self, thing):
        return inode_of(thing.number()) in self.peers

    def touch(self, thing):
        self.touched[thing.number()] = time.monotonic()

    # -- What can happen ------------------------------------------------------

    def wait(self, thing):
        if thing not in self.waiting:
            self.waiting.add(thing)
            start(self.waits(thing))

    def waits(self, thing):
        """Wait until there is something to read, and note what is wrong with a wake-up."""
        number = thing.number()
        try:
            while True:
                happened = self.happened
                yield RECV(thing.waitable)
                if not self.is_open(thing) or readable(thing.number()):
                    return
                is_socket = isinstance(thing.waitable, socket.socket)
                # The object is the same, and nobody is told: found at the next sweep only.
                unseen = is_socket and time.monotonic() < self.touched.get(number, 0) + 20 * SWEEP
                if self.happened == happened and not unseen:
                    self.wrong.append(f"{thing} was woken for nothing")
        except OSError as error:
            if self.is_open(thing) and thing.number() == number not in self.touched:
                self.wrong.append(f"{thing} got {error!r}")
        except SocketBusy as error:
            if self.is_open(thing) and number not in self.touched:
                self.wrong.append(f"{thing} got {error!r}")
        finally:
            self.waiting.discard(thing)

    def send(self, thing):
        if self.is_open(thing):
            self.peers[inode_of(thing.number())].send(b"x")

    def drain(self, thing):
        if self.is_open(thing) and readable(thing.number()):
            os.read(thing.number(), 100)

    def close(self, thing):
        if self.is_open(thing):
            self.touch(thing)
            thing.close()

    def close_behind(self, thing):
        if self.is_open(thing):
            self.touch(thing)
            os.close(thing.number())

    def replace(self, thing):
        """Let the number get another descriptor, without being free in between."""
        if self.is_open(thing):
            self.touch(thing)
            with self.new_end() as end:
                os.dup2(end.fileno(), thing.number())

    def replace_by_copy(self, thing):
        """Let the number get a copy of another object's descriptor."""
        others = [other for other in self.objects if other is not thing and self.is_open(other)]
        if self.is_open(thing) and others and others[0].number() != thing.number():
            self.touch(thing)
            os.dup2(others[0].number(), thing.number())

    def reopen(self, thing):
        """Close, and have a new descriptor, mostly of the same number."""
        self.close(thing)
        if not self.is_open(thing):
            thing.let_go()
            thing.open()

    def copy(self, thing):
        if self.is_open(thing):
            self.copies.append(os.dup(thing.number()))

    def drop_copy(self, _thing):
        if self.copies:
            self.close_number(self.copies.pop(0))

    def fork(self, _thing):
        """Let a child hold a copy of everything."""
        if not self.children:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
            os.close(reader)
            self.children.append((pid, writer))

    def add(self, _thing):
        if len(self.objects) < 6:
            kind = [Plain, Number, Reconnecting][len(self.objects) % 3]
            self.objects.append(kind(self))

    # -- The end --------------------------------------------------------------

    def close_number(self, number):
        if inode_of(number) in self.peers:  # else it is somebody else's by now
            os.close(number)

    def clean(self):
        numbers = [thing.number() for thing in self.objects] + self.copies
        for thing in self.objects:
            thing.let_go()
        for number in numbers:
            self.close_number(number)
        for peer in self.peers.values():
            peer.close()
        for pid, writer in self.children:
            os.close(writer)
            os.waitpid(pid, 0)


def inode_of(number):
    """Return what tells one socket from all others; None if there is no descriptor."""
    try:
        return os.fstat(number).st_ino
    except (OSError, ValueError):
        return None


def readable(number):
    """Ask the system, and nothing that was registered with it."""
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


HAPPENINGS = [
    World.wait,
    World.wait,
    World.wait,
    World.send,
    World.send,
    World.drain,
    World.close,
    World.close_behind,
    World.replace,
    World.replace_by_copy,
    World.reopen,
    World.reopen,
    World.copy,
    World.copy,
    World.drop_copy,
    World.fork,
    World.add,
]


def play(steps):
    """Do `steps` beside the fibers, and return what went wrong."""
    world = World()
    scheduler = Scheduler(file=io.StringIO())

    def director():
        for _ in range(3):
            world.add(None)
        for happening, which, pause in steps:
            happening(world, world.objects[which % len(world.objects)])
            world.happened += 1
            for _ in range(min(pause, 2)):
                yield WAIT(0)
            if pause > 2:
                yield WAIT(2 * SWEEP)
        ends = time.monotonic() + SOON
        while world.waiting and time.monotonic() < ends:
            for thing in world.waiting:
                world.send(thing)
            yield WAIT(SWEEP)
            if not any(map(world.is_open, world.waiting)):
                break
        world.wrong += [
            f"{thing} waits for ever" for thing in world.waiting if world.is_open(thing)
        ]
        scheduler.stop()

    scheduler.add(director())
    try:
        scheduler.run()
    finally:
        world.clean()
    return world.wrong


@pytest.mark.parametrize("system", ["epoll", "PollSelector", "SelectSelector"])
def test_whatever_is_copied_closed_and_used_again_nobody_waits_for_ever(monkeypatch, system):
    monkeypatch.setattr(poller_module, "SWEEP", SWEEP)
    if system != "epoll":
        monkeypatch.delattr(select, "epoll", raising=False)
        monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, system))

    random = Random(42)
    for _ in range(25):
        steps = [
            (random.choice(HAPPENINGS), random.randrange(6), random.choice([0, 0, 1, 2, 30]))
            for _ in range(random.randrange(5, 60))
        ]
        wrong = play(steps)

        assert wrong == [], steps

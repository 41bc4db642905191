"""The textbook races as asyncio programs, and three of real libraries: each broken, and repaired.

A program takes `repaired`; asyncio's own locks, queues and time-outs are in them as they are.
"""

from __future__ import annotations

import asyncio
from collections import deque

# -- The textbook's ---------------------------------------------------------------------


async def lost_update(repaired):
    """Two tasks add one each, and read before they wait."""
    box, lock = [0], asyncio.Lock()

    async def add():
        if repaired:
            async with lock:
                value = box[0]
                await asyncio.sleep(0)
                box[0] = value + 1
        else:
            value = box[0]
            await asyncio.sleep(0)
            box[0] = value + 1

    await asyncio.gather(add(), add())
    assert box == [2]


async def check_then_act(repaired):
    """Two buyers and one ticket."""
    tickets = [1]

    async def buy():
        if tickets[0]:
            await asyncio.sleep(0)  # pays
            if not repaired or tickets[0]:
                tickets[0] -= 1

    await asyncio.gather(buy(), buy())
    assert tickets == [0]


async def two_locks(repaired):
    """Each holds one lock and wants the other."""
    first, second = asyncio.Lock(), asyncio.Lock()

    async def both(one, other):
        async with one:
            await asyncio.sleep(0)
            async with other:
                pass

    await asyncio.gather(
        both(first, second), both(*((first, second) if repaired else (second, first)))
    )


async def lost_wake_up(repaired):
    """A signal reaches only those who wait already, unless it is kept."""
    kept, waiting = asyncio.Event(), []

    async def consume():
        await asyncio.sleep(0)
        if repaired:
            await kept.wait()
        else:
            waiting.append(asyncio.get_running_loop().create_future())
            await waiting[0]

    async def produce():
        await asyncio.sleep(0)
        kept.set()
        for each in waiting:
            each.set_result(None)

    await asyncio.gather(consume(), produce())


async def dining_philosophers(repaired):
    """Three of them, each with a fork at either side."""
    forks = [asyncio.Lock() for _ in range(3)]

    async def dine(seat):
        sides = [seat, (seat + 1) % 3]
        left, right = sorted(sides) if repaired else sides
        async with forks[left]:
            await asyncio.sleep(0)
            async with forks[right]:
                pass

    await asyncio.gather(*map(dine, range(3)))


async def readers_and_writer(repaired):
    """A reader between the two halves of a write."""
    pair, lock = [0, 0], asyncio.Lock()

    async def write():
        async with lock:
            pair[0] += 1
            await asyncio.sleep(0)
            pair[1] += 1

    async def read():
        if repaired:
            async with lock:
                assert pair[0] == pair[1]
        else:
            assert pair[0] == pair[1]

    await asyncio.gather(write(), read(), read())


async def bounded_buffer(repaired):
    """A consumer that is notified looks once (`if`) where it must look again (`while`)."""
    items, changed = [], asyncio.Condition()

    async def consume():
        async with changed:
            if repaired:
                while not items:
                    await changed.wait()
            elif not items:
                await changed.wait()
            items.pop()

    async def produce():
        for item in range(2):
            async with changed:
                items.append(item)
                changed.notify_all()
            await asyncio.sleep(0)

    await asyncio.gather(consume(), consume(), produce())


async def double_checked(repaired):
    """Two tasks make what is to be made once: the check is outside of the lock."""
    made, lock = [], asyncio.Lock()

    async def get():
        if not made:
            async with lock:
                if not repaired or not made:
                    await asyncio.sleep(0)
                    made.append(object())

    await asyncio.gather(get(), get())
    assert len(made) == 1


async def aba(repaired):
    """A compare-and-swap is fooled by a value that went away and came back."""
    nodes = {"a": "b", "b": "c", "c": None}  # a stack: each and the one below
    top, version = ["a"], [0]

    def swap(old, seen, new):
        if top[0] != old or (repaired and version[0] != seen):
            return False
        top[0], version[0] = new, version[0] + 1
        return True

    async def pop():
        while True:
            old, seen = top[0], version[0]
            below = nodes[old]
            await asyncio.sleep(0)
            if swap(old, seen, below):
                return old

    async def pop_two_and_push_the_first():
        first, second = await pop(), await pop()
        nodes[first], top[0], version[0] = top[0], first, version[0] + 1
        return second

    one, other = await asyncio.gather(pop(), pop_two_and_push_the_first())
    assert one != other, "a node was popped twice"
    left = []
    while top[0] is not None:
        left.append(top[0])
        top[0] = nodes[top[0]]
    assert sorted([one, other, *left]) == ["a", "b", "c"]


async def reused_barrier(repaired):
    """A barrier for two that is used again: it stays open after its first use."""
    arrived, opened, turn = [0], [asyncio.Event()], []

    async def wait():
        mine = opened[0]
        arrived[0] += 1
        if arrived[0] == 2:
            arrived[0] = 0
            if repaired:
                opened[0] = asyncio.Event()
            mine.set()
        await mine.wait()

    async def work(name):
        for lap in range(3):
            await asyncio.sleep(0)
            turn.append(lap)
            await wait()

    await asyncio.gather(work("one"), work("other"))
    assert turn == sorted(turn)


async def starved_by_a_time_out(repaired):
    """A task holds the lock for as long as another one is willing to wait for it."""
    lock = asyncio.Lock()

    async def hold():
        async with lock:
            await asyncio.sleep(1)

    async def want():
        await asyncio.wait_for(lock.acquire(), 2 if repaired else 1)
        lock.release()

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    await asyncio.gather(holder, want())


async def cancelled_in_the_middle(repaired):
    """A transfer that is cancelled between its two halves."""
    accounts = [1, 0]

    async def transfer():
        if repaired:
            await asyncio.sleep(0)
            accounts[0] -= 1
        else:
            accounts[0] -= 1
            await asyncio.sleep(0)
        accounts[1] += 1

    moving = asyncio.create_task(transfer())

    async def give_up():
        await asyncio.sleep(0)
        moving.cancel()

    await asyncio.gather(moving, give_up(), return_exceptions=True)
    assert sum(accounts) == 1


async def used_too_early(repaired):
    """One task needs what another one opens."""
    opened, ready = [], asyncio.Event()

    async def open_it():
        await asyncio.sleep(0)
        opened.append("connection")
        ready.set()

    async def use_it():
        if repaired:
            await ready.wait()
        else:
            await asyncio.sleep(0)
        assert opened[0] == "connection"

    await asyncio.gather(open_it(), use_it())


TEXTBOOK = [
    lost_update,
    check_then_act,
    two_locks,
    lost_wake_up,
    dining_philosophers,
    readers_and_writer,
    bounded_buffer,
    double_checked,
    aba,
    reused_barrier,
    starved_by_a_time_out,
    cancelled_in_the_middle,
    used_too_early,
]

# -- Those of real libraries -------------------------------------------------------------


class HangingSemaphore:
    """In the shape that asyncio's semaphore had in 3.10.4 (python/cpython#90155).

    A waiter that was woken and is cancelled before it runs leaves `waking` behind as it is.
    """

    def __init__(self, value):
        self.value, self.waking, self.waiters = value, False, deque()

    async def acquire(self):
        while self.waking or self.value <= 0:
            future = asyncio.get_running_loop().create_future()
            self.waiters.append(future)
            try:
                await future
                self.waking = False
            except asyncio.CancelledError:
                self.wake_next()
                raise
        self.value -= 1

    def release(self):
        self.value += 1
        self.wake_next()

    def wake_next(self):
        while self.waiters:
            future = self.waiters.popleft()
            if not future.done():
                future.set_result(None)
                self.waking = True
                return


async def semaphore(repaired):
    """One task waits and is cancelled, while another one releases; then a third wants it."""
    slots = (asyncio.Semaphore if repaired else HangingSemaphore)(1)
    await slots.acquire()

    async def wait():
        await slots.acquire()
        slots.release()

    waiting = asyncio.create_task(wait())

    async def release():
        slots.release()

    async def cancel():
        await asyncio.sleep(0)
        waiting.cancel()

    await asyncio.gather(release(), cancel(), waiting, return_exceptions=True)
    await slots.acquire()


class HandingQueue:
    """In the shape of the queue of python/asyncio#343's time: an item is handed to who waits."""

    def __init__(self):
        self.items, self.getters = deque(), deque()

    def put_nowait(self, item):
        while self.getters:
            getter = self.getters.popleft()
            if not getter.done():
                getter.set_result(item)
                return
        self.items.append(item)

    async def get(self):
        if self.items:
            return self.items.popleft()
        getter = asyncio.get_running_loop().create_future()
        self.getters.append(getter)
        return await getter


async def losing_wait_for(awaited, timeout):
    """In the shape of that time's wait_for: what is cancelled may have its result already."""
    loop = asyncio.get_running_loop()
    waiter, inner = loop.create_future(), asyncio.ensure_future(awaited)

    def release(*_):
        if not waiter.done():
            waiter.set_result(None)

    timer = loop.call_later(timeout, release)
    inner.add_done_callback(release)
    try:
        await waiter
        if inner.done():
            return inner.result()
        inner.remove_done_callback(release)
        inner.cancel()
        raise asyncio.TimeoutError
    finally:
        timer.cancel()


async def wait_for_an_item(repaired):
    """An item comes just when the consumer's patience ends."""
    queue = asyncio.Queue() if repaired else HandingQueue()
    wait_for = asyncio.wait_for if repaired else losing_wait_for

    async def produce():
        await asyncio.sleep(1)
        queue.put_nowait("item")

    async def consume():
        while True:
            try:
                return await wait_for(queue.get(), 1)
            except (asyncio.TimeoutError, TimeoutError):
                if producer.done() and queue.empty() if repaired else not queue.items:
                    return None

    producer = asyncio.create_task(produce())
    consumer = asyncio.create_task(consume())
    await producer
    item = await consumer
    left = queue.qsize() if repaired else len(queue.items)
    assert (item is not None) + left == 1, "the item is lost"


class StrandingLock:
    """In the shape of agronholm/anyio#1145: who is cancelled stays in the queue for a while.

    A task that comes meanwhile queues up behind it, and then nobody wakes it.
    """

    def __init__(self, pruning):
        self.pruning, self.owner, self.waiters = pruning, None, deque()

    async def acquire(self):
        task = asyncio.current_task()
        if self.owner is None and not self.waiters:
            self.owner = task
            return
        waiter = task, asyncio.get_running_loop().create_future()
        self.waiters.append(waiter)
        try:
            await waiter[1]
        except asyncio.CancelledError:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            if self.owner is task:
                self.release()
            raise
        self.waiters.remove(waiter)

    def release(self):
        if self.pruning:
            self.waiters = deque(each for each in self.waiters if not each[1].cancelled())
        self.owner = None
        for task, future in self.waiters:
            if not future.done():
                self.owner = task
                future.set_result(None)
                return


async def stranded_waiter(repaired):
    """One waits and is cancelled; the owner lets go; a third one comes at that moment."""
    lock = StrandingLock(pruning=repaired)
    await lock.acquire()
    waiting = asyncio.create_task(lock.acquire())
    await asyncio.sleep(0)

    async def third():
        await lock.acquire()
        lock.release()

    waiting.cancel()
    lock.release()
    await asyncio.gather(third(), waiting, return_exceptions=True)


THREADS = [semaphore, wait_for_an_item, stranded_waiter]

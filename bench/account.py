"""What a process holds: descriptors, memory, and living objects, as one account.

The rule kept here: two accounts of one process are taken in the same way, after a complete
garbage collection, so that their difference is what was left over in between.
"""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from typing import NamedTuple

from .machine import memory_of

KINDS = {"fibers": "Fiber", "generators": "generator", "sockets": "socket", "watches": "Watch"}
"""What is counted by the name of its class, and must not grow by one."""

MOST_OBJECTS = 500
"""Objects that caches of the interpreter and the library may add."""

MOST_MEMORY = 8 << 20
"""Bytes by which a process may grow: what the allocator keeps after a peak."""


class Account(NamedTuple):
    """What one process holds at one moment; cpu: seconds used since its start."""

    fibers: int
    generators: int
    sockets: int
    watches: int
    descriptors: int
    objects: int
    memory: int
    cpu: float


def take_account() -> Account:
    """Collect all garbage, then count."""
    gc.collect()
    living = gc.get_objects()
    by_name = Counter(type(each).__name__ for each in living)
    counted = [by_name[name] for name in KINDS.values()]
    objects = len(living)
    del living
    # Listing the folder takes one descriptor itself.
    descriptors = len(os.listdir("/proc/self/fd")) - 1
    return Account(*counted, descriptors, objects, memory_of(), time.process_time())


def left_over(
    who: str, before: Account, after: Account, most_memory: int = MOST_MEMORY
) -> list[str]:
    """Return a sentence for each thing of which there is more in `after` than there may be."""
    found = []
    for name in (*KINDS, "descriptors"):
        was, now = getattr(before, name), getattr(after, name)
        if now > was:
            found.append(f"{who}: {name} went from {was} to {now}")
    if (more := after.objects - before.objects) > MOST_OBJECTS:
        found.append(f"{who}: {more} more objects, at most {MOST_OBJECTS} are caches")
    if (grown := after.memory - before.memory) > most_memory:
        found.append(f"{who}: memory grew by {grown} bytes, at most {most_memory} are bounded")
    return found

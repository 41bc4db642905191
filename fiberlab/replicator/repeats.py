"""Requests that came before, byte for byte, and what they were answered.

The rule kept here: equal bytes mean the same. A request that h11 has read once is not read again,
nor is its answer's head written again, as long as the file and what is known of it are the same;
only its age goes on. If no origin is asked, that saves most of the work for a small file
(`bench/replicator.md`).

What this module does not know: HTTP. It compares, and never looks into what it compares.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from ..sockets import CHUNK
from .cache import About, Cache
from .http import Url

_MOST, _LONGEST = 1000, 2000  # requests that are remembered, and bytes of one


class Repeated(NamedTuple):
    """A request's address and line for the log; of its answer the head, and what the file is.

    head: what stands before the file's age, and after it.
    """

    url: Url
    line: str
    head: tuple[bytes, bytes]
    about: About


class Repeats:
    """What was asked and answered lately, from whole small files of the cache."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._known: dict[bytes, Repeated] = {}

    def note(self, asked: bytes, answered: Repeated) -> None:
        """Remember a request and its answer."""
        if len(asked) <= _LONGEST and (answered.about.size or 0) <= CHUNK:
            if len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            self._known[asked] = answered

    def known(self, asked: bytes) -> Repeated | None:
        """Return what is remembered of a request."""
        return self._known.get(asked)

    def answer_to(self, asked: bytes, known: Repeated) -> bytes | None:
        """Return head and body once more; None if they are not what they were."""
        with suppress(OSError):  # looking in the usual way reports it
            if (kept := self._cache.find(known.url)) is not None:
                with kept.file as file:
                    body = file.read(CHUNK)
                    if kept.about is known.about and len(body) == known.about.size:
                        before, after = known.head
                        return b"%s%d%s%s" % (before, known.about.age, after, body)
        del self._known[asked]
        return None

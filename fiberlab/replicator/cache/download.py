"""A download that is under way, shared by clients that read it at their own pace.

The rule kept here: a client that joins gets the whole file, from its beginning; it can join only
while the file comes.
What the disk does not take is passed on all the same, as fast as the slowest reader takes it.

What this module does not know: which client asks, and where files come from.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO

from ...sockets import Steps, in_thread
from ...waits import WAIT
from ..http import Failure, Url
from .files import About, Entry

CROWD = 32  # the most joiners of a download that wake together
_LOOK = 500e-6  # seconds each of a larger crowd sleeps, for each one that is in it


class Download:
    """One file as far as it has come, shared by the fibers that are ``with`` it.

    about: None until the origin has answered. available: bytes that can be read. over: nothing
    more will come. failure: why, if it is not complete. A download that is over with neither
    was no file for all clients: each has to ask for itself. request: the one for which the origin
    was asked. outdated: no client may join any more, and it is not kept. kept: False once the file
    takes no more: what comes then is passed on, as fast as the slowest reader takes it.
    """

    about: About | None = None
    available = 0
    over = outdated = False
    kept = True
    failure: Failure | None = None
    _file: FileIO
    reason: OSError | None = None  # why it is not kept
    _may_resume = True
    _piece, _begin = b"", 0  # what came last, and where it begins
    users, _turn = 0, 0.0

    def __init__(self, entry: Entry, request: object = None) -> None:
        self.entry, self.url, self.request = entry, entry.url, request
        self._began = time.time()
        self._positions: dict[object, int] = {}  # how far each reader has come

    def __enter__(self) -> Url:
        self.users += 1
        return self.url

    def __exit__(self, *_: object) -> None:
        self.users -= 1
        # If it is not over, the fiber that fetches has yet to begin, and needs the file.
        if not self.users and self.over and self.about is not None:
            self._file.close()

    @contextmanager
    def read_by(self, reader: object) -> Iterator[None]:
        """Note a reader, which is waited for if what comes cannot be kept."""
        with self:
            self._positions[reader] = 0
            try:
                yield
            finally:
                del self._positions[reader]

    @property
    def age(self) -> float:
        """Seconds since the origin was asked, or has sent it."""
        return time.time() - self._began if self.about is None else self.about.age

    @property
    def wanted(self) -> bool:
        """Whether it has a reader."""
        return bool(self._positions)

    @property
    def is_all_here(self) -> bool:
        """Whether as many bytes have come as the origin announced."""
        return self.about is not None and self.about.size == self.available

    @property
    def taken(self) -> bool:
        """Whether all have read what there is, or may do so later."""
        return self.kept or all(each >= self.available for each in self._positions.values())

    def hold(self, about: About, file: FileIO, *, complete: bool = False) -> Download:
        """Take the file; what it contains can be read at once."""
        self._file, self.about, self.over = file, about, complete
        self.available = file.seek(0, os.SEEK_END)
        return self

    def read(self, position: int, size_bytes: int, reader: object = None) -> bytes:
        """Return some of the bytes from `position` on; Failure if the file is shorter now."""
        if not self.kept and position >= self._begin:
            data = self._piece[position - self._begin :][:size_bytes]
        else:
            self._file.seek(position)
            data = self._file.read(max(0, min(size_bytes, self.available - position)))
        self._positions[reader] = position + len(data)
        if not data and position < self.available:
            raise Failure(500, f"{self.url}: the file in the cache has lost its end")
        return data

    def skip(self, reader: object, position: int) -> None:
        """Note that a reader begins at `position`."""
        self._positions[reader] = position

    def append(self, data: bytes) -> None:
        """Add to the file; if it takes no more, pass on what comes and keep nothing."""
        if self.kept:
            try:
                self._write(data)
            except OSError as error:
                self._keep_no_more(error)
        elif not self._may_resume:
            with suppress(OSError):
                self._file.truncate(0)  # all have read it: others need the room
        self._piece, self._begin = data, self.available
        self.available += len(data)

    def _write(self, data: bytes) -> None:
        self._file.seek(self.available)
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _keep_no_more(self, error: OSError) -> None:
        self.kept, self.reason = False, error
        # A limit on one file leaves room for others: what there is may stay, and be resumed.
        self._may_resume = error.errno == errno.EFBIG
        if not self._may_resume:
            with suppress(OSError):
                self.entry.discard(self._file)

    def finish(self, keep: bool) -> Steps[None]:
        """Make it a complete file of the cache, or no file at all."""
        assert self.about is not None
        if self.about.size not in (None, self.available):
            raise Failure(502, f"{self.available} bytes came, not {self.about.size}")
        self.over = True  # joining ends here: what comes later may be about a newer version
        if not self.kept:
            return
        with storing():
            try:
                if keep:
                    # A rename must not reach the disk before the bytes do.
                    yield from in_thread(os.fsync, self._file.fileno())
                    self.entry.finish(self.about, self._file)
                else:
                    self.entry.discard(self._file)
            except OSError:
                with suppress(OSError):
                    self.entry.discard(self._file)
                raise

    def end(self, failure: Failure | None = None) -> None:
        """Say that nothing more will come, so that no reader waits for it."""
        if not self.over:
            self.over, self.failure = True, failure

    def pause(self) -> WAIT:
        """Return what a fiber waits for that has read all there is."""
        self._turn = (self._turn + 0.618) % 1  # those that sleep equally long wake together
        return WAIT(self.users * _LOOK * (0.5 + self._turn) if self.users > CROWD else None)


@contextmanager
def storing(*needed: socket.socket) -> Iterator[None]:
    """Turn what the disk refuses into a Failure, and close what is not needed then."""
    try:
        yield
    except OSError as error:
        for sock in needed:
            sock.close()
        status = 507 if error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) else 500
        named = f": {error.filename!r}" if error.filename else ""
        words = f"the cache cannot be written: {error.strerror}{named}"
        raise Failure(status, words) from error

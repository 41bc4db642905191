"""The cache: files under host:port/path, each with what the origin said of it.

The rule kept here: a file is complete if its head file says so, and only then. The head file is
removed before the file changes and put back afterwards; so at each moment all are right:

    name              the file, with the origin's modification time
    name#head         what the origin said of it: address, size, header fields
    name#part         the bytes of a download, as far as it has come
    name#part#head    what the origin said of those; cut off it is no JSON, and counts as none

The mark # cannot come from an address: in names, whatever is not plain is escaped, ``..`` and
NUL and the slash that came as %2F too.

Files are read and written with calls that block. On a local disk they are short, since the
system keeps what is new in memory; on a network's disk the whole loop would wait for it.

What this module does not know: connections, and which fibers share a download.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from ..sockets import Steps, in_thread
from ..waits import WAIT
from .http import Failure, Headers, Url, field, seconds_of

CROWD = 32  # the most joiners of a download that wake together
_LOOK = 500e-6  # seconds each of a larger crowd sleeps, for each one that is in it
_LONGEST_NAME, _LONGEST_PATH = 180, 1000  # file systems allow 255 and 4096, with our marks
_COLON = ":" if os.name != "nt" else "="  # Windows has another use for it


class About(NamedTuple):
    """What is known of a file: its address, its size (None: not yet), its header fields."""

    url: str
    size: int | None
    headers: Headers


class Cache:
    """A folder of files, for one process at a time; OSError if another has it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileIO(self.folder / ".lock", "a")
        try:
            with suppress(ImportError):  # Windows: there it is the user who takes care
                import fcntl

                fcntl.flock(self._lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise OSError(f"the cache {str(folder)!r} is in use by another replicator") from None

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def entry(self, url: Url) -> Entry:
        """Return the place of a file in the cache, whether or not anything is there."""
        host = _escaped(url.host.encode())[:_LONGEST_NAME]
        return Entry(self.folder / f"{host}{_COLON}{url.port}", url)


class Entry:
    """The place of one file: complete, partial or absent."""

    def __init__(self, host: Path, url: Url) -> None:
        names = _names(url.target)
        fits = max(map(len, names)) <= _LONGEST_NAME and sum(map(len, names)) <= _LONGEST_PATH
        self.url, self._depth = url, len(names)
        self._aside = host / ("#" + sha256(url.target.encode()).hexdigest())
        self._wanted = host.joinpath(*names) if fits else self._aside
        self._settle()

    def _settle(self) -> None:
        """Choose the place: where the address says, or aside; origins may have /a and /a/b."""
        above = self._wanted.parents[: self._depth]
        in_the_way = self._wanted.is_dir() or any(folder.is_file() for folder in above)
        self.path = self._aside if in_the_way else self._wanted
        self.part = self.path.with_name(self.path.name + "#part")

    def open(self, *, part: bool = False) -> tuple[About, FileIO] | None:
        """Return what is known of the complete file, or of a part to add to, and the file."""
        path, mode = (self.part, "r+") if part else (self.path, "r")
        try:
            told = json.loads(_head(path).read_bytes())
            headers = [(key.encode("latin-1"), text.encode("latin-1")) for key, text in told[2]]
            about, file = About(told[0], told[1], headers), FileIO(path, mode)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None
        # Names that differ may mean one file, where capitals do not count.
        if about.url == str(self.url) and (part or about.size == os.fstat(file.fileno()).st_size):
            return about, file
        file.close()
        return None

    def begin(self, about: About) -> FileIO:
        """Return a new, empty file for a download; who reads an older one keeps that."""
        self._settle()
        self.discard()
        self.part.parent.mkdir(parents=True, exist_ok=True)
        self._describe(about)
        return FileIO(self.part, "x+")

    def finish(self, about: About, file: FileIO) -> None:
        """Make the download the complete file."""
        # Two addresses may mean one place; the later download has taken it then.
        if not os.path.samestat(os.fstat(file.fileno()), os.stat(self.part)):
            return
        self._describe(about._replace(size=os.fstat(file.fileno()).st_size))
        modified = seconds_of(field(about.headers, b"last-modified"))
        if modified is not None:
            with suppress(OSError, OverflowError):  # a date no file system knows
                os.utime(self.part, (modified, modified))
        # The head goes first and comes last: without it nobody believes the file.
        self.path = self._aside if self.path.is_dir() else self.path
        _head(self.path).unlink(missing_ok=True)
        os.replace(self.part, self.path)
        os.replace(_head(self.part), _head(self.path))

    def discard(self) -> None:
        """Remove what there is of a download."""
        _head(self.part).unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def _describe(self, about: About) -> None:
        """Write down what is known of the download."""
        pairs = [[text.decode("latin-1") for text in pair] for pair in about.headers]
        _head(self.part).write_text(json.dumps([about.url, about.size, pairs]), encoding="utf-8")


class Download:
    """One file as far as it has come, shared by the fibers that are ``with`` it.

    about: None until the origin has answered. available: bytes that can be read. over: nothing
    more will come. failure: why, if it is not complete. A download that is over with neither
    was no file for everybody: each has to ask for itself.
    """

    about: About | None = None
    available = 0
    over = False
    failure: Failure | None = None
    _file: FileIO
    users, _turn = 0, 0.0

    def __init__(self, entry: Entry) -> None:
        self.entry, self.url = entry, entry.url

    def __enter__(self) -> Url:
        self.users += 1
        return self.url

    def __exit__(self, *_: object) -> None:
        self.users -= 1
        # If it is not over, the fiber that fetches has yet to begin, and needs the file.
        if not self.users and self.over and self.about is not None:
            self._file.close()

    def hold(self, about: About, file: FileIO, *, complete: bool = False) -> Download:
        """Take the file; what it contains can be read at once."""
        self._file, self.about, self.over = file, about, complete
        self.available = file.seek(0, os.SEEK_END)
        return self

    def read(self, position: int, size_bytes: int) -> bytes:
        """Return some of the bytes from `position` on."""
        self._file.seek(position)
        return self._file.read(size_bytes)

    def append(self, data: bytes) -> None:
        """Add to the file; Failure if the disk is full."""
        with storing():
            self._file.seek(self.available)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self.available += len(data)

    def finish(self, keep: bool) -> Steps[None]:
        """Make it a complete file of the cache, or no file at all."""
        assert self.about is not None
        if self.about.size not in (None, self.available):
            raise Failure(502, f"{self.available} bytes came, not {self.about.size}")
        with storing():
            if keep:
                # A rename must not reach the disk before the bytes do.
                yield from in_thread(os.fsync, self._file.fileno())
            self.over = True
            self.entry.finish(self.about, self._file) if keep else self.entry.discard()

    def end(self, failure: Failure | None = None) -> None:
        """Let nobody wait for more."""
        if not self.over:
            self.over, self.failure = True, failure

    def pause(self) -> WAIT:
        """Return what a fiber waits for that has read all there is."""
        self._turn = (self._turn + 0.618) % 1  # who sleeps equally long wakes together
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
        raise Failure(status, f"the cache cannot be written: {error.strerror}") from error


def _head(path: Path) -> Path:
    return path.with_name(path.name + "#head")


def _names(target: str) -> list[str]:
    """Return the names, from the host's folder down, under which a target is kept."""
    path, _, query = target.partition("?")
    names = [_escaped(unquote_to_bytes(part)) or "#" for part in path.split("/")[1:]]
    last = "#index" if names[-1] == "#" else names[-1]
    return [*names[:-1], f"{last}@{quote(query, safe='+,=&')}" if query else last]


def _escaped(name: bytes) -> str:
    """Return a name that is safe in any folder and that no other name has."""
    text = quote(name, safe="+,=")
    return text.replace(".", "%2E") if text in (".", "..") else text

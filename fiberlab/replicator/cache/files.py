"""The cache: files under host:port/path, each with what the origin said of it.

The rule kept here: a file is complete if its head file says so, and only then. The head file is
removed before the file changes and put back afterwards; so at each moment all are right:

    name              the file, with the origin's modification time
    name#head         what the origin said of it: address, size, header fields
    name#part         the bytes of a download, as far as it has come
    name#part#head    what the origin said of those; cut off it is no JSON, and counts as none

The mark # cannot come from an address: in names, whatever is not plain is escaped, ``..`` and
NUL and the slash that came as %2F too. Where a file should be there may be anything else: what
is no file is never read, so that a FIFO blocks no fiber.

Files are read and written with calls that block. On a local disk they are short, since the
system keeps what is new in memory; on a network's disk the whole loop would wait for it.

What this module does not know: connections, and downloads that are under way.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import time
from contextlib import suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from ..http import Headers, Url, can_be_told, field, seconds_of, with_marks

_LONGEST_NAME, _LONGEST_PATH = 180, 1000  # file systems allow 255 and 4096, with our marks
_DEEPEST = 32  # folders in each other; each costs a look, and to make them takes a stack
_MOST_KNOWN = 1000  # heads of files that are kept in memory
_LARGEST_HEAD = 1 << 20  # bytes; larger ones are not ours
_COLON = ":" if os.name != "nt" else "="  # Windows has another use for it


class About(NamedTuple):
    """What is known of a file: its address, its size (None: not yet), its header fields.

    born: the moment from which its age counts, as time.time() tells it; None: its Date tells.
    """

    url: str
    size: int | None
    headers: Headers
    born: float | None = None

    def told_to(self, asker: bool) -> Headers:
        """Return the fields for a client; asker: it is the one for which the origin was asked.

        All others get the file's age; the asker gets it only if the origin sent an age.
        """
        headers = [pair for pair in self.headers if pair[0] != b"age"]
        if not asker or len(headers) < len(self.headers):
            headers.append((b"age", b"%d" % self.age))
        return with_marks(headers)

    @property
    def age(self) -> float:
        """Seconds since the origin has sent it, or has said that it has not changed."""
        now = time.time()
        since = seconds_of(field(self.headers, b"date")) if self.born is None else self.born
        return max(0.0, now - (now if since is None else since))


Found = tuple[About, FileIO]


class Kept(NamedTuple):
    """A complete file: its place, what is known of it, and the file."""

    entry: Entry
    about: About
    file: FileIO


class Cache:
    """A folder of files, for one process at a time; OSError if another has it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[Url, _Known] = {}
        self._lock = FileIO(self.folder / ".lock", "a")
        try:
            with suppress(ImportError):  # Windows has no fcntl: there the user takes care
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
        return Entry(self.folder / f"{host}{_COLON}{url.port}", url, self._known)

    def find(self, url: Url) -> Kept | None:
        """Return the complete file as `Entry.open` does; its head is remembered."""
        if (known := self._known.get(url)) is not None:
            with suppress(OSError):
                file = _opened(known.entry.path, "r")
                if _identity(file) == known.identity:
                    return Kept(known.entry, known.about, file)
                file.close()
            del self._known[url]
        entry = self.entry(url)
        if (found := entry.open()) is None:
            return None
        if len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[url] = _Known(entry, _identity(found[1]), found[0])
        return Kept(entry, *found)


class _Known(NamedTuple):
    """What is remembered of a complete file, as long as it stays the same."""

    entry: Entry
    identity: tuple[int, ...]
    about: About


class Entry:
    """The place of one file: complete, partial or absent."""

    def __init__(self, host: Path, url: Url, known: dict[Url, _Known]) -> None:
        names = _names(url.target)
        fits = max(map(len, names)) <= _LONGEST_NAME and sum(map(len, names)) <= _LONGEST_PATH
        self.url, self._depth, self._known = url, len(names), known
        self._aside = host / ("#" + sha256(url.target.encode()).hexdigest())
        self._wanted = host.joinpath(*names) if fits and len(names) <= _DEEPEST else self._aside
        self._settle()

    def _settle(self) -> None:
        """Choose the place: where the address says, or aside; origins may have /a and /a/b."""
        above = [each for each in self._wanted.parents[: self._depth] if os.path.lexists(each)]
        in_the_way = self._wanted.is_dir() or not all(each.is_dir() for each in above)
        self.path = self._aside if in_the_way else self._wanted
        self.part = self.path.with_name(self.path.name + "#part")

    def open(self, *, part: bool = False) -> Found | None:
        """Return what is known of the complete file, or of a part to add to, and the file.

        None if there is none that can be believed. Raises OSError if it cannot be read.
        """
        path, mode = (self.part, "r+") if part else (self.path, "r")
        try:
            with _opened(_head(path), "r") as head:
                url, size, pairs, *rest = json.loads(head.read(_LARGEST_HEAD))
            headers = [(key.encode("latin-1"), text.encode("latin-1")) for key, text in pairs]
            about, file = About(url, size, headers, *map(float, rest[:1])), _opened(path, mode)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        size_fits = part or about.size == os.fstat(file.fileno()).st_size
        # Names that differ may mean one file, where capitals do not count.
        if about.url == str(self.url) and size_fits and can_be_told(headers):
            return about, file
        file.close()
        return None

    def begin(self, about: About) -> FileIO:
        """Return a new, empty file for a download; a reader of an older one keeps that."""
        self._settle()
        self.discard()
        self.part.parent.mkdir(parents=True, exist_ok=True)
        try:
            _describe(_head(self.part), about)
            return FileIO(self.part, "x+")
        except OSError:
            self.discard()
            raise

    def finish(self, about: About, file: FileIO) -> None:
        """Make the download the complete file."""
        # Two addresses may mean one place; the later download has taken it then.
        if not self._holds(file):
            return
        _describe(_head(self.part), about._replace(size=os.fstat(file.fileno()).st_size))
        _set_time(self.part, about)
        # The head goes first and comes last: without it the file does not count as complete.
        self.path = self._aside if self.path.is_dir() else self.path
        self._known.pop(self.url, None)
        _head(self.path).unlink(missing_ok=True)
        os.replace(self.part, self.path)
        os.replace(_head(self.part), _head(self.path))

    def freshen(self, about: About) -> None:
        """Write down what the origin says now of the complete file, which has not changed."""
        self._known.pop(self.url, None)
        new = self.path.with_name(self.path.name + "#new")
        _describe(new, about)
        os.replace(new, _head(self.path))
        _set_time(self.path, about)

    def remove(self) -> None:
        """Remove all that is here, so that it is not used any more."""
        self._known.pop(self.url, None)
        _head(self.path).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.discard()

    def discard(self, file: FileIO | None = None) -> None:
        """Remove what there is of a download; if `file` is given, only if it is that one."""
        if file is None or self._holds(file):
            _head(self.part).unlink(missing_ok=True)
            self.part.unlink(missing_ok=True)

    def _holds(self, file: FileIO) -> bool:
        """Whether the download that is under way here is this one."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), os.stat(self.part))
        return False


# -- Files and names -------------------------------------------------------------------


def _opened(path: Path, mode: str) -> FileIO:
    """Return an open file; OSError if there is anything else, which could block or never end."""
    file = FileIO(path, mode, opener=_open_at_once)
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def _open_at_once(path: Any, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _identity(file: FileIO) -> tuple[int, ...]:
    """Return what changes when a file is changed or replaced."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _describe(path: Path, about: About) -> None:
    """Write down what is known of a file."""
    pairs = [[text.decode("latin-1") for text in pair] for pair in about.headers]
    record = [about.url, about.size, pairs, *([] if about.born is None else [about.born])]
    path.unlink(missing_ok=True)  # whatever it is: a FIFO would wait for a reader
    with path.open("x", encoding="utf-8") as file:
        json.dump(record, file)


def _set_time(path: Path, about: About) -> None:
    """Give a file the time at which the origin says it was modified."""
    modified = seconds_of(field(about.headers, b"last-modified"))
    if modified is not None:
        with suppress(OSError, OverflowError):  # a date no file system knows
            os.utime(path, (modified, modified))


def _head(path: Path) -> Path:
    return path.with_name(path.name + "#head")


def _names(target: str) -> list[str]:
    """Return the names, from the host's folder down, under which a target is kept."""
    path, asks, query = target.partition("?")
    names = [_escaped(unquote_to_bytes(part)) or "#" for part in path.split("/")[1:]]
    last = "#index" if names[-1] == "#" else names[-1]
    return [*names[:-1], f"{last}@{quote(query, safe='+,=&')}" if asks else last]


def _escaped(name: bytes) -> str:
    """Return a name that is safe in any folder and that no other name has."""
    text = quote(name, safe="+,=")
    return text.replace(".", "%2E") if text in (".", "..") else text

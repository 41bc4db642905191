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

What this module does not know: connections and fibers.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from .http import Headers, Url, field, seconds_of

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


def _head(path: Path) -> Path:
    return path.with_name(path.name + "#head")


def _names(target: str) -> list[str]:
    """Return the names, from the host's folder down, under which a target is kept."""
    path, _, query = target.partition("?")
    names = [_escaped(unquote_to_bytes(part)) or "#" for part in path.split("/")[1:]]
    names[-1] = "#index" if names[-1] == "#" else names[-1]
    if query:
        names[-1] += "@" + quote(query, safe="+,=&")
    return names


def _escaped(name: bytes) -> str:
    """Return a name that is safe in any folder and that no other name has."""
    text = quote(name, safe="+,=")
    return text.replace(".", "%2E") if text in (".", "..") else text

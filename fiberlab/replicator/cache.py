"""The cache: files under host:port/path, each with what the origin said of it.

The rule kept here: a file is complete if its head file says so, and only then. The head file is
removed before the file changes and put back afterwards, so whenever the process is killed there
is either a complete file with its head, or none that anybody would serve:

    name              the file, with the origin's modification time
    name#head         what the origin said of it: address, size, header fields
    name#part         the bytes of a download, as far as it has come
    name#part#head    what the origin said of those

A download begins with an empty ``#part``, whose head follows at once; a head that was cut off is
no JSON, and counts as none. The mark # cannot come from an address: in names, whatever is not
plain is escaped, ``..`` and NUL and the slash that came as %2F too.

Files are read and written with calls that block. On a local disk they are short, since the
system keeps what is new in memory; on a network's disk the whole loop would wait for it.

What this module does not know: HTTP connections and fibers.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from io import FileIO
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from .http import Headers, Url, field, seconds_of, validator_of

_LONGEST_NAME = 180  # file systems allow 255 bytes, and the marks need some
_LONGEST_PATH = 1000
_COLON = ":" if os.name != "nt" else "="  # Windows has another use for it


@dataclass(frozen=True)
class About:
    """What is known of a file: its address, its size (None: not yet), its header fields."""

    url: str
    size: int | None
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, url: Url, size: int | None, headers: Headers) -> About:
        """Make it of fields as h11 has them."""
        pairs = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
        return cls(str(url), size, tuple(pairs))

    @property
    def fields(self) -> Headers:
        """The header fields as h11 has them."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers]

    @property
    def validator(self) -> str | None:
        """What an origin can tell this version by, so that a download may be resumed."""
        return validator_of(self.fields)

    @property
    def modified(self) -> float | None:
        """When the file was changed last, in seconds since 1970, if the origin said so."""
        return seconds_of(field(self.fields, b"last-modified"))


class Cache:
    """A folder of files; one process at a time.

    Raises OSError if the folder cannot be made or is in use.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.folder / ".lock", "ab")  # noqa: SIM115 - held until close()
        try:
            _lock(self._lock.fileno())
        except OSError as error:
            self._lock.close()
            raise type(error)(
                error.errno, f"the cache {str(folder)!r} is in use by another replicator"
            ) from None

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def entry(self, url: Url) -> Entry:
        """Return the place of a file in the cache, whether or not anything is there."""
        name = _escaped(url.host.encode())
        name = name if len(name) <= _LONGEST_NAME else _digest(url.host)
        host = self.folder / f"{name}{_COLON}{url.port}"
        names = _names(url.target)
        path = host.joinpath(*names)
        if path.is_dir() or any(above.is_file() for above in path.parents[: len(names)]):
            # Origins may have both /a and /a/b; a folder cannot.
            path = host / _digest(url.target)
        return Entry(path, url)


class Entry:
    """The place of one file: complete, partial or absent."""

    def __init__(self, path: Path, url: Url) -> None:
        self.url = url
        self.path = path
        self.part = path.with_name(path.name + "#part")

    def open_complete(self) -> tuple[About, FileIO] | None:
        """Return what is known of the file and the file, if it is there and complete."""
        return self._open(self.path, "rb")

    def open_partial(self) -> tuple[About, FileIO] | None:
        """Return the same of a download that was left, ready for more to be added.

        One that only lacked its new name gets it now.
        """
        found = self._open(self.part, "r+b")
        if found is None or found[0].size is None or _size(found[1]) < found[0].size:
            return found
        found[1].close()
        with suppress(OSError):
            self._rename(found[0])
        return None

    def begin(self, about: About) -> FileIO:
        """Return a new, empty file for a download; who reads an older one keeps that."""
        self.discard()
        self.part.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(self.part, "x+")
        try:
            self.describe(about)
        except BaseException:
            file.close()
            raise
        return file

    def describe(self, about: About) -> None:
        """Write down what is known of the download."""
        told = {"url": about.url, "size": about.size, "headers": about.headers}
        _head(self.part).write_text(json.dumps(told), encoding="utf-8")

    def finish(self, about: About, file: FileIO) -> None:
        """Make the download the file; if that fails it stays, and is found complete later."""
        # Two addresses may mean one place; the later download has taken it then.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(self.part)):
            if about.size is None:
                about = replace(about, size=_size(file))
                self.describe(about)
            self._rename(about)

    def discard(self) -> None:
        """Remove what there is of a download."""
        _head(self.part).unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)

    def _rename(self, about: About) -> None:
        if about.modified is not None:
            with suppress(OSError, OverflowError):  # a date no file system knows
                os.utime(self.part, (about.modified, about.modified))
        # The head goes first and comes last: without it nobody believes the file.
        _head(self.path).unlink(missing_ok=True)
        os.replace(self.part, self.path)
        os.replace(_head(self.part), _head(self.path))

    def _open(self, path: Path, mode: str) -> tuple[About, FileIO] | None:
        try:
            about = _read_head(_head(path))
            file = FileIO(path, mode)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        complete = about.size == _size(file)
        # Names that differ may mean one file, where capitals do not count.
        if about.url != str(self.url) or (path == self.path and not complete):
            file.close()
            return None
        return about, file


def _read_head(path: Path) -> About:
    told = json.loads(path.read_bytes())
    headers = tuple((str(name), str(value)) for name, value in told["headers"])
    return About(told["url"], told["size"], headers)


def _size(file: FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _head(path: Path) -> Path:
    return path.with_name(path.name + "#head")


def _names(target: str) -> list[str]:
    """Return the names, from the host's folder down, under which a target is kept."""
    path, _, query = target.partition("?")
    names = [_escaped(unquote_to_bytes(part)) or "#" for part in path.split("/")[1:]]
    names[-1] = names[-1] if names[-1] != "#" else "#index"
    if query:
        names[-1] += "@" + quote(query, safe="+,=&")
    if max(map(len, names)) > _LONGEST_NAME or sum(map(len, names)) > _LONGEST_PATH:
        return [_digest(target)]
    return names


def _escaped(name: bytes) -> str:
    """Return a name that is safe in any folder and that no other name has."""
    text = quote(name, safe="+,=")
    return text.replace(".", "%2E") if text.strip(".") == "" else text


def _digest(target: str) -> str:
    return "#" + sha256(target.encode()).hexdigest()


def _lock(fileno: int) -> None:
    """Lock an open file until it is closed, or its process ends in whatever way."""
    try:
        import fcntl
    except ImportError:  # Windows: there it is the user who takes care
        return
    fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)

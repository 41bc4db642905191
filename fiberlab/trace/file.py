"""Trace files: JSON Lines, one event a line and the header first, so a cut one can still be read.

The rule kept here: a file is not believed. How large it is, how long and how deeply nested its
lines are is bounded before they are parsed, and each field is held to its type. What is wrong is
said with the file's name and the line; a file that was cut off at its end gives what is there.

Saving is all or nothing: a file is written beside its place and moved there when it is whole.

This module knows no scheduler, and none of the laws of a story but the order of time.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import IO, Any, NamedTuple

from ..errors import TraceError
from .events import EV, Row
from .line import check_depth, line_maker, parse, row_of
from .packed import PackedRows

Progress = Callable[[float], Any]
"""Called now and then with the share of the work that is done, 0 to 1."""

_BATCH = 5_000  # lines between two calls of a Progress
_LONGEST = 1 << 20  # bytes of a line


class FileLimits(NamedTuple):
    """How much of a file is read before it is refused.

    lines, size_bytes: in all, the size when uncompressed. line_bytes: in one line. depth:
    brackets within brackets.
    """

    lines: int = 5_000_000
    size_bytes: int = 1 << 30
    line_bytes: int = _LONGEST
    depth: int = 8


# -- Writing ------------------------------------------------------------------


def write_rows(
    rows: Sequence[Row], path: str | os.PathLike[str], progress: Progress | None = None
) -> None:
    """Write `rows` to `path`, compressed if the name ends in ``.gz``; see `replacing`.

    Raises TraceError, with the event, for what could not be read again; then nothing is written.
    """
    path = os.fsdecode(path)
    # The bytes of a row that is not written whole, or not in its place, could not be taken back.
    for _ in _written(rows, path) if _is_stream(path) else ():
        pass
    with replacing(path) as file:
        for done, text in enumerate(_written(rows, path), 1):
            file.write(text)
            if progress is not None:
                progress(min(1.0, done * _BATCH / len(rows)))


def _written(rows: Sequence[Row], path: str | os.PathLike[str]) -> Iterator[bytes]:
    """Yield the bytes of `rows`, some thousand lines at once."""
    line, order, number, left = line_maker(), _Order(), 0, iter(rows)
    try:
        if not rows:
            raise ValueError("it is empty; was it given to a scheduler as trace=?")
        for done in range(0, len(rows), _BATCH):
            number, lines = done, []
            for row in islice(left, _BATCH):
                number += 1
                lines.append(line(row))
                order.check(row)
                if len(lines[-1]) > _LONGEST // 4:  # four bytes are the most a character takes
                    _check_length(lines[-1])
            yield _encoded("".join(lines))
    except ValueError as error:
        raise TraceError(
            f"{os.fspath(path)}: event {max(1, number)} of the trace cannot be saved: {error}"
        ) from None


def _check_length(line: str) -> None:
    if len(_encoded(line)) > _LONGEST:
        raise ValueError(f"its texts together are too long for a line of {_LONGEST:,} bytes")


def _encoded(text: str) -> bytes:
    # Half a surrogate pair comes out as \udc80, which is how JSON writes it.
    return text.encode("utf-8", "backslashreplace")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` when the block ends; if it fails, nothing does.

    The name says whether it is compressed (``.gz``). The same content gives the same bytes.
    A pipe, a terminal, and a descriptor such as /dev/stdout are written to as they are.
    Raises OSError, with `path`, for what cannot be written.
    """
    name = path = os.fsdecode(path)
    try:
        if _is_stream(path):
            with _open_stream(path) as stream, _packed(stream, name) as file:
                yield file
            return
        target, temporary = _places(path)
        try:
            with open(temporary, "wb") as part, _packed(part, name) as file:
                yield file
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        # Not the name of the part, nor none at all: a full disk shows at a write.
        raise OSError(error.errno, error.strerror or str(error), name) from None


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError, with `path`, if `replacing` could not even begin to write there."""
    name = os.fspath(path)
    try:
        if os.path.isdir(path) or (os.path.exists(path) and not os.access(path, os.W_OK)):
            number = errno.EISDIR if os.path.isdir(path) else errno.EACCES
            raise OSError(number, os.strerror(number))
        if not _is_stream(path):
            target, temporary = _places(path)
            with contextlib.suppress(FileNotFoundError):
                os.stat(target)  # its name may be too long
            with open(temporary, "wb"):
                pass
            os.unlink(temporary)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), name) from None


def _places(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Return what is replaced, and where it is written meanwhile: beside it."""
    target = os.path.realpath(path)
    writer = f".fiberlab-{os.getpid()}-{threading.get_ident()}.part"
    return target, os.path.join(os.path.dirname(target), writer)


def _packed(file: IO[bytes], name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    if not name.endswith(".gz"):
        return contextlib.nullcontext(file)
    return gzip.GzipFile("", "wb", 6, file, mtime=0)  # type: ignore[return-value]


def _is_stream(path: str | os.PathLike[str]) -> bool:
    """Whether `path` cannot be replaced: it is a pipe or a terminal, or stands for a descriptor."""
    there = os.path.exists(path) and not os.path.isfile(path)
    return there or descriptor_of(path) is not None


def _open_stream(path: str | os.PathLike[str]) -> IO[bytes]:
    number = descriptor_of(path)
    # A copy of the descriptor: to open the file anew would be to begin at its head again.
    return open(path if number is None else os.dup(number), "wb")


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """Return which descriptor of this process `path` stands for, as /dev/stdout does; or None."""
    place = os.fsdecode(path)
    for _ in range(40):  # as many links as Linux follows
        folder, name = os.path.split(place)
        folder = os.path.realpath(folder)
        if name.isdecimal() and folder in ("/dev/fd", os.path.realpath("/proc/self/fd")):
            return int(name)
        try:
            place = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except (OSError, ValueError):  # no link; and not every system has them
            return None
    return None


# -- Reading ------------------------------------------------------------------


def read_rows(
    path: str | os.PathLike[str], limits: FileLimits, progress: Progress | None = None
) -> tuple[PackedRows, bool]:
    """Return the rows in the file at `path`, and whether the file was cut off.

    Raises TraceError, with the line, for what is no trace, is damaged or too large; OSError for
    what cannot be opened.
    """
    reader, path = _Reader(limits), os.fsdecode(path)  # a number would be another's descriptor
    with open(path, "rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        try:
            for _ in reader.batches(_unpacked(raw, os.fspath(path))):
                if progress is not None:
                    progress(min(1.0, raw.tell() / size) if size else 1.0)
        except ValueError as error:
            line = max(1, reader.number)
            raise TraceError(f"{os.fspath(path)} line {line}: {error}") from None
    return reader.rows, reader.cut


def _unpacked(raw: io.BufferedReader, name: str) -> IO[bytes]:
    """Return `raw`, or what it holds when it is compressed; its first bytes tell."""
    packed = raw.peek(2)[:2] == b"\x1f\x8b"
    if packed:
        return gzip.GzipFile(fileobj=raw, mode="rb")  # type: ignore[return-value]
    if name.endswith(".gz"):
        raise ValueError("the name ends in .gz, and the file is not compressed by gzip")
    return raw


class _Reader:
    """Goes through the lines of a file once; `number` is the line it is at."""

    def __init__(self, limits: FileLimits) -> None:
        self.limits = limits
        self.rows = PackedRows()
        self.number = 0
        self.cut = False
        self._size = 0
        self._order = _Order()
        self._shared: dict[str, str] = {}  # one object for each text that comes again and again

    def batches(self, file: IO[bytes]) -> Iterator[None]:
        """Take every line of `file`, and yield now and then."""
        longest = self.limits.line_bytes
        while not self.cut:
            try:
                line = file.readline(longest + 1)
            except EOFError:  # gzip's word for a file that ends too early
                self.number += 1
                self.cut = True
                break
            except (zlib.error, gzip.BadGzipFile):
                self.number += 1
                raise ValueError("from here on the compressed file is damaged") from None
            if not line:
                break
            self.number += 1
            self._hold_to_limits(line)
            self._take(line)
            if self.number % _BATCH == 0:
                yield
        self.rows.pack()
        if not self.rows:
            raise ValueError("the file is empty; no trace was saved")
        self.cut = self.cut or self.rows[-1][EV] != "stop"
        yield

    def _hold_to_limits(self, line: bytes) -> None:
        limits = self.limits
        self._size += len(line)
        if len(line) > limits.line_bytes:
            raise ValueError(f"the line has more than {limits.line_bytes:,} bytes (line_bytes=)")
        if self.number > limits.lines:
            raise ValueError(f"the file has more than {limits.lines:,} lines (lines=)")
        if self._size > limits.size_bytes:
            raise ValueError(f"the file has more than {limits.size_bytes:,} bytes (size_bytes=)")
        if line.count(b"{") + line.count(b"[") > limits.depth:
            check_depth(line, limits.depth)

    def _take(self, line: bytes) -> None:
        """Keep the row that `line` stands for, if its kind is known."""
        try:
            given = parse(line.removeprefix(b"\xef\xbb\xbf") if self.number == 1 else line)
        except ValueError:
            if self.rows and not line.endswith(b"\n"):
                self.cut = True
                return
            raise
        row = None if given is None else row_of(given, self._shared)
        if row is not None:
            self._order.check(row)
            self.rows.append(row)


class _Order:
    """Refuses what no scheduler tells: two runs in one trace, or time that goes back."""

    def __init__(self) -> None:
        self._before: str | None = None  # the kind of the last event
        self._last = 0  # the last moment so far
        self._spawned: set[int] = set()

    def check(self, row: Row) -> None:
        """Raise ValueError if `row` cannot come after those that were checked before."""
        t, ev, fid = row[:3]
        before, self._before = self._before, ev
        if before is None:
            if ev != "start":
                raise ValueError(
                    f"a trace begins with a start event, not {ev}; is this file a trace?"
                )
        elif ev == "start" or before == "stop":
            where = "a second start" if ev == "start" else f"a {ev} after the stop"
            raise ValueError(f"this is {where}; was this trace merged of two?")
        # A stall was seen before, by a watchdog, and is recorded when its step is over.
        if ev != "stall":
            if t < self._last:
                raise ValueError(f"time goes back from {self._last} to {t} ns; was it reordered?")
            self._last = t
        if ev == "spawn":
            if fid in self._spawned:
                raise ValueError(f"fiber {fid} is spawned a second time; was this trace merged?")
            self._spawned.add(fid)

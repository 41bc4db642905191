"""Where a fiber's prints go: kept until it ends, written at once, or left alone.

The rule kept here: only what a running fiber prints is caught. One router a process stands in
for sys.stdout and sys.stderr while any scheduler catches output; at each write it asks whether
the calling thread has a scheduler, and which fiber that is running. All else passes through, so
no line of another thread, of a notebook's cell or of a second scheduler is lost or misrouted.

(Swapping sys.stdout at each step, as the first such schedulers did, catches the prints of every
other thread as well, and two of them leave it pointing at a dead fiber's log.)

What it does not catch: writers that took hold of the stream before, such as a logging handler,
and what C code writes to the descriptor.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from .errors import one_line
from .io.clock import Clock
from .trace.events import printable


class Output:
    """What becomes of the prints of one scheduler's fibers.

    mode: None, "withheld" or "direct". file: where it is written (None: sys.stdout, as it is
    when something is written). debug: report an error with its complete traceback.
    """

    def __init__(
        self, mode: str | None, file: TextIO | None, clock: Clock, debug: bool = False
    ) -> None:
        if mode not in (None, "withheld", "direct"):
            raise ValueError(f"output is None, 'withheld' or 'direct', got {mode!r}")
        if file is not None and not callable(getattr(file, "write", None)):
            raise TypeError(f"file= needs an open file to write to, got {file!r}")
        self.mode = mode
        self.debug = debug
        self.report: Any = None  # the scheduler's Reporter, to be told of each line
        self._file = file
        self._clock = clock
        self._catch: Callable[[str, str], bool] | None = None
        self._writing = False
        self._warned = False

    def catch(self, running: Callable[[], Any]) -> None:
        """Catch what the fiber `running()` prints in this thread, until `release`."""
        if self.mode is None:
            return

        def catch(text: str, stream: str) -> bool:
            return self._caught(running(), text, stream)

        self._catch = catch  # before there is anything to undo: ^C may strike in attach
        _router.attach(catch)

    def release(self) -> None:
        """Catch no more; of no effect if nothing was caught."""
        if self._catch is not None:
            _router.detach(self._catch)
            self._catch = None

    def begin(self, fiber: Any) -> None:
        """Make the log of a fiber that begins to live now."""
        if self.mode is not None:
            fiber._log = _Log(self._clock.now_ns())

    def last_line(self, fiber: Any) -> None:
        """End the last line of `fiber`, which will print no more."""
        if fiber._log is not None:
            for stream, part in list(fiber._log.parts.items()):
                if part:
                    self._lines(fiber, fiber._log, "\n", stream)

    def end(self, fiber: Any, how: str) -> None:
        """Write what was withheld of `fiber`, and the error that ended it if `how` is "error".

        An error is one line, or its complete traceback when debugging. Once: a second call
        writes nothing.
        """
        log = fiber._log
        lines = self._error_lines(fiber, fiber.error) if how == "error" else []
        if self.mode == "withheld" and log is not None:
            text = "".join(log.lines + [self._stamp(log, line) for line in lines])
            text = text and self._header(fiber, log) + text
        else:
            prefix = f"[{fiber.id}] " if self.mode == "direct" else ""
            text = "".join(f"{prefix}{printable(line)}\n" for line in lines)
        if text and not fiber._told:
            self.write(text, last_of=fiber)

    def say(self, line: str) -> None:
        """Write a `line` that is the server's own."""
        self.write(printable(line) + "\n")

    def write(self, text: str, last_of: Any = None) -> None:
        """Write `text` whole to the file; `last_of`: the fiber whose last words these are."""
        file = _router.original("stdout") if self._file is None else self._file
        if file is None:  # as under pythonw; print does nothing there, either
            return
        self._writing = True
        try:
            if last_of is not None:
                # Right before the call: ^C comes between calls, so nothing is lost or told twice.
                last_of._told = True
            try:
                file.write(text)
            except UnicodeEncodeError as error:  # a file that knows fewer characters
                file.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
            if hasattr(file, "flush"):
                file.flush()
        except Exception as error:  # a full disk, a reader that has gone: no fiber's fault
            self._warn(file, error)
        finally:
            self._writing = False

    def _warn(self, file: Any, error: Exception) -> None:
        """Say once that `file` cannot be written."""
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"what fibers print cannot be written to {file!r}: {one_line(error)}; the scheduler "
            "goes on without it",
            RuntimeWarning,
            stacklevel=3,
        )

    # -- Caught prints --------------------------------------------------------

    def _caught(self, fiber: Any, text: str, stream: str) -> bool:
        """Take `text` if a fiber is running; say whether it was taken."""
        # During a write it is the file that prints, or a signal handler; and a trace's observer
        # is no fiber, either.
        if fiber is None or fiber._log is None or self._writing:
            return False
        if self.report is not None and self.report.telling:
            return False
        self._lines(fiber, fiber._log, text, stream)
        return True

    def _lines(self, fiber: Any, log: _Log, text: str, stream: str) -> None:
        """Add `text`, of which whole lines are logged or written and the rest is kept."""
        *lines, rest = (log.parts.get(stream, "") + text).split("\n")
        stamped = [self._stamp(log, line) for line in lines] if self.mode == "withheld" else []
        # No call between these two: ^C comes between calls, and loses no line.
        log.parts[stream] = rest
        log.lines += stamped
        for line in lines:
            if self.mode == "direct":
                self.write(f"[{fiber.id}] {printable(line)}\n")
            if self.report is not None:
                self.report.output(fiber, line, stream)

    def _stamp(self, log: _Log, line: str) -> str:
        seconds = (self._clock.now_ns() - log.began) / 1e9
        return f"{seconds:10.3f}  {printable(line)}\n"

    def _error_lines(self, fiber: Any, error: BaseException) -> list[str]:
        if self.debug:
            # Some cannot be formatted: a SyntaxError with numbers for its text.
            with contextlib.suppress(Exception):
                whole = traceback.format_exception(type(error), error, error.__traceback__)
                return "".join(whole).splitlines()
        return [f"error: {one_line(error)} (fiber {fiber.name!r})"]

    def _header(self, fiber: Any, log: _Log) -> str:
        if self._clock.name == "simulated":
            began = f"{log.began / 1e9:.3f} s"
        else:
            began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(log.wall))
        return f"--- {began}  {printable(fiber.name)}\n"


class _Log:
    """What one fiber has printed."""

    __slots__ = ("began", "lines", "parts", "wall")

    def __init__(self, began: int) -> None:
        self.began = began
        self.wall = time.time()
        self.lines: list[str] = []
        self.parts: dict[str, str] = {}  # by stream: a last line that has no end yet


class _Router:
    """The one stand-in for sys.stdout and sys.stderr, while anybody catches output."""

    def __init__(self) -> None:
        self._catchers: dict[int, list[Callable[[str, str], bool]]] = {}
        self._streams: dict[str, _Stream] = {}
        self._made: deque[_Stream] = deque(maxlen=4)
        self._lock = threading.RLock()

    def attach(self, catch: Callable[[str, str], bool]) -> None:
        with self._lock:
            self._catchers.setdefault(threading.get_ident(), []).append(catch)
            for name in ("stdout", "stderr"):
                now = getattr(sys, name)
                # Anew also when somebody has put another stream in place since, or has put an
                # old stand-in back (a redirection that outlasted the run before).
                if now is not None and now is not self._streams.get(name):
                    original = now.original if isinstance(now, _Stream) else now
                    self._streams[name] = self._stand_in(name, original)
                    setattr(sys, name, self._streams[name])

    def detach(self, catch: Callable[[str, str], bool]) -> None:
        """Forget `catch`, if it is known; after the last one, put the streams back."""
        with self._lock:
            mine = self._catchers.get(threading.get_ident(), [])
            if catch in mine:
                mine.remove(catch)
            if not mine:
                self._catchers.pop(threading.get_ident(), None)
            if self._catchers:
                return
            for name, stream in self._streams.items():
                if getattr(sys, name) is stream:
                    setattr(sys, name, stream.original)
            self._streams.clear()

    def _stand_in(self, name: str, original: TextIO) -> _Stream:
        """Return a stand-in for `original`: the one it had before, if it had one.

        It outlives its use: print() holds no reference to sys.stdout (CPython's issue 130163,
        mended since), so the interpreter would crash if another thread were just printing.
        """
        for stream in self._made:
            if stream._stream == name and stream.original is original:
                return stream
        made = _Stream(name, original, self._catchers)
        self._made.append(made)
        return made

    def original(self, name: str) -> TextIO | None:
        """Return the stream that would be there without us."""
        stream = getattr(sys, name)
        return stream.original if isinstance(stream, _Stream) else stream


class _Stream(io.TextIOBase):
    """Passes everything on to `original`, except what a running fiber writes."""

    def __init__(
        self, name: str, original: TextIO, catchers: dict[int, list[Callable[[str, str], bool]]]
    ) -> None:
        self.original = original
        self._stream = name
        self._catchers = catchers

    def write(self, text: str) -> int:
        catchers = self._catchers.get(threading.get_ident())
        # The innermost first: a fiber may run a scheduler that is not running a fiber just now.
        if catchers and any(catch(text, self._stream) for catch in reversed(catchers)):
            return len(text)
        return self.original.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.original.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    def close(self) -> None:
        """Stay open: the stream belongs to the process, not to whoever holds this stand-in."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.original.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


_router = _Router()

"""Where a fiber's prints go: kept until it ends, written at once, or left alone.

The rule kept here: only what a running fiber prints is caught. One router a process stands in
for sys.stdout and sys.stderr while any scheduler catches output; at each write it asks whether
the calling thread has a scheduler, and which fiber that is running. All else passes through, so
no line of another thread, of a notebook's cell or of a second scheduler is lost or misrouted.

(Swapping sys.stdout at each step, as the first such schedulers did, catches the prints of every
other thread as well, and two of them leave it pointing at a dead fiber's log.)

A fiber that sets sys.stdout, as `contextlib.redirect_stdout` does, sets it for itself, however
often it yields meanwhile. Before it asks a question with `input`, as a debugger does too, all
that it has printed is written. A process that a fiber forks is no fiber: its prints pass through.

What it does not catch: writers that took hold of the stream before, such as a logging handler,
and what C code writes to the descriptor.
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Callable
from types import ModuleType
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
        self.report: Any = None  # the scheduler's Reporter; it records each line
        self._file = file
        self._clock = clock
        self._running: Callable[[], Any] | None = None  # while prints are caught
        self._writing = False
        self._warned = False

    def catch(self, running: Callable[[], Any]) -> None:
        """Catch what the fiber `running()` prints in this thread, until `release`."""
        if self.mode is None:
            return
        self._running = running  # before there is anything to undo: ^C may strike in attach
        _router.attach(self)

    def release(self) -> None:
        """Catch no more; of no effect if nothing was caught."""
        if self._running is not None:
            _router.detach(self)
            self._running = None

    def begin(self, fiber: Any) -> None:
        """Make the log of a fiber that begins to live now."""
        if self.mode is not None:
            fiber._log = _Log(self._clock.now_ns())

    def last_line(self, fiber: Any) -> None:
        """End the last line of `fiber`, which will print no more."""
        if _is_ours(fiber._log):
            for stream, part in list(fiber._log.parts.items()):
                if part:
                    self.take(fiber, "\n", stream)

    def end(self, fiber: Any, how: str) -> None:
        """Write what was withheld of `fiber`, and the error that ended it if `how` is "error".

        An error is one line, or its complete traceback when debugging. Once: a second call
        writes nothing.
        """
        log = fiber._log
        lines = self._error_lines(fiber, fiber.error) if how == "error" else []
        if self.mode == "withheld" and _is_ours(log):
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
        """Write `text` whole to the file; `last_of`: the fiber that ends with them."""
        file = _router.beneath(self, "stdout") if self._file is None else self._file
        if file is None:  # as under pythonw; print does nothing there, either
            return
        self._writing = True
        try:
            if last_of is not None:
                # Right before the call: ^C comes between calls, so nothing is lost or doubled.
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

    def printing(self) -> Any:
        """Return the fiber whose prints are caught at this moment; None if there is none."""
        fiber = None if self._running is None else self._running()
        # During a write it is the file that prints, or a signal handler; and a trace's observer
        # is no fiber, either.
        if fiber is None or fiber._log is None or self._writing:
            return None
        if self.report is not None and self.report.telling:
            return None
        return fiber

    def ask(self, fiber: Any, ask: Callable[..., str], *prompt: object) -> str:
        """Write all that `fiber` has printed, then let it `ask` the user for a line."""
        log: _Log = fiber._log
        text = self._header(fiber, log) + "".join(log.lines) if log.lines else ""
        text += "".join(printable("".join(part)) for part in log.parts.values())
        # No call between these two, as below.
        log.lines, log.parts = [], {}
        if text:
            self.write(text)
        self._writing = True  # the prompt, and what the terminal echoes, is not withheld
        try:
            return ask(*prompt)
        finally:
            self._writing = False

    def take(self, fiber: Any, text: str, stream: str) -> None:
        """Take what `fiber` prints: whole lines are logged or written, the rest is kept."""
        log: _Log = fiber._log
        part = log.parts.setdefault(stream, [])
        if "\n" not in text:  # joined when the line ends: at each piece, it would be quadratic
            part += [text] if text else []
            return
        *lines, rest = "".join([*part, text]).split("\n")
        stamped = [self._stamp(log, line) for line in lines] if self.mode == "withheld" else []
        # No call between these two: ^C comes between calls, and loses no line.
        log.parts[stream] = [rest] if rest else []
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
            # Some cannot be formatted, such as one whose __cause__ cannot be read.
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

    __slots__ = ("began", "lines", "parts", "process", "redirected", "wall")

    def __init__(self, began: int) -> None:
        self.began = began
        self.wall = time.time()
        self.process = os.getpid()
        self.lines: list[str] = []
        self.parts: dict[str, list[str]] = {}  # by stream: a last line that has no end yet
        self.redirected: dict[str, Any] = {}  # by stream: where this fiber has set it to


def _is_ours(log: _Log | None) -> bool:
    """Whether there is a log, and not a copy of what the process that forked this one writes."""
    return log is not None and log.process == os.getpid()


# -- Standing in for the streams -----------------------------------------------------


class _Router:
    """The one stand-in for sys.stdout, sys.stderr and input, while any scheduler catches output."""

    def __init__(self) -> None:
        self._catchers: dict[int, list[Output]] = {}  # by thread; the innermost is last
        self._streams: dict[str, _Printed] = {}
        self._made: deque[_Printed] = deque(maxlen=4)
        self._lock = threading.RLock()
        self._input: Callable[..., str] = input
        self._watches_forks = False

    def attach(self, output: Output) -> None:
        """Let `output` catch what is printed in this thread."""
        with self._lock:
            self._watch_forks()
            self._catchers.setdefault(threading.get_ident(), []).append(output)
            for name in _NAMES:
                now = vars(sys).get(name)
                # Anew also when another stream was put in place since, or has put an
                # old stand-in back (a redirection that outlasted the run before).
                if now is not None and now is not self._streams.get(name):
                    original = now.original if isinstance(now, _Stream) else now
                    self._streams[name] = vars(sys)[name] = self._stand_in(name, original)
            if not isinstance(sys, _Sys):
                sys.__class__ = _Sys
            if builtins.input != self.ask:
                self._input, builtins.input = builtins.input, self.ask

    def detach(self, output: Output) -> None:
        """Forget `output`, if it is known; after the last one, put the streams back."""
        with self._lock:
            mine = self._catchers.get(threading.get_ident(), [])
            if output in mine:
                mine.remove(output)
            if not mine:
                self._catchers.pop(threading.get_ident(), None)
            if self._catchers:
                return
            if isinstance(sys, _Sys):
                sys.__class__ = ModuleType  # type: ignore[assignment]
            if builtins.input == self.ask:
                builtins.input = self._input
            for name, stream in self._streams.items():
                if vars(sys).get(name) is stream:
                    vars(sys)[name] = stream.original
            self._streams.clear()

    def _stand_in(self, name: str, original: TextIO) -> _Printed:
        """Return a stand-in for `original`: the one it had before, if it had one.

        It outlives its use: print() holds no reference to sys.stdout (CPython's issue 130163,
        mended since), so the interpreter would crash if another thread were just printing.
        """
        for stream in self._made:
            if stream.stream == name and stream.original is original:
                return stream
        made = _Printed(name, original)
        self._made.append(made)
        return made

    # -- Which fiber prints -----------------------------------------------------------

    def printing(self, inside: Output | None = None) -> tuple[Output, Any] | None:
        """Return the fiber that prints in this thread, with its output; None if there is none.

        The innermost, since a fiber may run a scheduler, which need not be running a fiber just
        now. inside: look for one that runs the scheduler of this output.
        """
        catchers = self._catchers.get(threading.get_ident())
        if catchers is None:
            return None
        if inside in catchers:
            catchers = catchers[: catchers.index(inside)]
        for output in reversed(catchers):
            fiber = output.printing()
            if fiber is not None:
                return output, fiber
        return None

    def redirected(self, name: str, inside: Output | None = None) -> Any:
        """Return where the fiber that prints has set the stream `name`; _UNSET if it has not."""
        found = self.printing(inside)
        return _UNSET if found is None else found[1]._log.redirected.get(name, _UNSET)

    def beneath(self, output: Output, name: str) -> Any:
        """Return the stream that would be there without `output`."""
        stream = self.redirected(name, output)
        if stream is _UNSET:
            stream = vars(sys).get(name)
        return stream.original if isinstance(stream, _Stream) else stream

    def ask(self, *prompt: object) -> str:
        """Stand in for `input`."""
        found = self.printing()
        if found is None:
            return self._input(*prompt)
        output, fiber = found
        return output.ask(fiber, self._input, *prompt)

    # -- Forks ----------------------------------------------------------------

    def _watch_forks(self) -> None:
        if not self._watches_forks and hasattr(os, "register_at_fork"):
            self._watches_forks = True
            os.register_at_fork(before=self._flush, after_in_child=self._forget)

    def _flush(self) -> None:
        """Leave nothing in a buffer that parent and child would both write."""
        for stream in list(self._streams.values()):
            with contextlib.suppress(Exception):
                stream.original.flush()

    def _forget(self) -> None:
        """Catch nothing in a child: what would write it is in the parent."""
        self._lock = threading.RLock()  # another thread may have held it
        self._catchers.clear()
        _Stream.forked = True


_NAMES = ("stdout", "stderr")
_UNSET = object()


class _Stream(io.TextIOBase):
    """Passes everything on to `original`, except what a running fiber writes."""

    forked = False
    """Whether this process is a child, which may end without another flush (os._exit)."""

    def __init__(self, stream: str, original: TextIO) -> None:
        self.stream = stream
        self.original = original

    def write(self, text: str) -> int:
        found = _router.printing()
        if found is not None:
            output, fiber = found
            output.take(fiber, text, self.stream)
            return len(text)
        count = self.original.write(text)
        if self.forked:
            self.original.flush()
        return count

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
        """Stay open: the stream belongs to the process, not to the holder of this stand-in."""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.original.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.original.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _Printed(_Stream):
    """What `print` finds: obeys a fiber that has set the stream for itself.

    Code that reads ``sys.stdout`` gets `behind`, which does not. So a stream that copies all to the
    one that was there before, as a tee does, is not given its own text again.
    """

    def __init__(self, stream: str, original: TextIO) -> None:
        super().__init__(stream, original)
        self.behind = _Stream(stream, original)

    def write(self, text: str) -> int:
        found = _router.printing()
        if found is None:
            return super().write(text)
        output, fiber = found
        target = fiber._log.redirected.get(self.stream, _UNSET)
        if target is _UNSET:
            output.take(fiber, text, self.stream)
        elif target is not None:  # print does nothing then, either
            target.write(text)
        return len(text)

    def flush(self) -> None:
        target = _router.redirected(self.stream)
        if target is _UNSET:
            super().flush()
        elif target is not None:
            target.flush()


def _set_by_each_fiber(name: str) -> property:
    """Return the attribute `name` of sys: set in a running fiber, it is set for that one only."""

    def read(_sys: Any) -> Any:
        stream = _router.redirected(name)
        if stream is not _UNSET:
            return stream
        try:
            stream = vars(sys)[name]
        except KeyError:
            raise AttributeError(f"module 'sys' has no attribute {name!r}") from None
        return stream.behind if isinstance(stream, _Printed) else stream

    def write(_sys: Any, stream: Any) -> None:
        found, now = _router.printing(), vars(sys).get(name)
        back = isinstance(now, _Printed) and (stream is now or stream is now.behind)
        if found is None:
            vars(sys)[name] = now if back else stream
        elif back:
            found[1]._log.redirected.pop(name, None)
        else:
            found[1]._log.redirected[name] = stream

    def delete(_sys: Any) -> None:
        del vars(sys)[name]

    return property(read, write, delete)


class _Sys(ModuleType):
    """What the module sys is while output is caught.

    The class of a module may be set (see "Customizing module attribute access"). It is the one
    way to learn that sys.stdout is set; `print` reads the module's dictionary, and so pays nothing.
    """

    stdout = _set_by_each_fiber("stdout")
    stderr = _set_by_each_fiber("stderr")

    def __getattr__(self, name: str) -> Any:
        """Say what a module says; without this, Python 3.14 would soon pass by the properties.

        It reads an attribute of a module straight from the module's dictionary, from the second
        time on, unless the module's class has a way of its own to find attributes.
        """
        raise AttributeError(f"module 'sys' has no attribute {name!r}")


_router = _Router()

"""One class for each mistake or ending, each with its message.

The rule kept here: a message says what came, what was expected and the likely remedy, and
names the fiber. The docstring of each class says what raises it.
"""

from __future__ import annotations

import contextlib
from typing import Any


class FiberTimeout(TimeoutError):
    """Thrown into a fiber whose RECV or SEND has passed its deadline."""

    @classmethod
    def of(cls, fiber: Any) -> FiberTimeout:
        """Say which fiber waited in vain, and for what."""
        return cls(f"fiber {fiber.name!r} waited in vain: {_short(fiber.wait)} timed out")


class FiberCancelled(BaseException):
    """Thrown into a fiber at its yield by ``fiber.cancel()``.

    It is not an Exception, so an ``except Exception`` around some work does not swallow it.
    """


class InvalidYield(TypeError):
    """Thrown into a fiber that has yielded something other than RECV, SEND or WAIT."""

    @classmethod
    def of(cls, fiber: Any, came: object) -> InvalidYield:
        """Say what `fiber` yielded, what is allowed, and the likely slip."""
        hint = ""
        if isinstance(came, type):
            hint = f": write {came.__name__}(...), with its arguments"
        elif hasattr(came, "send") and hasattr(came, "throw"):
            hint = ": to run another generator inside, write yield from"
        elif hasattr(came, "_asyncio_future_blocking"):
            hint = ": what belongs to asyncio works under asyncio only"
        return cls(
            f"fiber {fiber.name!r} yielded {_short(came)}; "
            f"a fiber may yield only RECV(sock), SEND(sock) or WAIT(seconds){hint}"
        )


class SocketBusy(RuntimeError):
    """Thrown into the second fiber that waits for the same direction of the same socket."""

    @classmethod
    def of(cls, first: Any, second: Any, verb: str, fileno: int) -> SocketBusy:
        """Name both fibers, what they wait for and the socket's number."""
        return cls(
            f"fibers {first.name!r} and {second.name!r} both wait to {verb} on socket {fileno}; "
            "give each its own socket, or let one of them hand the data on"
        )


class SocketClosed(OSError):
    """Thrown into a fiber that waits on a socket that is closed, or gets closed meanwhile."""

    @classmethod
    def of(cls, fiber: Any, sock: object) -> SocketClosed:
        """Name the fiber that waits and the socket that is no longer open."""
        return cls(f"fiber {fiber.name!r} waits on a socket that is closed: {_short(sock)}")


class Deadlock(RuntimeError):
    """Raised by run() when nothing can ever wake the fibers that are left.

    They are parked; or, in simulated time, they wait on sockets and nothing will arrive.
    fibers: those fibers, in the order in which they began to wait.
    """

    fibers: tuple[Any, ...] = ()

    @classmethod
    def of(cls, fibers: Any) -> Deadlock:
        """Name the parked `fibers`; if none is parked, those that the run queue has lost."""
        fibers = tuple(fibers)
        if fibers and fibers[0].wait is None:
            what = "in the run queue, which does not give them back: mend its append and popleft"
            return cls._naming(fibers, what)
        return cls._naming(fibers, "only for other fibers (WAIT(None)); none is left to run")

    @classmethod
    def on_sockets(cls, fibers: Any) -> Deadlock:
        """Name the `fibers` that wait on simulated sockets."""
        return cls._naming(
            fibers,
            "on simulated sockets, and nothing is on its way; close the other end, give RECV a "
            "timeout, or end with scheduler.stop()",
        )

    @classmethod
    def of_tasks(cls, tasks: Any) -> Deadlock:
        """Name the asyncio `tasks` of a simulated loop that are left."""
        return cls._naming(
            tasks, "for something that no task, no timer and no connection will bring about"
        )

    @classmethod
    def _naming(cls, fibers: Any, what: str) -> Deadlock:
        fibers = tuple(fibers)
        names = [repr(fiber.name) for fiber in fibers]
        if len(names) > 5:
            names[5:] = [f"{len(names) - 5} more"]
        *but_last, last = names or [""]
        listed = f"{', '.join(but_last)} and {last}" if but_last else last
        error = cls(f"deadlock: {listed} {'wait' if but_last else 'waits'} {what}")
        error.fibers = fibers
        return error


class TraceError(ValueError):
    """Raised for a file that is not a trace, or for a trace that breaks its own laws."""


class AttachError(RuntimeError):
    """Raised for a process that cannot be attached to, or that ends meanwhile."""


class MissingExtra(ImportError):
    """Raised where a library is needed that only an extra of the package brings."""

    @classmethod
    def of(cls, what: str, library: str | None, extra: str) -> MissingExtra:
        """Say what needs which library, and how to get it."""
        remedy = f"install fiberlab with its extra: python -m pip install -e '.[{extra}]'"
        return cls(f"{what} needs {library}, which is not installed; {remedy}", name=library)


def without_frames_of(error: BaseException, *modules: str) -> None:
    """Cut the frames of `modules` off the head of the traceback of `error`."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__") in modules:
        trace = trace.tb_next
    # An exception may refuse: one that is a frozen dataclass does.
    with contextlib.suppress(Exception):
        error.__traceback__ = trace


def one_line(error: BaseException) -> str:
    """Return the class and message of `error` on one line, or say that its message raises."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = "its message cannot be printed"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _short(thing: object, most: int = 120) -> str:
    """Return repr(thing) on one line, cut to `most` characters, or say that its repr raises."""
    try:
        text = repr(thing)
    except Exception:
        text = f"<{type(thing).__name__} whose repr fails>"
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 3] + "..."

"""as_fiber: run what an ``async def`` returns, a coroutine, as a fiber.

    async def echo(sock, address):
        while True:
            await RECV(sock)
            ...

    scheduler.listen(lambda sock, address: as_fiber(echo(sock, address)))

The rule kept here: a coroutine is a generator in another coat. It has send, throw and close; its
``await`` is ``yield from``. So whatever holds at a yield (time-outs, cancelling, finally blocks)
holds at an await. This module only adds the attributes that the scheduler reads of a generator.

What may be awaited inside: RECV, SEND and WAIT; other coroutines; and what this package has for
``yield from``, such as ``await send_all(sock, data)``. Your own generator functions can be awaited
too if they are decorated with ``types.coroutine``; inside, they keep ``yield from``. What belongs
to asyncio (its sleep, futures, streams) works under asyncio only: it yields objects that no
scheduler here knows.

What this module does not know: the scheduler.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from types import FrameType
from typing import Any, TypeVar

from .waits import Wait

Function = TypeVar("Function", bound=Callable[..., Generator[Any, Any, Any]])


def as_fiber(coroutine: Coroutine[Any, Any, Any]) -> Generator[Wait, None, Any]:
    """Return `coroutine` as a generator, for ``scheduler.add``, ``start`` and ``yield from``.

    Its name, its result, its exceptions and its lines in a trace are the coroutine's own.
    Raises TypeError for anything else, such as the function itself.
    """
    if not isinstance(coroutine, Coroutine):
        raise TypeError(f"as_fiber() needs a coroutine, got {coroutine!r}{_remedy(coroutine)}")
    return _Coat(coroutine)


def _remedy(came: object) -> str:
    if isinstance(came, Generator):
        return ": add a generator as it is"
    if callable(came):
        return ": did you call it?"
    return ": what an async def returns when it is called"


def awaitable(function: Function) -> Function:
    """Let an ``async def`` await what a generator function returns, not only ``yield from``."""
    return types.coroutine(function)  # type: ignore


def frames_of(suspended: Any) -> Iterator[FrameType]:
    """Yield the frames of a coroutine or generator, the innermost await last."""
    while suspended is not None:
        frame = getattr(suspended, "cr_frame", None) or getattr(suspended, "gi_frame", None)
        if frame is None:
            return
        yield frame
        suspended = getattr(suspended, "cr_await", None) or getattr(suspended, "gi_yieldfrom", None)


class _Coat(Generator[Wait, None, Any]):
    """A coroutine with the methods and attributes of a generator."""

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine
        self.__name__ = getattr(coroutine, "__name__", "coroutine")

    def __next__(self) -> Wait:
        return self._coroutine.send(None)  # type: ignore[no-any-return]

    def send(self, value: Any) -> Wait:
        return self._coroutine.send(value)  # type: ignore[no-any-return]

    def throw(self, *error: Any) -> Wait:
        return self._coroutine.throw(*error)  # type: ignore[no-any-return]

    def close(self) -> None:
        # Also if it never ran: a cancelled coroutine gets no "never awaited" warning.
        self._coroutine.close()

    @property
    def gi_code(self) -> Any:
        return getattr(self._coroutine, "cr_code", None)

    @property
    def gi_yieldfrom(self) -> None:
        return None  # gi_frame goes all the way by itself

    @property
    def gi_frame(self) -> Any:
        """Where it is suspended: the frame of the innermost await; None once it is done."""
        return next(iter([*frames_of(self._coroutine)][::-1]), None)

    def __repr__(self) -> str:
        return f"<as_fiber {self._coroutine!r}>"

"""What a callback of asyncio is: its name, its place, and which row shows it.

The rule kept here: a callback belongs to the function that is called, or to the protocol that a
transport calls. asyncio's own functions, such as the one that ends a sleep, belong to no one.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from socket import socket
from types import CodeType
from typing import Any, NamedTuple

from ..trace.events import place
from .asyncio_tasks import is_asyncio

Place = tuple[CodeType, int]
"""A line, as rows hold it."""

_RECEIVING = ("data_received", "buffer_updated", "datagram_received", "pipe_data_received")


class Called(NamedTuple):
    """What a callback calls. key: the same for all that share a row. src: where it stands."""

    key: Hashable
    name: str
    src: Any

    @property
    def title(self) -> str:
        """The name of its row: ``on_tick (app.py:12)``."""
        where = place(self.src)
        return self.name if where is None else f"{self.name} ({where})"


def called_by(callback: Any, scheduled_at: Place | None) -> Called | None:
    """Return what `callback` calls; None if it is one of asyncio's own functions.

    scheduled_at: where it was given to the loop, for a function that has no source.
    """
    while isinstance(callback, functools.partial):
        callback = callback.func
    code = code_of(callback)
    if code is not None:
        return _called(code, callback)
    if is_of_asyncio(callback):
        return None
    name = name_in_c(callback)
    return Called((name, scheduled_at), name, scheduled_at)


def protocol_of(callback: Any) -> Any:
    """Return the protocol that a transport's own function calls; None if it is no such function."""
    get_protocol = getattr(getattr(callback, "__self__", None), "get_protocol", None)
    return None if get_protocol is None else get_protocol()


def socket_of(handle: Any) -> Any:
    """Return the socket on which a callback of asyncio's own acts; None if there is none."""
    owner = getattr(handle._callback, "__self__", None)
    of_transport = getattr(owner, "get_extra_info", None)
    if of_transport is not None:
        return of_transport("socket")
    return next((each for each in handle._args or () if isinstance(each, socket)), None)


def called_by_protocol(protocol: Any) -> Called | None:
    """Return what a transport calls of a protocol; None if all of that is asyncio's own."""
    methods = (getattr(type(protocol), name, None) for name in _RECEIVING)
    codes = ((code_of(each), each) for each in methods)
    found = next(((code, each) for code, each in codes if code is not None), None)
    # A method that is only inherited from asyncio says nothing of the protocol.
    return None if found is None else _called(*found)


def _called(code: CodeType, function: Any) -> Called | None:
    if is_asyncio(code):
        return None
    qualified = getattr(function, "__qualname__", None) or code.co_name
    return Called(id(code), qualified.rpartition("<locals>.")[2], (code, -1))


def code_of(callback: Any) -> CodeType | None:
    """Return the code of what is called; None for a function in C."""
    while isinstance(callback, functools.partial):
        callback = callback.func
    function = getattr(callback, "__func__", callback)
    code = getattr(function, "__code__", None)
    if code is None and not isinstance(callback, type):  # an object that can be called
        method = vars(type(callback)).get("__call__")
        code = getattr(method, "__code__", None)
    return code if isinstance(code, CodeType) else None


def is_of_asyncio(callback: Any) -> bool:
    """Whether a function in C is one of asyncio's: of a future or a task."""
    owner = getattr(callback, "__self__", None)
    return type(owner if owner is not None else callback).__module__ in ("_asyncio", "_contextvars")


def name_in_c(callback: Any) -> str:
    """Return the dotted name of a function in C: ``time.sleep``, ``list.append``."""
    name = getattr(callback, "__name__", type(callback).__name__)
    owner = getattr(callback, "__self__", None)
    owner = getattr(owner, "__name__", type(owner).__name__) if owner is not None else None
    return f"{owner or getattr(callback, '__module__', None) or 'builtins'}.{name}"


def in_words(callback: Any, args: tuple[Any, ...]) -> str:
    """Return a call of a function in C as a source has it: ``time.sleep(0.2)``."""
    while isinstance(callback, functools.partial):
        callback, args = callback.func, (*callback.args, *args)
    shown = (repr(each) if isinstance(each, (int, float, str, bytes)) else "..." for each in args)
    text = f"{name_in_c(callback)}({', '.join(shown)})"
    return text if len(text) <= 100 else text[:97] + "..."

"""What fibers share: refuse what is changed where no footprint shows it.

The rule kept here: whatever a fiber's code can reach (its arguments, what it closes over, the
globals that it names, and the functions and objects among these) is a constant, a Cell, or
something of the simulated world. What the standard library and this package do is not looked into.
"""

from __future__ import annotations

import dis
import inspect
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from types import BuiltinMethodType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from ..fiber import Fiber
from ..simulation import SimulatedClock, SimulatedSocket
from ..waits import Wait
from .footprints import Cell, is_constant

_KNOWN = (Cell, Fiber, SimulatedClock, SimulatedSocket, Wait, ModuleType, Enum)
_CONSTANT_CLASSES = (tuple, Enum, BaseException)
_STORES = {"STORE_DEREF", "DELETE_DEREF", "STORE_GLOBAL", "DELETE_GLOBAL"}
_LIBRARIES = sys.stdlib_module_names | {"fiberlab", "builtins"}


def check_shared(reaches: Any) -> None:
    """Raise ValueError if a generator or a function may share what is no Cell.

    The message names it, and says what to do.
    """
    check = _Check(getattr(reaches, "__qualname__", repr(reaches)))
    check.value("", reaches)
    for attribute, path in check.constants.items():
        if attribute in check.stored:
            check.refuse(f"{path!r} is assigned")


class _Check:
    """Walks over what can be reached.

    constants: the paths of attributes that hold constants, by name. stored: the names of the
    attributes that are assigned somewhere.
    """

    def __init__(self, name: str) -> None:
        self.constants: dict[str, str] = {}
        self.stored: set[str] = set()
        self._name = name
        self._seen: set[int] = set()

    def refuse(self, what: str) -> None:
        """Raise the error."""
        raise ValueError(
            f"explore(reduce=True) needs to know what fibers share, and in {self._name} {what}: "
            "make it a constant, such as a tuple, or a cell = world.cell(value), with cell.value"
        )

    def value(self, path: str, value: Any) -> None:
        """Look at one thing that can be reached; `path` is what a message calls it."""
        if is_constant(value) or isinstance(value, _KNOWN) or id(value) in self._seen:
            return
        self._seen.add(id(value))
        if isinstance(value, (MethodType, BuiltinMethodType)):
            self.value(path, value.__self__)
            self.value(path, getattr(value, "__func__", None))
        elif hasattr(value, "gi_code"):
            if (frame := value.gi_frame) is not None:
                if _library(frame.f_globals.get("__name__")) is None:
                    self._code(value.gi_code, frame.f_globals)
                self._values(frame.f_locals)
        elif isinstance(value, FunctionType):
            if _library(value.__module__) is None:
                self._code(value.__code__, value.__globals__)
                self._values(inspect.getclosurevars(value).nonlocals)
                self._values(value.__kwdefaults__ or {})
                self._values(_defaults(value))
        elif isinstance(value, (tuple, frozenset)):
            for each in value:
                self.value(path, each)
        elif isinstance(value, (staticmethod, classmethod, property)):
            for function in (getattr(value, "__func__", None), getattr(value, "fget", None)):
                self.value(path, function)
        elif isinstance(value, type):
            if _library(value.__module__) is None and not issubclass(value, _CONSTANT_CLASSES):
                self._attributes(path, vars(value))
        elif (library := _library(type(value).__module__)) == "fiberlab":
            return  # the world, or its scheduler
        elif library is not None or not hasattr(value, "__dict__"):
            self.refuse(f"{path!r} is a {type(value).__name__}")
        else:
            self._object(path, value)

    def _values(self, named: Mapping[str, Any]) -> None:
        for name, each in named.items():
            if not name.startswith("."):  # what a generator expression runs over is its own
                self.value(name, each)

    def _object(self, path: str, thing: Any) -> None:
        """Look at the attributes of an object, and at its classes: at what their methods assign."""
        self._attributes(path, vars(thing))
        for cls in type(thing).__mro__[:-1]:
            self.value(cls.__name__, cls)

    def _attributes(self, path: str, named: Mapping[str, Any]) -> None:
        for name, each in named.items():
            if name.startswith("__"):
                continue  # what Python keeps there; __init__ is called for a new object
            if is_constant(each):
                self.constants[name] = f"{path}.{name}"
            self.value(f"{path}.{name}", each)

    def _code(self, code: CodeType, names: Mapping[str, Any]) -> None:
        """Look at the globals that code names, and at what it assigns."""
        for inner in _with_inner(code):
            for name in inner.co_names:
                if name in names:
                    self.value(name, names[name])
            for step in dis.get_instructions(inner):
                if step.opname in _STORES and (
                    step.opname.endswith("GLOBAL") or step.argval in code.co_freevars
                ):
                    self.refuse(f"{step.argval!r} is assigned")
                if step.opname == "STORE_ATTR":
                    self.stored.add(step.argval)


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    """Return a function's code, and that of the functions inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _with_inner(each)


def _defaults(function: FunctionType) -> dict[str, Any]:
    values = function.__defaults__ or ()
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return dict(zip(names[len(names) - len(values) :], values, strict=True))


def _library(module: Any) -> str | None:
    """Return the name of the library that is not looked into, None for a program's module."""
    top = str(module).partition(".")[0]
    return top if top in _LIBRARIES else None

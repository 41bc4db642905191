"""docs/api.txt lists the public names with their signatures; this holds it to the package.

    python tests/test_api.py --write     write the list anew, after a change of the names

The text is made from what the sources say, so that it is the same on every Python.
"""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LISTED = Path(__file__).parent.parent / "docs" / "api.txt"
MODULES = ("fiberlab", "fiberlab.lab")


def lines() -> Iterator[str]:
    """Yield a line for every public name and for every public member of a class."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in sorted(module.__all__):
            if not name.startswith("__"):
                yield from _lines_of(f"{module_name}.{name}", getattr(module, name))


def _lines_of(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield f"{name}{_constructor(value)}{_bases(value)}"
        yield from _members(name, value)
    elif callable(value):
        yield f"{name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


# -- Classes ---------------------------------------------------------------------------


def _own_classes(cls: type) -> list[type]:
    """Return a class and those of its bases that are written in this package."""
    return [each for each in cls.__mro__ if each.__module__.startswith("fiberlab")]


def _constructor(cls: type) -> str:
    if hasattr(cls, "_fields"):
        fields = inspect.get_annotations(cls)
        defaults = cls._field_defaults
        parts = [
            f"{field}: {_type(fields[field])}" + _default(defaults, field) for field in cls._fields
        ]
        return f"({', '.join(parts)})"
    if any("__init__" in vars(each) for each in _own_classes(cls)) and not _is_protocol(cls):
        return _signature(cls.__init__, without_result=True)
    return ""


def _is_protocol(cls: type) -> bool:
    return bool(getattr(cls, "_is_protocol", False))


def _default(defaults: dict[str, Any], field: str) -> str:
    return f" = {_value(defaults[field])}" if field in defaults else ""


def _bases(cls: type) -> str:
    kinds = (BaseException, enum.Enum)
    names = [base.__name__ for base in cls.__bases__ if issubclass(base, kinds)]
    return f" is {', '.join(names)}" if names else ""


def _members(name: str, cls: type) -> Iterator[str]:
    if issubclass(cls, enum.Enum):
        for member in cls:
            yield f"{name}.{member.name} = {member.value!r}"
    found: dict[str, str] = {}
    for each in reversed(_own_classes(cls)):
        for attribute in _attributes(each):
            found[attribute] = ""
        for attribute, value in vars(each).items():
            if (told := _member(value)) is not None:
                found[attribute] = told
    fields = getattr(cls, "_fields", ())
    for attribute in sorted(found):
        if not attribute.startswith("_") and attribute not in fields:
            yield f"{name}.{attribute}{found[attribute]}"


def _member(value: Any) -> str | None:
    match value:
        case property():
            return f" -> {_type(value.fget.__annotations__.get('return', ''))}"
        case classmethod() | staticmethod():
            return _signature(value.__func__, without_first=isinstance(value, classmethod))
        case _ if inspect.isfunction(value):
            return _signature(value, without_first=True)
    return None


def _attributes(cls: type) -> set[str]:
    """Return what a class declares and what its __init__ gives every instance."""
    found = set(inspect.get_annotations(cls))
    [body] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    for method in body.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            found |= {
                node.attr
                for node in ast.walk(method)
                if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and ast.unparse(node.value) == "self"
            }
    return found


# -- Signatures ------------------------------------------------------------------------


def _signature(function: Any, *, without_first: bool = False, without_result: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if without_first or without_result:
        parameters = parameters[1:]
    plain = signature.replace(
        parameters=[
            each.replace(
                annotation=each.empty
                if each.annotation is each.empty
                else _Plain(_type(each.annotation)),
                default=each.empty if each.default is each.empty else _Plain(_value(each.default)),
            )
            for each in parameters
        ],
        return_annotation=signature.empty,
    )
    result = signature.return_annotation
    if without_result or result is signature.empty:
        return str(plain)
    return f"{plain} -> {_type(result)}"


class _Plain:
    """A text that `inspect` shows as it is, without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _type(annotation: Any) -> str:
    annotation = getattr(annotation, "__forward_arg__", annotation)
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "None")


def _value(value: Any) -> str:
    text = getattr(value, "__qualname__", None) or repr(value)
    return re.sub(r" at 0x[0-9a-f]+", "", text)


# -- The test --------------------------------------------------------------------------


def text() -> str:
    return "".join(f"{line}\n" for line in lines())


def test_the_list_of_public_names_is_what_the_package_has():
    listed = LISTED.read_text(encoding="utf-8")

    assert listed == text(), "write it anew: python tests/test_api.py --write"


def test_every_public_name_says_what_it_is():
    without = [
        f"{module}.{name}"
        for module in MODULES
        for name in importlib.import_module(module).__all__
        if callable(value := getattr(importlib.import_module(module), name))
        and not inspect.getdoc(value)
    ]

    assert without == []


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        LISTED.parent.mkdir(exist_ok=True)
        LISTED.write_text(text(), encoding="utf-8", newline="\n")
    else:
        sys.stdout.write(text())

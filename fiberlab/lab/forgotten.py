"""Forgotten: helpers that a handler calls, but it never runs their generators.

    reply(sock, data)              makes a generator and drops it: nothing of it runs
    yield from reply(sock, data)   runs it

The rule kept here: only what is certain is reported. A call is reported if its value is lost:
it stands alone as a statement, or its value goes to a variable that is never read. Calls are found
in the source; without the source, nothing is reported.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from ..trace.events import short_name

_MOST = 3


def forgotten_helpers(function: Callable[..., Any]) -> list[str]:
    """Return a sentence for each helper called without ``yield from``, here or in a helper."""
    seen: set[Any] = set()
    return list(_found(inspect.unwrap(function), seen))[:_MOST]


def _found(function: Any, seen: set[Any]) -> Iterator[str]:
    code = getattr(function, "__code__", None)
    if code is None or code in seen:
        return
    seen.add(code)
    definition = _definition(function)
    if definition is None:
        return
    known = _names_of(function)
    dropped = list(_dropped(definition))
    for call in (node for node in _own(definition) if isinstance(node, ast.Call)):
        helper = _value(call.func, known)
        if not _makes_generator(helper):
            continue
        if call in dropped:
            line = code.co_firstlineno + call.lineno - 1
            helper_name, source = ast.unparse(call.func), ast.unparse(call)
            if len(source) >= 40:
                source = f"{helper_name}(...)"
            yield (
                f"{function.__name__} calls {helper_name}(...) at "
                f"{short_name(code.co_filename)}:{line} and drops what it makes: "
                f"write `yield from {source}`"
            )
        if not getattr(helper, "__module__", "").startswith("fiberlab"):
            yield from _found(helper, seen)


def _definition(function: Any) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None
    first = tree.body[0] if tree.body else None
    return first if isinstance(first, ast.FunctionDef) else None


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, but not those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _own(child)


def _dropped(definition: ast.FunctionDef) -> Iterator[ast.expr]:
    """Yield the expressions with a value that nothing can use."""
    nodes = list(_own(definition))
    read = {
        node.id for node in ast.walk(definition)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }  # fmt: skip
    for node in nodes:
        match node:
            case ast.Expr(value=value):
                yield value
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in read:
                yield value


def _names_of(function: Any) -> dict[str, Any]:
    try:
        closure = inspect.getclosurevars(function)
    except (TypeError, ValueError):
        return dict(getattr(function, "__globals__", {}))
    return {**function.__globals__, **closure.nonlocals}


def _value(node: ast.expr, known: dict[str, Any]) -> Any:
    """Return what a name, or a module's attribute, stands for; None if it is not known."""
    match node:
        case ast.Name(id=name):
            return known.get(name)
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            home = known.get(name)
            return getattr(home, attribute, None) if inspect.ismodule(home) else None
    return None


def _makes_generator(helper: Any) -> bool:
    if not inspect.isfunction(helper):
        return False
    return inspect.isgeneratorfunction(helper) or inspect.iscoroutinefunction(helper)

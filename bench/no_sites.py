"""The scheduler without the sites of its trace: what it would be if it could not be traced.

The rule kept here: nothing is written by hand. The shipped scheduler is read, every statement
that only reports is taken out, and the rest is run. So the figure stays that of this scheduler.
"""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path
from typing import Any

import fiberlab.scheduler


class _Remover(ast.NodeTransformer):
    """Takes out what asks whether there is a reporter."""

    def visit_If(self, node: ast.If) -> Any:
        test = node.test
        if isinstance(test, ast.BoolOp) and any(_asks(value, ast.IsNot) for value in test.values):
            return None  # "there is a reporter, and ..."
        self.generic_visit(node)
        if _asks(test):
            return node.orelse if isinstance(test.ops[0], ast.IsNot) else node.body
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> Any:
        self.generic_visit(node)
        values = [value for value in node.values if not _asks(value)]
        if len(values) == len(node.values):
            return node
        return values[0] if len(values) == 1 else ast.BoolOp(node.op, values)


def _asks(test: Any, how: Any = (ast.Is, ast.IsNot)) -> bool:
    """Whether `test` compares the reporter with None."""
    if not isinstance(test, ast.Compare) or not isinstance(test.ops[0], how):
        return False
    asked = ast.unparse(test.left)
    return asked in ("report", "self._report") or "self._reporter" in asked


def scheduler_without_sites() -> Any:
    """Return the Scheduler class of the shipped module, without its trace's sites."""
    name = "fiberlab._scheduler_without_sites"
    shipped = Path(fiberlab.scheduler.__file__).read_text("utf-8")
    tree = ast.fix_missing_locations(_Remover().visit(ast.parse(shipped)))
    module = types.ModuleType(name)
    module.__package__ = "fiberlab"
    sys.modules[name] = module
    exec(compile(tree, name, "exec"), module.__dict__)
    return module.__dict__["Scheduler"]

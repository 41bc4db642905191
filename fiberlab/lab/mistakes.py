"""Mistakes: what is commonly wrong with an answer, whatever its exercise, in a sentence.

    Form("fiber", "sock, address")      what an answer has to be, for `misshapen`
    stub_left(answer, given)            the stub's `raise` still stands beside the learner's code
    told(error)                         what to say of an error that the answer raised

The rule kept here: an answer is looked at, never called, and what is said names the remedy. What
the answer does is for the judge of its exercise.
"""

from __future__ import annotations

import ast
import functools
import inspect
import os
import re
import textwrap
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, NamedTuple

from ..errors import Deadlock
from ..recording.culprit_line import Line, described, in_library


class Mistake(NamedTuple):
    """What was seen, what was expected, and where to look next."""

    seen: str
    expected: str
    hint: str


@dataclass(frozen=True)
class Form:
    """What an answer has to be.

    kind: "fiber", a function that makes a generator; "async", an async def; "function"; "class",
    or whatever makes an object; "values", as many as there are names in `takes`. takes: the names
    of what it is called with, or of the values, with commas between them. gives: what its calls
    return, or what the values are.
    """

    kind: str
    takes: str
    gives: str = "what the task says"

    @property
    def names(self) -> list[str]:
        """The names in `takes`, one by one."""
        return [name.strip() for name in self.takes.split(",") if name.strip()]

    def __str__(self) -> str:
        if self.kind == "values":
            return f"({self.takes})" if len(self.names) > 1 else f"one value: {self.takes}"
        kinds = {"fiber": "a function with a yield in it", "async": "an async def"}
        article = f"a {self.kind}"
        takes = self.takes or "nothing"
        return f"{kinds.get(self.kind, article)} that is called with {takes}"


# -- The form of an answer -------------------------------------------------------


def misshapen(form: Form, answer: Any) -> Mistake | None:
    """Return what is wrong with an answer before anything of it is run; None if nothing is."""
    if form.kind == "values":
        count = len(form.names)
        if count == 1 or (isinstance(answer, (tuple, list)) and len(answer) == count):
            return None
        return Mistake(
            f"the answer {answer!r:.80}", str(form), f"give {count} values, in this order"
        )
    hint = _not_callable(answer)
    if not hint and inspect.isclass(answer) and form.kind in ("fiber", "async"):
        hint = "that is a class: write a def"
    if hint:
        return Mistake(f"the answer is {_shown(answer)}", str(form), hint)
    return _does_not_take(form, answer)


def _not_callable(answer: Any) -> str:
    """Return a hint if an answer is nothing that could be called, else nothing."""
    if isinstance(answer, (Generator, CoroutineType)):
        name = getattr(answer, "__name__", "it")
        return f"you have called {name}: give the function itself, without brackets behind it"
    if isinstance(answer, str):
        return f"give {answer} itself, without quotes"
    if answer is None:
        return "None is what a call returns without a `return`: give the function, uncalled"
    if not callable(answer):
        return "give the name that stands behind def or class, with no brackets behind it"
    return ""


def _does_not_take(form: Form, answer: Callable[..., Any]) -> Mistake | None:
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):  # written in C, perhaps
        return None
    try:
        signature.bind(*form.names)
    except TypeError:
        name = getattr(answer, "__name__", "it")
        where = f"__init__ of {name}" if inspect.isclass(answer) else name
        hint = f"it is called with {len(form.names)} values: leave the first line as it was"
        return Mistake(f"{where} takes {signature}", str(form), hint)
    return None


def noting(form: Form, answer: Any, made: list[Any]) -> Any:
    """Return an answer as it is to be judged: what its calls return is kept in `made`.

    Of a fiber's function only what is no generator is kept. An empty generator takes its place, so
    that the judge comes to its end.
    """
    if form.kind not in ("fiber", "function"):
        return answer

    @functools.wraps(answer)
    def noted(*args: Any, **kwargs: Any) -> Any:
        thing = answer(*args, **kwargs)
        if form.kind == "function":
            made[:] = [thing]
        elif not isinstance(thing, Generator):
            if isinstance(thing, CoroutineType):
                thing.close()
            made.append(thing)
            return _nothing()
        return thing

    return noted


def _nothing() -> Iterator[Any]:
    yield from ()


def no_generator(made: Any) -> Mistake:
    """Return what to say of a call that made `made` where a generator is needed."""
    hint = (
        "a fiber here is a def with yields: async and await belong to lesson 14"
        if isinstance(made, CoroutineType)
        else "with a yield in it a function makes a generator; yield each wait inside it, since a "
        "call cannot wait for its caller"
    )
    return Mistake(f"calling it returned {_shown(made)}", "a generator", hint)


def _shown(thing: Any) -> str:
    if inspect.isgenerator(thing) or inspect.iscoroutine(thing):
        kind = "generator" if inspect.isgenerator(thing) else "coroutine"
        return f"a {kind} of {thing.__name__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(thing))[:80]


# -- The stub --------------------------------------------------------------------


def stub_left(answer: Any, given: int = 0) -> Mistake | None:
    """Return what to say of a stub's `raise` that was left beside code; None if it is a stub.

    given: how many statements the stub itself has before its `raise`.
    """
    for function in _functions(answer):
        body = function.body if ast.get_docstring(function) is None else function.body[1:]
        at = next((n for n, each in enumerate(body) if _is_stub(each)), None)
        if at is None:
            continue
        below = [each for each in body[at + 1 :] if not _is_bare_yield(each)]
        if below or at > given:
            where = "above" if below else "below"
            return Mistake(
                f"`raise NotImplementedError` still stands {where} your code in {function.name}",
                "your code in place of it",
                "it ends the function there: take the line out",
            )
    return None


def _functions(answer: Any) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the definitions in the source of a function or class; nothing without the source."""
    # Each method for itself: the source of a class that was written in a notebook is not found.
    own = vars(answer).values() if inspect.isclass(answer) else (answer,)
    for function in map(inspect.unwrap, own):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError, SyntaxError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node


def _is_stub(statement: ast.stmt) -> bool:
    match statement:
        case ast.Raise(exc=ast.Name(id=name) | ast.Call(func=ast.Name(id=name))):
            return name == "NotImplementedError"
    return False


def _is_bare_yield(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Yield(value=None)):
            return True
    return False


# -- Errors ----------------------------------------------------------------------

_SAID: tuple[tuple[type[BaseException], str, str], ...] = (
    (NameError, "cannot access|referenced before", "a name that is set anywhere in a function "
     "belongs to it: set it there before it is used"),
    (NameError, "", "run the lesson's first cell, which imports, and the cells above; or is it "
     "spelt in another way?"),
    (AttributeError, "'NoneType' object", "something is None there; what returns nothing "
     "returns None, as append, sort and print do"),
    (AttributeError, "'(RECV|SEND)' object has no attribute 'seconds'", "only a WAIT has seconds; "
     "ask isinstance(wait, WAIT) first"),
    (AttributeError, "'WAIT' object has no attribute 'sock'", "only RECV and SEND have a sock; ask "
     "isinstance(wait, WAIT) first"),
    (AttributeError, "'generator' object", "a generator has next, send, throw, close and "
     "__name__; is it to be run by `yield from`?"),
    (AttributeError, "'coroutine' object", "a call of an async def is run by `await`"),
    (AttributeError, "", "that kind of thing has no such name: look at dir() of it in a cell"),
    (TypeError, "not iterable", "what stands behind `in`, `yield from` or `list` there is not made "
     "of several things"),
    (TypeError, "not subscriptable", "[...] takes a list or a dict there, not the value of a call "
     "that is yet to be run"),
    (TypeError, "not callable", "(...) behind a value calls it: is a name used for two things, or "
     "a comma missing?"),
    (TypeError, "positional argument|keyword argument", "compare the call there with the "
     "function's first line"),
    (TypeError, "NoneType", "one of the two is None there; a sleep without seconds has None"),
    (TypeError, "bytes", "sockets take bytes and not text: b'...', or text.encode()"),
    (TypeError, "just-started generator", "the first resume is a next: nothing waits yet for what "
     "is sent"),
    (TypeError, "needs a socket|needs a number|needs a generator", "the sentence tells what "
     "belongs there"),
    (TypeError, "cannot be yielded|may yield only|yielded", "a fiber yields RECV(sock), SEND(sock) "
     "or WAIT(seconds), and nothing else"),
    (Deadlock, "", "WAIT(None) is woken when another fiber has run, and here is none left"),
    (RuntimeError, "was still not at its end", "which loop has no end? leave it when all is done"),
    (RuntimeError, "raised StopIteration", "next() raises StopIteration at the end of a generator: "
     "catch it, with except StopIteration"),
    (RuntimeError, "generator ignored GeneratorExit", "close() throws GeneratorExit: let it pass, "
     "and do not yield any more"),
    (StopIteration, "", "next() raises it at the end of a generator: catch it, with except "
     "StopIteration"),
    (KeyError, "", "the dict has no such key: ask `key in dict` first, or dict.get(key)"),
    (IndexError, "", "it is empty, or shorter than that: ask its length first"),
    (ValueError, "unpack", "on the left there are more names, or fewer, than values on the right"),
    (ValueError, "negative", "WAIT takes no time that has passed: max(0, seconds)"),
    (ZeroDivisionError, "", "what is divided by may be 0: ask first"),
    (RecursionError, "", "the function calls itself without an end: which case makes no call?"),
    (BlockingIOError, "", "nothing is there yet, or no room: `yield RECV(sock)` before each recv, "
     "`yield SEND(sock)` before each send"),
    (TimeoutError, "", "the time was over: is the wait for something that comes?"),
    (OSError, "", "the socket or file is closed, or was never open"),
    (UnboundLocalError, "", "set the name in the function before it is used"),
)  # fmt: skip
"""For each kind of error: what its text may hold, and what to say; the first that fits is said."""


def told(error: BaseException, form: Form | None = None, made: Any = None) -> Mistake:
    """Return what to say of an error that came of an answer: what, at which line, and the remedy.

    form: that of the answer. made: what the answer has returned last, or the answer itself: an
    error that comes from no line of the learner's came of that.
    """
    what = repr(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    line = _own_line_of(error)
    if line is None and form is not None and form.kind == "class":
        seen = f"its methods do not fit together: {type(error).__name__}, {what}"
        return Mistake(seen, form.gives, _of_a_class(what))
    if line is None and form is not None and isinstance(error, _OF_ANOTHER_KIND):
        values = form.kind == "values"
        seen = f"the answer {_shown(made)}" if values else f"a call of it returned {_shown(made)}"
        hint = "print it in a cell: is it of that kind?" if values else _NO_RETURN
        return Mistake(seen, form.gives, hint)
    at = "" if line is None else f", at {described(line)[0]}, in {line.code.co_name}"
    hint = next(
        (say for kind, words, say in _SAID if isinstance(error, kind) and re.search(words, what)),
        "call it yourself in a cell: the traceback there names the line",
    )
    seen = f"your answer raised {type(error).__name__}: {what}{at}"
    return Mistake(seen, "an answer that runs to its end", hint)


def _of_a_class(what: str) -> str:
    """Return a hint for an error that came of no line of a class, but of how it is used."""
    if "positional argument" in what:
        return "compare its first line with the stub's: the first name of a method is self"
    if "object has no attribute" in what and "NoneType" not in what:
        return "an attribute is made in __init__: does yours call super().__init__(...)?"
    return "a method that ends without a `return` gives None"


_NO_RETURN = "print what it returns, in a cell; without a `return` that is None"
_OF_ANOTHER_KIND = (AttributeError, LookupError, TypeError, ValueError, OverflowError)
"""What the code of a judge raises if it is given something else than it asked for."""


def _own_line_of(error: BaseException) -> Line | None:
    """Return the innermost line of a learner's own that an error has come through."""
    lines, trace = [], error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not in_library(os.path.realpath(code.co_filename)):
            lines.append(Line(code, trace.tb_lasti, trace.tb_lineno))
        trace = trace.tb_next
    return lines[-1] if lines else None

"""Work for an executor: pieces of it are done anywhere, and their results come in order.

The rule kept here: nothing is lost. A piece that a worker has not done, because it died or because
something was raised there, is done again in this process; what raises here is raised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, wait
from typing import Any

from ..errors import one_line

AHEAD = 256
"""So many pieces may be with the executor at a time."""

LOST = 3
"""After so many pieces in a row without a result the executor is not asked any more."""

SETTLED = 0.3
"""After so many seconds a pool knows which of its workers have died."""

Piece = tuple[Any, ...]


class Workers:
    """Calls a function with many pieces, by an executor; true if there is one.

    executor: any concurrent.futures.Executor; None: all is done in this process.
    """

    def __init__(self, executor: Executor | None, sent: Any, what: str) -> None:
        """Try to send `sent`, which `what` names; TypeError if the executor does not take it."""
        self._executor = executor
        self._why = ""
        self._lost = 0  # so many pieces in a row
        if executor is None:
            return
        if not callable(getattr(executor, "submit", None)):
            raise TypeError(
                "executor= is a concurrent.futures.Executor, such as ProcessPoolExecutor(); "
                f"got {executor!r}"
            )
        try:
            executor.submit(_receive, sent).result()
        except BrokenExecutor as broken:
            self._why = one_line(broken)
        except Exception as error:
            raise TypeError(
                f"the executor does not take {what}: {one_line(error)}; it must be running, and "
                f"{what} defined with def in a module that its workers can import"
            ) from error

    def __bool__(self) -> bool:
        return self._executor is not None

    def in_order(
        self, function: Callable[..., Any], pieces: Iterable[Piece]
    ) -> Iterator[tuple[Any, bool]]:
        """Return ``function(*piece)`` for each piece, in their order.

        With it comes whether the piece was done in this process though there is an executor.
        What is not needed any more, since the caller has stopped asking, is cancelled.
        """
        if self._executor is None:
            yield from ((function(*piece), False) for piece in pieces)
            return
        waiting: deque[tuple[Piece, Future[Any] | None]] = deque()
        try:
            for piece in pieces:
                waiting.append((piece, self._submit(self._executor, function, piece)))
                if len(waiting) == AHEAD:
                    yield self._first(waiting, function)
            while waiting:
                yield self._first(waiting, function)
        finally:
            left = [future for _, future in waiting if future is not None]
            # ^C reaches the workers too, and a pool of which some died must learn so first: up to
            # Python 3.11 it stands still for ever if it then finds a piece that was cancelled.
            wait(left, timeout=SETTLED)
            for future in left:
                future.cancel()

    def note(self, here: int) -> str | None:
        """Say why so many were done in this process; None for 0."""
        if not here:
            return None
        return f"{here:,} were run in this process, not by the executor ({self._why})"

    def _submit(
        self, executor: Executor, function: Callable[..., Any], piece: Piece
    ) -> Future[Any] | None:
        if self._lost >= LOST:
            return None
        try:
            return executor.submit(_try, function, piece)
        except Exception as error:
            self._why = one_line(error)
            return None

    def _first(
        self, waiting: deque[tuple[Piece, Future[Any] | None]], function: Callable[..., Any]
    ) -> tuple[Any, bool]:
        piece, future = waiting[0]
        if future is not None and self._lost >= LOST:
            future.cancel()
            future = None
        done = None if future is None else self._result(future)
        self._lost = self._lost + 1 if done is None else 0
        result = function(*piece) if done is None else done[0]
        waiting.popleft()
        return result, done is None

    def _result(self, future: Future[Any]) -> tuple[Any] | None:
        """Return the result in a tuple, None if the piece was not done."""
        try:
            done = future.result()
        except Exception as error:
            done = one_line(error)
        if isinstance(done, str):
            self._why = done
            return None
        return (done[0],)


def _receive(sent: Any) -> None:
    """Do nothing: whether `sent` arrives is the question."""


def _try(function: Callable[..., Any], piece: Piece) -> tuple[Any] | str:
    """Return the result in a tuple, or the error as text: not every error can be sent."""
    try:
        return (function(*piece),)
    except Exception as error:
        return one_line(error)

"""A call in a thread of its own: asyncio refuses to run a loop where one runs, as in a notebook."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from ..limits import Limit

T = TypeVar("T")


def in_own_thread(function: Callable[[], T], within: float | None = None) -> T:
    """Call `function` where no loop runs yet, wait for it, and return or raise what it does.

    within: seconds after which it is interrupted; TimeoutError tells what it was at. None: never.
    """
    returned: list[T] = []
    raised: list[BaseException] = []

    def call() -> None:
        try:
            if within is None:
                returned.append(function())
                return
            with Limit(within) as limit:
                returned.append(function())
            if limit.reached is not None:
                raise TimeoutError(f"after {within:g} s it was interrupted: {limit.reached}")
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return returned[0]

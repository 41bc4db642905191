"""Changes: a copy of the scheduler in which one line is another, to see what that line is for.

The rule kept here: the scheduler itself stays as it is; a copy is made of its source, in memory.
"""

from __future__ import annotations

import inspect
from typing import Any

from ... import scheduler
from ...scheduler import Scheduler


def change_line(method: str, old: str, new: str) -> type[Scheduler]:
    """Return a copy of Scheduler; in its `method` the text `old` has become `new`.

    Raises ValueError unless `old` stands there exactly once, and in one line.
    """
    source = inspect.getsource(scheduler)
    known = [name for name, each in vars(Scheduler).items() if inspect.isfunction(each)]
    if method not in known:
        raise ValueError(f"Scheduler has no method {method!r}; it has {', '.join(known)}")
    body = inspect.getsource(getattr(Scheduler, method))
    if body.count(old) != 1 or "\n" in old or not old:
        found = body.count(old) if old else 0
        raise ValueError(f"{method} has {old!r} {found} times; give a part of one line that is")
    namespace: dict[str, Any] = {
        "__name__": "fiberlab.scheduler_copy", "__package__": "fiberlab"
    }  # fmt: skip
    changed = source.replace(body, body.replace(old, new))
    exec(compile(changed, "scheduler_copy.py", "exec"), namespace)
    copy: type[Scheduler] = namespace["Scheduler"]
    return copy

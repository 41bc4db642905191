"""Fibers that many tests use."""

from __future__ import annotations


def yields(*waits):
    """Yield `waits` one after the other."""
    yield from waits


def guarded(log, name, *waits):
    """Yield `waits`; note how it ended, and that it was closed."""
    try:
        yield from waits
        log.append((name, "returned"))
    except BaseException as error:
        log.append((name, type(error).__name__))
        raise
    finally:
        log.append((name, "finally"))


def raises(error, *waits):
    """Yield `waits`, then raise `error`."""
    yield from waits
    raise error

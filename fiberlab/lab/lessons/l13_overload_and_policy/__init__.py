"""Lesson 13, overload and policy: a server that cannot answer all requests chooses some."""

from __future__ import annotations

from ...shared.overloaded_server import AcceptFirst, overload, share_in_time
from .exercises import EXERCISES
from .experiment import done_at, three_fibers
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "AcceptFirst",
    "done_at",
    "overload",
    "share_in_time",
    "three_fibers",
]

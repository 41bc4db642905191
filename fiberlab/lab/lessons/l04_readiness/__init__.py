"""Lesson 04, readiness: one select waits for many sockets."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import (
    EdgePoller,
    LevelPoller,
    edge_of,
    readable_numbers,
    slow_and_fast,
    try_pass,
    wait_until_writable,
)
from .figures import draw_buffers, draw_ready_sets, draw_transfer
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "EdgePoller",
    "LevelPoller",
    "draw_buffers",
    "draw_ready_sets",
    "draw_transfer",
    "edge_of",
    "readable_numbers",
    "slow_and_fast",
    "try_pass",
    "wait_until_writable",
]

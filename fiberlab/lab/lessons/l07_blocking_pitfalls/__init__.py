"""Lesson 07, blocking pitfalls: a fiber that does not yield holds up all others."""

from __future__ import annotations

from .exercises import EXERCISES, chain_length, check_spelling, look_up, write_log
from .experiment import simulate_naps
from .figures import draw_pass
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "chain_length",
    "check_spelling",
    "draw_pass",
    "look_up",
    "simulate_naps",
    "write_log",
]

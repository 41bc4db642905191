"""Lesson 05, fibers yield what they wait for: and the scheduler sees only what it polls."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import eight_clients, meeting, simulate_nap, unseen
from .figures import draw_accounts
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "draw_accounts",
    "eight_clients",
    "meeting",
    "simulate_nap",
    "unseen",
]

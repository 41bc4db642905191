"""Lesson 14, other coats: the same server of threads, callbacks, fibers, greenlets and asyncio."""

from __future__ import annotations

from .costs import memory_costs, switch_costs
from .exercises import EXERCISES, queue_up, sell
from .experiment import converse, count_twice, sees_nap
from .figures import plot_coats, plot_costs
from .question import QUESTIONS
from .same_program import installed, nap_in
from .servers import Callbacks, in_asyncio, in_callbacks, in_fibers, in_greenlets, in_threads

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "Callbacks",
    "converse",
    "count_twice",
    "in_asyncio",
    "in_callbacks",
    "in_fibers",
    "in_greenlets",
    "in_threads",
    "installed",
    "memory_costs",
    "nap_in",
    "plot_coats",
    "plot_costs",
    "queue_up",
    "sees_nap",
    "sell",
    "switch_costs",
]

"""Lesson 16, every schedule: what holds in one order, and what holds in all."""

from __future__ import annotations

from .exercises import EXERCISES
from .museum import Connection, Pool, Semaphore, questions, turns
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "Connection", "Pool", "Semaphore", "questions", "turns"]

"""Lesson 15, the replicator: a caching proxy made of fibers."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import FILE, Origin, count_looks, download, fresh_cache
from .question import QUESTIONS

__all__ = ["EXERCISES", "FILE", "QUESTIONS", "Origin", "count_looks", "download", "fresh_cache"]

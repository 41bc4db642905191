"""Lesson 15, the replicator: its question."""

from __future__ import annotations

from ...exercises import Question


def how_often_asked(asked: int) -> str:
    """Return the choice that is borne out by how often the origin was asked for the file."""
    return {0: "d", 1: "b", 2: "c"}.get(asked, "a")


QUESTIONS = (
    Question(
        id="l15-q1",
        text="Twelve clients want one file that is on its way. How often is the origin asked?",
        choices={
            "a": "12 times: once for each client",
            "b": "once",
            "c": "twice: clients that come late need the beginning, which has gone by",
            "d": "never: a proxy has its files already",
        },
        wrong={
            "a": "A fiber that finds the download under way joins it. Look at the facts: twelve\n"
            "copies, and one request.",
            "c": "What has come is in the cache, the beginning too, and each client reads it from\n"
            "there at its own pace. Look at the facts: all copies are whole.",
            "d": "The cache was empty. Somebody had to ask: the fiber of the first client.",
        },
        outcome=how_often_asked,
    ),
)

"""Lesson 11, endings: its question."""

from __future__ import annotations

from typing import Any

from ...exercises import Question


def what_the_silent_sees(seen: Any) -> str:
    """Return the choice that is borne out by what a client received, or ran into."""
    if isinstance(seen, ConnectionError):
        return "d"
    if isinstance(seen, Exception):
        return "a"
    return "c" if seen else "b"


QUESTIONS = (
    Question(
        id="l11-q1",
        text="A client says nothing, and its fiber is timed out. What does the client see?",
        choices={
            "a": "nothing: its recv waits on, until it gives up itself",
            "b": "the end of file: recv returns b''",
            "c": "an error message: recv returns bytes with the name of the error",
            "d": "a reset: recv raises ConnectionResetError",
        },
        wrong={
            "a": "Then the server's end would still be open. A fiber's connection is closed when\n"
            "the fiber ends: cat's recv returned, see the facts of section 2.",
            "c": "The error is raised inside the fiber; it is in the trace, and not a byte of it\n"
            "is sent. See the facts of section 2: cat saw b''. In section 3 a handler catches it,\n"
            "and sends a message of its own.",
            "d": "That is how a connection ends with data that the server never received. Cat had\n"
            "sent none, and dan's had been received: section 2 says b'' for both.",
        },
        outcome=what_the_silent_sees,
        may_be_empty=True,
    ),
)

"""Lesson 16, every schedule: its question."""

from __future__ import annotations

from ....exploration import Result
from ...exercises import Question

ORDERS = {1: "a", 6: "b", 1680: "c", 362_880: "d"}


def how_many_orders(result: Result) -> str:
    """Return the choice that the number of schedules bears out."""
    return ORDERS[result.schedules]


QUESTIONS = (
    Question(
        id="l16-q1",
        text="Three fibers of three steps each. In how many orders can the nine steps come?",
        choices={
            "a": "1: first come, first served",
            "b": "6: one for each order of the three fibers",
            "c": "1,680: every order of nine steps that keeps the order within each fiber",
            "d": "362,880: every order of nine things",
        },
        wrong={
            "a": "That is the order of one run. A little delay at a socket, and another fiber is\n"
            "ready first: look at the tree, each box is an order that can come.",
            "b": "That would be so if a fiber ran to its end. It can be left at each yield, so\n"
            "it is steps that are put in order. Look at the tree: after a comes a, b or c.",
            "d": "Nine steps, but the second step of a fiber never comes before its first. Of the\n"
            "3! orders of a fiber's own steps one is left, three times over: 9!/(3! 3! 3!).",
        },
        outcome=how_many_orders,
    ),
)

"""Twelve questions about cooperative scheduling, asked in lesson 00 and again in lesson 15.

The rule kept here: nothing tells a right answer before it has been given in lesson 15; what
`note_answers` returns is the same for right and wrong letters.
"""

from __future__ import annotations

from dataclasses import dataclass

from .concept_list import CONCEPTS, LETTERS, Concept

__all__ = ["CONCEPTS", "LETTERS", "Concept", "compare_answers", "note_answers", "show_concepts"]


class Shown:
    """A text for a terminal, and the same as Markdown for a notebook."""

    def __init__(self, text: str, markdown: str) -> None:
        self.text = text
        self.markdown = markdown

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown


# -- What the lessons call ----------------------------------------------------


def show_concepts() -> Shown:
    """Return the questions, without the answers, to be shown as a cell's value."""
    texts, items = [], []
    for number, each in enumerate(CONCEPTS, 1):
        choices = each.choices.items()
        texts.append(
            "\n".join([f"{number}. {each.text}", *(f"   {key}  {said}" for key, said in choices)])
        )
        items.append(
            "\n".join(
                [f"**{number}.** {each.text}\n", *(f"- **{key}** {said}" for key, said in choices)]
            )
        )
    return Shown("\n\n".join(texts), "\n\n".join(items) + "\n")


def note_answers(letters: str) -> str:
    """Return the line to be kept until lesson 15: the letters, and how many are answered.

    letters: one for each question, a to d, a dot for one that is not answered; spaces do not
    count. Raises ValueError if that is not what they are.
    """
    answers = _answers(letters)
    given = len(answers) - answers.count(".")
    if not given:
        return "not answered yet; put a letter, a to d, in place of each dot"
    return f'noted: "{answers}", {given} of {len(answers)} answered; keep this line for lesson 15'


def compare_answers(then: str, now: str) -> Shown:
    """Return what has become of the answers: which changed, which are right, what to reread.

    then, now: as for `note_answers`, of lesson 00 and of lesson 15. While nothing is answered
    now, it tells nothing. A question that is not answered now is not given away either.
    """
    before, after = _answers(then), _answers(now)
    if not after.strip("."):
        line = "not answered yet; put a letter, a to d, in place of each dot"
        return Shown(line, line + "\n")
    lines = [_Compared(*each) for each in zip(range(1, 13), CONCEPTS, before, after, strict=True)]
    total = (
        f"right then: {sum(each.was_right for each in lines)} of {len(lines)}, "
        f"right now: {sum(each.is_right for each in lines)} of {len(lines)}"
    )
    rows = [
        f"| {each.number} | {each.then} | {each.now} | {each.verdict} | {each.comment} |"
        for each in lines
    ]
    head = "| question | then | now | | |\n| --- | --- | --- | --- | --- |"
    texts = [f"{each.number:2}  {each.then} -> {each.now}  {each.verdict}" for each in lines]
    for index, each in enumerate(lines):
        if each.comment:
            texts[index] += f"\n    {each.comment}"
    return Shown("\n".join([total, *texts]), "\n".join([f"{total}\n", head, *rows, ""]))


@dataclass(frozen=True)
class _Compared:
    """One question with its two answers."""

    number: int
    concept: Concept
    then: str
    now: str

    @property
    def was_right(self) -> bool:
        return self.then == self.concept.right

    @property
    def is_right(self) -> bool:
        return self.now == self.concept.right

    @property
    def verdict(self) -> str:
        if self.now == ".":
            return "not answered"
        if self.is_right:
            return "right, as before" if self.was_right else "right now"
        if self.was_right:
            return "right before, wrong now"
        return "wrong, as before" if self.then == self.now else "wrong"

    @property
    def comment(self) -> str:
        if self.is_right:
            return ""
        reread = f"Reread {self.concept.lesson}."
        if self.now == ".":
            return reread
        concept = self.concept
        return f"{concept.wrong[self.now]} Right is {concept.right}: {concept.why} {reread}"


def _answers(letters: str) -> str:
    """Return twelve letters or dots; ValueError if these are not."""
    answers = "".join(letters.split()).lower()
    if strange := sorted(set(answers) - set(LETTERS + ".")):
        raise ValueError(f"an answer is one of a, b, c, d or a dot, got {strange[0]!r}")
    if len(answers) != len(CONCEPTS):
        raise ValueError(f"there are {len(CONCEPTS)} questions, got {len(answers)} answers")
    return answers

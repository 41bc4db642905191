"""Twelve questions about cooperative scheduling, asked in lesson 00 and again in lesson 15.

The rule kept here: nothing tells a right answer before it has been given in lesson 15; what
`note_answers` returns is the same for right and wrong letters. A choice stands beside the
misconception that leads to it, and the right one stands alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


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


# -- The questions ------------------------------------------------------------

LETTERS = "abcd"


@dataclass(frozen=True)
class Concept:
    """A question with four choices, asked before the course and after it.

    right: the letter of the right choice. why: what makes it right. lesson: the title of the
    lesson that answers it. wrong: for each other letter, the misconception behind it.
    """

    text: str
    choices: Mapping[str, str]
    right: str
    why: str
    lesson: str
    wrong: Mapping[str, str]


def _concept(text: str, why: str, lesson: str, *choices: str | tuple[str, str]) -> Concept:
    """Make a concept of choices in order: (choice, misconception), and the right one bare."""
    said = {key: each if isinstance(each, str) else each[0] for key, each in _lettered(choices)}
    wrong = {key: each[1] for key, each in _lettered(choices) if not isinstance(each, str)}
    [right] = set(said) - set(wrong)
    return Concept(text, said, right, why, lesson, wrong)


def _lettered(
    choices: tuple[str | tuple[str, str], ...],
) -> list[tuple[str, str | tuple[str, str]]]:
    return list(zip(LETTERS, choices, strict=True))


CONCEPTS: tuple[Concept, ...] = (
    _concept(
        "A function that is running reaches a `yield`. What happens?",
        "The frame with its local variables stays, and the next resume goes on from there.",
        "01 Paused functions",
        ("It ends, as at a `return`.", "A yield is no end: nothing in the function is lost."),
        "It pauses there and keeps its local variables; the code that resumed it goes on.",
        (
            "It goes on in the background, beside the code that resumed it.",
            "A paused function does nothing.",
        ),
        (
            "It chooses the function that runs next, and jumps there.",
            "It only gives control back; the code that gets it decides what runs next.",
        ),
    ),
    _concept(
        "Three fibers of one scheduler are under way. How many of them run at this very moment?",
        "They are concurrent, not parallel: the scheduler resumes one at a time.",
        "02 A scheduler in 15 lines",
        "One at most.",
        ("All three, if the machine has three processors.", "One thread uses one processor."),
        (
            "All three, each at a third of the speed.",
            "A processor is not shared out inside a step.",
        ),
        ("One for each socket.", "Sockets run nothing; they hold data until a fiber takes it."),
    ),
    _concept(
        "One fiber calls `time.sleep(1)`. What stands still for that second?",
        "The call keeps the thread, and the scheduler with it, until it returns.",
        "07 Blocking pitfalls",
        ("Only that fiber.", "That would be `yield WAIT(1)`; fibers are not threads."),
        ("Only fibers that wait for that one.", "Fibers that are ready cannot be resumed either."),
        ("Nothing: the scheduler takes the turn away.", "It cannot: it runs only after a yield."),
        "Every fiber of that scheduler.",
    ),
    _concept(
        "What does `yield WAIT(0)` do?",
        "It gives a turn away: the fiber goes on in the next pass.",
        "06 WAIT",
        (
            "Nothing: zero seconds are over at once, so the fiber goes straight on.",
            "The yield gives control away all the same.",
        ),
        ("It waits until something arrives.", "That needs `RECV`; a zero is not a for ever."),
        "It lets every other fiber that is ready run once, then the fiber goes on.",
        (
            "It lets all others run to their end, then the fiber goes on.",
            "The others run to their next yield only.",
        ),
    ),
    _concept(
        "A fiber yields `WAIT(None)`. When does it go on?",
        "It is parked, and looks again whenever something may have changed: when another fiber has "
        "run, unless that one was parked, too, and only looked.",
        "06 WAIT",
        ("Never.", "None means no time is given; it does not mean that nothing wakes it."),
        "When another fiber has run, and not only looked.",
        ("At once, as after `WAIT(0)`.", "If no other fiber can ever run, that is a deadlock."),
        (
            "When data has come for it, on any of its sockets.",
            "Which socket should that be? Data is waited for by `RECV`.",
        ),
    ),
    _concept(
        "A socket is *readable*. What does that promise?",
        "It tells of readiness, not of completion: something is there, perhaps only a part.",
        "04 Readiness",
        "A call of `recv` will not block; it may return a part of the message.",
        (
            "The whole message is there; one call of `recv` returns it.",
            "Bytes have no borders: a message may come in pieces.",
        ),
        (
            "The data has been received already; `recv` only hands it over.",
            "It lies in the kernel until the program calls recv.",
        ),
        (
            "The other side has sent its last byte.",
            "That is the end of a stream, a case of its own.",
        ),
    ),
    _concept(
        "A fiber waits at `yield RECV(sock)`, and its timeout passes. How does it learn of it?",
        "So its `except` and `finally` run, and it can clean up.",
        "11 Endings",
        (
            "It looks at the clock now and then while it waits.",
            "While it is paused, none of its code runs.",
        ),
        (
            "Not at all: the scheduler drops it, and nothing of it runs any more.",
            "Then it could neither answer its client nor clean up.",
        ),
        (
            "`sock.recv` returns an error instead of data.",
            "It has not called recv yet: it is paused before it.",
        ),
        "The scheduler resumes it with an exception, which is raised at the yield.",
    ),
    _concept(
        "`count` is 0. Two fibers that are ready each do `n = count`, then `yield WAIT(0)`, then "
        "`count = n + 1`. What is `count` afterwards?",
        "Both read 0 before either of them writes: the yield lies between reading and writing.",
        "10 Between two yields",
        ("2: one thread means no races.", "Between two yields all is safe; across one, it is not."),
        "1",
        ("1 or 2, as chance will have it.", "The order is fixed here: turns are taken at yields."),
        ("An error: fibers cannot share a variable.", "They can, and nothing warns them."),
    ),
    _concept(
        "Ten clients measure a server; each sends its next request when the last is answered. The "
        "server stands still for one second. How many long latencies do they measure?",
        "A client that waits sends nothing meanwhile, so what would have been late is never sent.",
        "09 Queues and tails",
        "Ten at most, one for each client.",
        ("As many as they usually send in a second.", "That is an open load, sent at fixed times."),
        ("All from then on.", "The server goes on after that second as it did before."),
        ("None: the server does not count the pause.", "The clients measure, and they do wait."),
    ),
    _concept(
        "`yield from in_thread(call)` runs a call in a thread of its own. For which call do the "
        "other fibers suffer all the same, in the usual Python?",
        "Only one thread at a time may run Python code, so the scheduler gets only a share.",
        "12 Off the loop",
        ("A file from a slow disk.", "It waits, and Python runs other threads meanwhile."),
        ("The look-up of a machine's name.", "It waits, and Python runs other threads meanwhile."),
        "A long computation in Python.",
        ("`time.sleep(1)`", "A sleeping thread needs nothing that the others want."),
    ),
    _concept(
        "A client reads slowly. What should the fiber do that produces data for it?",
        "So the slow reader slows its producer down: that is back-pressure.",
        "13 Overload and policy",
        ("Keep the data in a list until the client is ready.", "The list grows until memory ends."),
        ("Start a fiber for each piece of data.", "Then fibers pile up in place of the data."),
        ("Send it all the same, and go on.", "What does not fit is lost, or the call blocks."),
        "Wait until there is room, and produce nothing meanwhile.",
    ),
    _concept(
        "What does `await` do inside an `async def` function?",
        "It is a generator's `yield from` in another coat: it pauses until there is a result.",
        "14 Other coats",
        (
            "It runs the call in a thread, and goes on at once.",
            "No thread is made: a loop resumes one at a time.",
        ),
        (
            "It starts the call, and the line below it need not wait for the result.",
            "The next line runs only afterwards.",
        ),
        "It pauses the function there, and lets others run, until the result has come.",
        ("It stops the whole program until the result has come.", "Others run meanwhile."),
    ),
)

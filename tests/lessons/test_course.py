"""The course as a whole: each question, exercise and solution is where it belongs.

A lesson's own tests are in test_lesson_NN.py; its wrong answers stand there, in WRONG, and are
tried here.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
from cells import NOTEBOOKS, code_cells, last_line

import fiberlab.lab.lessons
from fiberlab.lab import examine
from fiberlab.lab.normal_form import Cell, first_line, read_notebook, to_text
from fiberlab.lab.notebooks import find_notebooks
from fiberlab.lab.notebooks import record as record_lesson

LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
SHEETS = sorted((NOTEBOOKS / "more").glob("*.ipynb"))
SOLUTIONS = find_notebooks([NOTEBOOKS / "solutions"])
MODULES = [
    importlib.import_module(f"fiberlab.lab.lessons.{each.name}")
    for each in pkgutil.iter_modules(fiberlab.lab.lessons.__path__)
]
QUESTIONS = [each for module in MODULES for each in module.QUESTIONS]
EXERCISES = [each for module in MODULES for each in module.EXERCISES]
WRONG = [
    each
    for path in sorted(Path(__file__).parent.glob("test_lesson_*.py"))
    for each in importlib.import_module(path.stem).WRONG
]


def all_code(folder: Path, exercise_or_question: str) -> str:
    """Return the code of the lesson that an id belongs to, and of its sheets."""
    cells = code_cells(exercise_or_question[1:3], folder)
    return "\n".join("".join(cell["source"]) for cell in cells)


# -- Folders ---------------------------------------------------------------------------


def test_each_lesson_has_a_folder_called_like_its_notebook():
    folders = [module.__name__.rpartition(".")[2] for module in MODULES]

    assert folders == [f"l{path.stem}" for path in LESSONS]


def test_each_lesson_links_to_its_next_one():
    links = [
        re.findall(r"Next: \[\*\*(.+?)\*\*\]\((.+?)\)", "".join(cell["source"]))
        for path in LESSONS
        for cell in read_notebook(path)["cells"][-1:]
    ]
    titles = ["".join(read_notebook(path)["cells"][0]["source"])[2:] for path in LESSONS]

    assert links == [
        *(
            [(title.partition("\n")[0], path.name)]
            for title, path in zip(titles[1:], LESSONS[1:], strict=True)
        ),
        [],
    ]


def test_no_lesson_imports_another_one():
    folder = Path(fiberlab.lab.lessons.__file__).parent
    found = [
        f"{path.relative_to(folder)}: {line}"
        for path in sorted(folder.rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if "import" in line
        for other in re.findall(r"\bl\d\d_\w+", line)
        if other != path.parent.name
    ]

    assert found == []


def test_a_lesson_takes_its_colours_from_the_palette():
    lab = Path(fiberlab.lab.lessons.__file__).parents[1]
    chosen = {
        path.relative_to(lab).as_posix()
        for path in lab.rglob("*.py")
        if re.search(r"#[0-9A-Fa-f]{6}\b", path.read_text("utf-8"))
    }

    assert chosen == {"shared/palette.py"}


# -- Optional sheets --------------------------------------------------------------------


@pytest.mark.parametrize("path", SHEETS, ids=lambda path: path.stem)
def test_a_sheet_and_its_lesson_link_to_each_other(path):
    [lesson] = NOTEBOOKS.glob(f"{path.stem[:2]}_*.ipynb")
    beginning = "".join(read_notebook(path)["cells"][0]["source"])
    end = "".join(read_notebook(lesson)["cells"][-1]["source"])

    title = first_line(read_notebook(path)["cells"][0])
    assert title.startswith(f"# {path.stem[:2]}+ ")
    assert f"optional sheet to [lesson {path.stem[:2]}](../{lesson.name})" in beginning
    assert re.search(r"Time:\s\d+\sminutes", beginning)
    assert f"[{title.partition('+ ')[2]}](more/{path.name})" in end


def test_a_sheet_is_called_like_no_other_notebook():
    names = [path.name for path in (*LESSONS, *SHEETS)]

    assert len(set(names)) == len(names)
    assert {path.name for path in SOLUTIONS} <= set(names)


# -- Questions -------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.id)
def test_each_wrong_choice_of_a_question_is_answered(question):
    right = set(question.choices) - set(question.wrong)

    assert 3 <= len(question.choices) <= 5
    assert len(right) == 1
    assert all(text.strip() for text in question.wrong.values())


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda each: each.id)
def test_each_question_is_asked_in_its_lesson(question):
    code = all_code(NOTEBOOKS, question.id)

    assert f'predict("{question.id}", ...)' in code
    assert f'reveal("{question.id}"' in code


# -- Exercises -------------------------------------------------------------------------


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.id)
def test_each_exercise_is_set_in_its_lesson_and_solved_beside_it(exercise):
    for folder in (NOTEBOOKS, NOTEBOOKS / "solutions"):
        assert f'check("{exercise.id}", ' in all_code(folder, exercise.id)


@pytest.mark.live
@pytest.mark.once
@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_each_misconception_fails_with_a_hint(wrong, capsys):
    judgement = examine(wrong.exercise, wrong.answer, *wrong.given())

    assert judgement.attempted
    assert not judgement.passed
    assert wrong.hint in judgement.hint
    assert judgement.seen
    assert judgement.expected
    assert capsys.readouterr() == ("", "")


def test_there_are_thirty_exercises_at_least():
    assert len({each.id for each in EXERCISES}) == len(EXERCISES) >= 30


def test_every_lesson_but_the_map_has_two_exercises_at_least():
    numbers = [each.id[1:3] for each in EXERCISES]
    few = [path.stem[:2] for path in LESSONS if numbers.count(path.stem[:2]) < 2]

    assert few == ["00"]


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda each: each.id)
def test_two_misconceptions_at_least_have_a_hint_of_their_own(exercise):
    hints = {each.hint for each in WRONG if each.exercise == exercise.id}

    assert len(hints) >= 2


# -- What decides an experiment ---------------------------------------------------------


@pytest.mark.parametrize(
    ("lesson", "name"),
    [
        ("03", "visit"),
        ("04", "edge_of"),
        ("05", "Turns"),
        ("06", "OldLoop"),
        ("12", "running"),
        ("13", "AcceptFirst"),
        ("13", "three_fibers"),
    ],
)
def test_what_decides_an_experiment_is_shown(lesson, name):
    shown = [cell for cell in code_cells(lesson) if last_line(cell) == f"show_source({name})"]

    assert len(shown) == 1
    assert re.search(
        rf"^ *\d+  (def|class) {name}\b",
        "".join(shown[0]["outputs"][0]["data"]["text/plain"]),
        re.M,
    )


# What a reader is to find out, or what only loads or shows something.
OUT_OF_SIGHT = {
    "07": {"mystery"},
    "08": {"mystery", "three_recordings"},  # the fibers in them are shown: see fibers
    "09": {"percentile", "recorded"},  # the second exercise asks for one, the other loads a file
    "14": {"installed"},  # a list of names
}
# What judges, draws or watches a run, or stands in for the system in simulated time.
OUT_OF_SIGHT_IN_ALL = (
    *("figures", "exercises", "question", "concepts", "stepper", "watched", "simulated_select"),
)


def experiments(code: str) -> set[str]:
    """Return the functions and classes of experiments that the code of a lesson uses."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            ("fiberlab.lab.lessons", "fiberlab.lab.shared")
        ):
            module = importlib.import_module(node.module)
            for alias in node.names:
                name = alias.asname or alias.name
                if node.module == "fiberlab.lab.lessons":
                    module = importlib.import_module(f"{node.module}.{alias.name}")
                    found += [(getattr(module, used), used) for used in attributes(code, name)]
                else:
                    found.append((getattr(module, alias.name), name))
    return {
        name
        for thing, name in found
        if callable(thing) and thing.__module__.rpartition(".")[2] not in OUT_OF_SIGHT_IN_ALL
    }


def attributes(code: str, name: str) -> set[str]:
    """Return which attributes of `name` the code uses."""
    return set(re.findall(rf"\b{name}\.(\w+)", code))


@pytest.mark.parametrize("path", [*LESSONS, *SHEETS], ids=lambda path: path.stem)
def test_each_function_of_an_experiment_is_shown(path):
    cells = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]
    code = "\n".join(re.sub(r"^\s*%.*", "", "".join(cell["source"]), flags=re.M) for cell in cells)
    code = re.sub(r"\bawait ", "", code)  # a notebook may await anywhere
    shown = set(re.findall(r"\w+", " ".join(re.findall(r"show_source\((.*?)\)", code, re.S))))

    assert experiments(code) <= shown | OUT_OF_SIGHT.get(path.stem[:2], set())


# -- Solutions, spliced into their lessons ---------------------------------------------

# Those whose solutions are tried in the second run too.
ASK_THE_SYSTEM = ("04_readiness", "05_fibers_yield_waits", "12_off_the_loop")

# Pictures take long, and no exercise looks at them.
UNSEEN = {
    "cell_type": "code",
    "execution_count": None,
    "id": "unseen",
    "metadata": {},
    "outputs": [],
    "source": "%matplotlib agg",
}


def needed(cells: list[Cell], lines: set[str]) -> list[Cell]:
    """Return the cells of code that end with one of `lines`, and what these need.

    A cell is needed if it gives a value, or a part, to a name that a later needed one uses.
    """
    kept: list[Cell] = []
    used: set[str] = set()
    for cell in reversed([cell for cell in cells if cell["cell_type"] == "code"]):
        given, reads = names(ast.parse("".join(cell["source"])))
        if last_line(cell) in lines or given & used:
            kept.insert(0, cell)
            used |= reads
    return kept


def names(code: ast.AST) -> tuple[set[str], set[str]]:
    """Return the names that `code` gives a value, or a part, and those that it reads."""
    given, reads = set(), set()
    for node in ast.walk(code):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            given.add(node.name)
        elif isinstance(node, ast.alias):
            given.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Name):
            (reads if isinstance(node.ctx, ast.Load) else given).add(node.id)
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            given |= {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
    return given, reads


@pytest.mark.live
@pytest.mark.parametrize(
    "path",
    # Where a lesson speaks of what Windows lacks, its solution is run without that too.
    [
        path if path.stem in ASK_THE_SYSTEM else pytest.param(path, marks=pytest.mark.once)
        for path in SOLUTIONS
    ],
    ids=lambda path: path.stem,
)
def test_each_solution_passes_in_its_lesson(path, tmp_path):
    solved = {last_line(cell): cell for cell in read_notebook(path)["cells"]}
    solved = {line: cell for line, cell in solved.items() if line.startswith("check(")}
    [place] = [each for each in (*LESSONS, *SHEETS) if each.name == path.name]
    lesson = read_notebook(place)
    lesson["cells"] = [solved.get(last_line(cell), cell) for cell in lesson["cells"]]
    lesson["cells"] = [UNSEEN, *needed(lesson["cells"], set(solved))]
    spliced = tmp_path / path.name
    spliced.write_text(to_text(lesson), encoding="utf-8")
    record_lesson(spliced)

    checks = [cell for cell in read_notebook(spliced)["cells"] if last_line(cell) in solved]
    judged = ["".join(cell["outputs"][-1]["text"]) for cell in checks]
    assert len(judged) == len(solved) > 0
    assert [each for each in judged if ": passed" not in each] == []

"""The lessons as they are stored, and the commands that record, check and copy them."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from jupyter_client.channels import AsyncZMQSocketChannel
from lesson_rules import SHEET, not_a_lesson, not_comparable, over_the_limits

from fiberlab.lab.normal_form import (
    LessonError,
    machine_paths,
    normalise,
    read_notebook,
    to_text,
    without_outputs,
)
from fiberlab.lab.notebooks import check, copy_lessons, find_notebooks, main, own_address, record

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
COMMITTED = find_notebooks(NOTEBOOKS.glob("**/*.ipynb"))
LESSONS = [path for path in COMMITTED if path.parent == NOTEBOOKS]
SHEETS = [path for path in COMMITTED if path.parent == NOTEBOOKS / "more"]


def name(path: Path) -> str:
    return path.relative_to(NOTEBOOKS).as_posix()


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str, outputs: tuple = (), tags: tuple = (), count: int | None = 7) -> dict:
    return {
        "cell_type": "code",
        "execution_count": count,
        "metadata": {"tags": list(tags)},
        "outputs": list(outputs),
        "source": text,
    }


def printed(text: str, stream: str = "stdout") -> dict:
    return {"output_type": "stream", "name": stream, "text": text}


def failed(name: str, message: str) -> dict:
    return {"output_type": "error", "ename": name, "evalue": message, "traceback": ["long"]}


def lesson(*cells: dict) -> dict:
    return {
        "cells": [markdown("# A lesson"), code("import math"), *cells],
        "metadata": {"language_info": {"name": "python", "version": "3.99.1"}, "author": "me"},
        "nbformat": 4,
        "nbformat_minor": 4,
    }


def stored(path: Path, notebook: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


# -- The committed lessons -------------------------------------------------------------


@pytest.mark.parametrize("path", COMMITTED, ids=name)
def test_every_committed_lesson_is_normalised(path):
    assert check(path) == []


@pytest.mark.parametrize("path", COMMITTED, ids=name)
def test_every_committed_lesson_can_be_compared(path):
    assert list(not_comparable(read_notebook(path))) == []


@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_every_lesson_keeps_to_the_template(path):
    notebook = read_notebook(path)

    assert [*over_the_limits(notebook, path.stat().st_size), *not_a_lesson(notebook)] == []


@pytest.mark.parametrize("path", SHEETS, ids=name)
def test_every_sheet_is_short_and_begins_like_a_lesson(path):
    notebook = read_notebook(path)
    limits = over_the_limits(notebook, path.stat().st_size, **SHEET)

    assert [*limits, *not_a_lesson(notebook)] == []


@pytest.mark.parametrize("path", COMMITTED, ids=name)
def test_every_code_cell_has_been_run(path):
    cells = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "code"]

    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


# -- The rules themselves --------------------------------------------------------------


@pytest.mark.parametrize(
    ("notebook", "sentence"),
    [
        (lesson(*[markdown("x")] * 34), "36 cells; the most is 35"),
        (lesson(markdown("word " * 1300)), "1302 words; the most is 1300"),
        (lesson(code("\n".join(["1"] * 26))), "cell 3 has 26 lines; the most is 25"),
        (
            lesson(*[code("1", tags=("nbval-ignore-output",))] * 2),
            "2 of 3 code cells are ignored; the most is a tenth",
        ),
    ],
)
def test_a_lesson_over_a_limit_is_named(notebook, sentence):
    assert list(over_the_limits(notebook)) == [sentence]


def test_a_sheet_has_narrower_limits_than_a_lesson():
    sheet = lesson(*[markdown("word " * 50)] * 19)

    assert list(over_the_limits(sheet)) == []
    assert list(over_the_limits(sheet, **SHEET)) == [
        "21 cells; the most is 20",
        "952 words; the most is 700",
    ]


def test_a_lesson_that_is_too_large_is_named():
    assert list(over_the_limits(lesson(), 300_000)) == ["300000 bytes; the most is 300000"]


def test_words_inside_links_and_tags_do_not_count():
    link = "[one](a/very/long/address) <details><summary>two</summary>"

    assert list(over_the_limits(lesson(markdown(f"{link} " * 649)))) == []


@pytest.mark.parametrize(
    ("notebook", "sentence"),
    [
        ({"cells": []}, "cell 1 is no title"),
        (
            {"cells": [markdown("# T"), code("import math\nx = 1")]},
            "cell 2 is the first of code: it may only import",
        ),
        (lesson(code("1", tags=("nbval-skip",))), "cell 3 has the tag nbval-skip"),
        (
            lesson(code("1", tags=("raises-exception",))),
            "cell 3 has the tag raises-exception and no stored error",
        ),
        (
            lesson(code("1 / 0", [failed("ZeroDivisionError", "division by zero")])),
            "cell 3 stores ZeroDivisionError and has no tag raises-exception",
        ),
    ],
)
def test_a_lesson_unlike_the_template_is_named(notebook, sentence):
    assert list(not_a_lesson(notebook)) == [sentence]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ax.plot([1, 2]);", "ends with a semicolon"),
        ("print(_)", "uses _:"),
        ("print(_3)", "uses _3:"),
        ("len(In)", "uses In:"),
        ("h = display(1, display_id=True)", "uses display_id:"),
        ("IPython.display.clear_output()", "uses clear_output:"),
        ("interact(draw, x=(0, 9))", "uses interact:"),
        ("input('?')", "uses input:"),
        ("%%time\nrun()", "has a magic"),
        ("x = 1\n%timeit run()", "has a magic"),
        ("# NBVAL_IGNORE_OUTPUT\nrun()", "use the tag"),
        ("!ls", "runs a command of the system"),
        ("%pip install x", "runs a command of the system"),
    ],
)
def test_code_that_cannot_be_compared_is_named(text, words):
    [sentence] = not_comparable(lesson(code(text)))

    assert sentence.startswith("cell 3 ")
    assert words in sentence


@pytest.mark.parametrize("text", ["<Echo object at 0x7f3a>", "('127.0.0.1', 45123)"])
def test_an_output_that_is_another_each_time_is_named(text):
    [sentence] = not_comparable(lesson(code("show()", [printed(text)])))

    assert "another one each time" in sentence


@pytest.mark.parametrize("text", ["for _ in range(3):\n    step()", "_ = run()", "a; b = 1, 2"])
def test_code_that_can_be_compared_is_not_named(text):
    assert list(not_comparable(lesson(code(text)))) == []


def test_an_ignored_cell_may_hold_what_cannot_be_compared():
    cell = code("%timeit run();", [printed("object at 0x7f3a")], ["nbval-ignore-output"])

    assert list(not_comparable(lesson(cell))) == []


# -- The normal form -------------------------------------------------------------------


def test_normalising_keeps_only_what_every_run_shares():
    cell = code("print(1)  \n", [printed("1\n")], count=None)
    cell["metadata"] |= {"execution": {"iopub.status.busy": "2001"}, "scrolled": True}

    normal = normalise(lesson(cell))

    assert normal["cells"][2] == {
        "cell_type": "code",
        "execution_count": 2,
        "id": "c03",
        "metadata": {},
        "outputs": [{"name": "stdout", "output_type": "stream", "text": ["1\n"]}],
        "source": ["print(1)"],
    }
    assert "version" not in normal["metadata"]["language_info"]
    assert sorted(normal["metadata"]) == ["kernelspec", "language_info"]
    assert normal["metadata"]["kernelspec"]["name"] == "python3"


def test_normalising_twice_changes_nothing():
    shown = {
        "output_type": "display_data",
        "data": {"image/png": "iVBOR\n", "text/plain": "<Figure>\nmore"},
        "metadata": {},
    }
    value = {
        "output_type": "execute_result",
        "data": {"text/plain": "1", "application/json": {"b": [1]}},
        "execution_count": 99,
        "metadata": {},
    }
    once = normalise(lesson(code("", count=3), code("1", [printed("1\r2\r\n"), shown, value])))

    assert to_text(normalise(json.loads(to_text(once)))) == to_text(once)


def test_a_stream_that_came_in_pieces_is_joined():
    pieces = [printed("a"), printed("b\n"), printed("c\n", "stderr"), printed("d\n")]

    [*_, cell] = normalise(lesson(code("run()", pieces)))["cells"]

    assert [(each["name"], each["text"]) for each in cell["outputs"]] == [
        ("stdout", ["ab\n"]),
        ("stderr", ["c\n"]),
        ("stdout", ["d\n"]),
    ]


def test_a_stored_error_keeps_its_class_and_message_only():
    [*_, cell] = normalise(lesson(code("1 / 0", [failed("KeyError", "'x'")])))["cells"]

    assert cell["outputs"] == [
        {
            "ename": "KeyError",
            "evalue": "'x'",
            "output_type": "error",
            "traceback": ["KeyError: 'x'"],
        }
    ]


def test_a_widget_is_not_stored_since_its_id_is_another_each_time():
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "9f2"}, "text/plain": "x"}
    cell = code("play(draw)", [{"output_type": "display_data", "data": widget}, printed("seen\n")])

    normal = normalise(lesson(cell))["cells"][-1]
    assert [output["output_type"] for output in normal["outputs"]] == ["stream"]


def test_of_a_widget_with_a_picture_the_picture_is_stored():
    shown = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "9f2"},
        "text/plain": "a run of 3 fibers",
        "image/png": "iVBORw0KGgo=",
    }
    cell = code("show(trace)", [{"output_type": "display_data", "data": shown}])

    [output] = normalise(lesson(cell))["cells"][-1]["outputs"]
    assert sorted(output["data"]) == ["image/png", "text/plain"]


def test_a_lesson_without_outputs_has_never_been_run():
    [*_, cell] = without_outputs(lesson(code("1", [printed("1\n")])))["cells"]

    assert (cell["execution_count"], cell["outputs"]) == (None, [])


@pytest.mark.parametrize(
    "text",
    [
        f"{Path.home() / 'echo.py'}",
        f"in {Path.cwd()}: ok",
        "/home/somebody/echo.py",
        "C:\\Users\\somebody",
        "/var/x/ipykernel_1234/99.py",
        "lib/python3.11/site-packages/x.py",
    ],
)
def test_a_path_of_a_machine_is_named_with_its_cell(text):
    [sentence] = machine_paths(lesson(code("show()\nmore()", [printed(text)])))

    assert sentence.startswith("cell 3 ('show()') shows ")


def test_a_path_that_every_machine_has_may_be_stored():
    cell = code("show()", [printed("GET /index.html, /homework, a/home/x, fiberlab/waits.py")])

    assert list(machine_paths(lesson(cell))) == []


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("[]")

    with pytest.raises(LessonError, match=r"x\.ipynb: this is no notebook"):
        read_notebook(path)


# -- The commands ----------------------------------------------------------------------


@pytest.mark.parametrize("path", COMMITTED, ids=name)
def test_every_stored_figure_has_its_alternative_text(path):
    outputs = [o for cell in read_notebook(path)["cells"] for o in cell.get("outputs", ())]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    words = [figure["metadata"].get("image/png", {}).get("alt", "") for figure in figures]

    assert [text for text in words if len(text) < 30] == []


@pytest.mark.live
@pytest.mark.posix
def test_a_kernel_listens_on_files_of_its_own(tmp_path):
    told = (
        "from ipykernel.kernelapp import IPKernelApp\n"
        "app = IPKernelApp.instance()\n"
        "print(app.transport, app.ip != {})"
    )
    path = stored(tmp_path / "a.ipynb", lesson(code(told.format(repr(own_address()["ip"])))))
    record(path)

    assert read_notebook(path)["cells"][2]["outputs"][0]["text"] == ["ipc True\n"]


def test_kernels_take_ports_where_the_path_of_a_file_would_be_too_long(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/" + "long" * 20)

    assert own_address() == {}


@pytest.mark.live
def test_a_reply_is_looked_for_each_second(tmp_path, monkeypatch):
    """Else, now and then, one that has come is seen when a cell's whole minute is over."""
    asked, get_msg = [], AsyncZMQSocketChannel.get_msg

    def noting(channel, timeout=None):
        asked.append(timeout)
        return get_msg(channel, timeout)

    monkeypatch.setattr(AsyncZMQSocketChannel, "get_msg", noting)
    path = tmp_path / "slow.ipynb"
    path.write_text(to_text(lesson(code("import time; time.sleep(1.5)"))), encoding="utf-8")
    record(path)

    assert max(timeout for timeout in asked if timeout is not None) == 1


@pytest.mark.live
def test_a_recorded_lesson_is_normalised_and_the_same_each_time(tmp_path):
    path = stored(
        tmp_path / "01_x.ipynb",
        lesson(
            code("print('a'); print(math.pi)"), code("1 / 0", tags=("raises-exception",)), code("3")
        ),
    )

    record(path)
    first = path.read_bytes()
    record(path)

    assert check(path) == []
    assert path.read_bytes() == first
    outputs = [cell["outputs"] for cell in read_notebook(path)["cells"][2:]]
    assert outputs[0][0]["text"] == ["a\n", "3.141592653589793\n"]
    assert outputs[1][0]["evalue"] == "division by zero"
    assert outputs[2][0]["data"] == {"text/plain": ["3"]}


@pytest.mark.live
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", r"01_x\.ipynb: cell 3 \('1 / 0'\) raised ZeroDivisionError: division by zero"),
        ("import os\nprint(os.getcwd())", r"01_x\.ipynb: cell 3 \('import os'\) shows"),
    ],
)
def test_a_lesson_that_cannot_be_stored_is_left_as_it_was(tmp_path, text, words):
    path = stored(tmp_path / "01_x.ipynb", lesson(code(text)))
    before = path.read_bytes()

    with pytest.raises(LessonError, match=words):
        record(path)

    assert path.read_bytes() == before


def test_check_names_the_lesson_that_is_not_normalised(tmp_path, capsys):
    good, bad = tmp_path / "01_good.ipynb", stored(tmp_path / "02_bad.ipynb", lesson())
    good.write_text(to_text(normalise(lesson())), encoding="utf-8", newline="\n")

    code = main(["check", str(tmp_path)])

    assert code == 1
    assert capsys.readouterr().out == f"{bad}: not normalised: record it again\n"


def test_a_command_names_the_file_it_cannot_read(tmp_path, capsys):
    code = main(["record", str(tmp_path / "missing.ipynb")])

    assert code == 1
    assert "missing.ipynb" in capsys.readouterr().err


# -- Copies ----------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """Return a folder with one lesson and the folder for its copy."""
    stored(tmp_path / "notebooks" / "01_x.ipynb", lesson(code("1", [printed("1\n")])))
    return tmp_path / "notebooks", tmp_path / "lessons"


def test_a_copy_has_no_outputs(folders):
    source, copies = folders
    stored(source / "solutions" / "01_x.ipynb", lesson(code("2", [printed("2\n")])))

    kept = copy_lessons(source, copies)

    assert kept == []
    assert [path.relative_to(copies).as_posix() for path in find_notebooks([copies])] == [
        "01_x.ipynb",
        "solutions/01_x.ipynb",
    ]
    assert all(
        read_notebook(path)["cells"][-1]["outputs"] == [] for path in find_notebooks([copies])
    )


def test_copies_link_to_nothing_outside_their_folder(tmp_path):
    """It may be anywhere: elsewhere there is no ``../docs``."""
    folder = tmp_path / "elsewhere" / "lessons"
    copy_lessons(NOTEBOOKS, folder)

    links = [
        path.parent / link
        for path in find_notebooks([folder])
        for link in re.findall(r"\]\(([\w./-]+\.\w+)\)", path.read_text("utf-8"))
    ]
    assert [link for link in links if not link.is_file()] == []
    assert {link.relative_to(folder).parts[0] for link in links} >= {"docs", "solutions"}


def test_what_a_lesson_links_to_is_copied_like_the_lesson(folders):
    source, copies = folders
    glossary = source.parent / "docs" / "glossary.md"
    glossary.parent.mkdir()
    stored(source / "01_x.ipynb", lesson(markdown("a [fiber](../docs/glossary.md#f)")))
    for text in ("old", "new"):
        glossary.write_text(text, "utf-8")

        assert copy_lessons(source, copies) == []
        assert (copies / "docs" / "glossary.md").read_text("utf-8") == text

    assert read_notebook(copies / "01_x.ipynb")["cells"][-1]["source"] == [
        "a [fiber](docs/glossary.md#f)"
    ]


def test_a_sheets_links_are_right_in_the_copy_too(folders):
    source, copies = folders
    stored(
        source / "more" / "01_more.ipynb",
        lesson(markdown("to [lesson](../01_x.ipynb), [fiber](../../docs/glossary.md#f)")),
    )
    (source.parent / "docs").mkdir()
    (source.parent / "docs" / "glossary.md").write_text("words", "utf-8")

    copy_lessons(source, copies)

    assert read_notebook(copies / "more" / "01_more.ipynb")["cells"][-1]["source"] == [
        "to [lesson](../01_x.ipynb), [fiber](../docs/glossary.md#f)"
    ]
    assert (copies / "docs" / "glossary.md").read_text("utf-8") == "words"


def test_a_copy_that_nobody_changed_follows_its_lesson(folders):
    source, copies = folders
    copy_lessons(source, copies)
    stored(source / "01_x.ipynb", lesson(code("newer")))

    kept = copy_lessons(source, copies)

    assert kept == []
    assert read_notebook(copies / "01_x.ipynb")["cells"][-1]["source"] == ["newer"]


def test_a_copy_that_was_changed_is_kept_and_named_when_its_lesson_is_newer(folders):
    source, copies = folders
    copy_lessons(source, copies)
    mine = stored(copies / "01_x.ipynb", lesson(code("mine")))
    before = mine.read_bytes()

    same = copy_lessons(source, copies)
    stored(source / "01_x.ipynb", lesson(code("newer")))
    newer = copy_lessons(source, copies)

    assert same == []
    assert newer == [f"kept {mine}, which you changed; rename it to get the newer lesson"]
    assert mine.read_bytes() == before


def test_a_kept_copy_is_named_again_until_it_is_renamed(folders):
    source, copies = folders
    mine = stored(copies / "01_x.ipynb", lesson(code("mine")))

    assert copy_lessons(source, copies) == copy_lessons(source, copies) != []
    mine.rename(copies / "mine.ipynb")

    assert copy_lessons(source, copies) == []
    assert read_notebook(mine)["cells"][-1]["source"] == ["1"]


def test_a_copy_that_was_deleted_comes_back(folders):
    source, copies = folders
    copy_lessons(source, copies)
    (copies / "01_x.ipynb").unlink()

    copy_lessons(source, copies)

    assert (copies / "01_x.ipynb").exists()


def test_the_copy_command_says_where_the_lessons_are(folders, capsys):
    source, copies = folders

    code = main(["copy", str(source), str(copies)])

    assert code == 0
    assert capsys.readouterr().out == f"the lessons are in {copies}\n"

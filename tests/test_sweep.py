"""A sweep: one function for many cases, in a table that goes on where it was cut off."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import namedtuple
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from fiberlab import WAIT, Scheduler, SimulatedNetwork, sweep

CALLS = []


def simulate(load, seed=0):
    """Let fibers wait in simulated time."""
    CALLS.append((load, seed))
    network = SimulatedNetwork()
    scheduler = Scheduler(clock=network.clock, poller=network)

    def fiber():
        for _ in range(seed + 1):
            yield WAIT(load)

    scheduler.add(fiber())
    scheduler.run()
    return {"seconds": network.clock.now_ns() / 1e9, "policy": "first come"}


@pytest.fixture(autouse=True)
def calls():
    CALLS.clear()
    return CALLS


GRID = {"load": [0.5, 2], "seed": [0, 1]}
CSV = """\
load,seed,seconds,policy
0.5,0,0.5,first come
0.5,1,1.0,first come
2,0,2.0,first come
2,1,4.0,first come
"""


def test_every_combination_is_a_row():
    table = sweep(simulate, GRID)

    assert table.csv() == CSV
    assert table.rows[1] == {"load": 0.5, "seed": 1, "seconds": 1.0, "policy": "first come"}
    assert str(table).splitlines()[-2:] == ["   2     1      4.0  first come", "4 cases"]
    assert (len(table), table.complete, table.note) == (4, True, None)


@pytest.mark.parametrize(
    "cases",
    [
        [{"load": 0.5, "seed": 0}, {"load": 2, "seed": 1}],
        [(0.5, 0), (2, 1)],
        [(0.5, 0), {"seed": 1, "load": 2}],
        ({"load": load, "seed": seed} for load, seed in [(0.5, 0), (2, 1)]),
    ],
    ids=["dicts", "tuples", "in another order", "a generator"],
)
def test_cases_are_dicts_or_tuples(cases):
    assert [row["seconds"] for row in sweep(simulate, cases).rows] == [0.5, 4.0]


def test_single_arguments_will_do():
    assert sweep(abs, [-1, 2]).csv() == "x,result\n-1,1\n2,2\n"
    assert sweep(simulate, [0.5]).columns == ("load", "seconds", "policy")


@dataclass
class Outcome:
    mean: float
    worst: int


Pair = namedtuple("Pair", "mean worst")


@pytest.mark.parametrize(
    "returned", [Outcome(0.5, 3), Pair(0.5, 3), {"mean": 0.5, "worst": 3}], ids=repr
)
def test_a_result_may_have_several_columns(returned):
    table = sweep(lambda seed: returned, [1])

    assert table.rows == [{"seed": 1, "mean": 0.5, "worst": 3}]


def test_no_case_gives_an_empty_table():
    table = sweep(simulate, [])

    assert (table.rows, str(table), table.csv().strip()) == ([], "0 cases", "")


@pytest.mark.posix
def test_the_table_is_the_same_with_any_executor(tmp_path):
    with ProcessPoolExecutor(2) as executor:
        table = sweep(simulate, GRID, executor, path=tmp_path / "sweep.csv")
    with ThreadPoolExecutor(8) as executor:
        threads = sweep(simulate, GRID, executor)

    assert table == threads == sweep(simulate, GRID)
    assert (tmp_path / "sweep.csv").read_text("utf-8") == CSV


# -- The file ----------------------------------------------------------------------------


def test_it_goes_on_wherever_it_was_cut_off(tmp_path, calls):
    path = tmp_path / "sweep.csv"
    run = []
    for length in range(len(CSV) + 1):
        calls.clear()
        path.write_text(CSV[:length], "utf-8")
        table = sweep(simulate, GRID, path=path)
        run.append((table.csv(), path.read_text("utf-8"), len(calls)))

    assert run == [
        (CSV, CSV, 4 - max(0, CSV[:length].count("\n") - 1)) for length in range(len(CSV) + 1)
    ]


def test_an_interrupt_gives_the_rows_so_far_and_the_next_sweep_goes_on(tmp_path, calls):
    def stops(load, seed):
        if (load, seed) == (2, 0) and len(calls) == 2:
            raise KeyboardInterrupt
        return simulate(load, seed)

    path = tmp_path / "sweep.csv"
    table = sweep(stops, GRID, path=path)

    assert (len(table), table.complete, str(table).splitlines()[-1]) == (
        2,
        False,
        "2 cases, cut short",
    )
    calls.append(None)
    assert sweep(stops, GRID, path=path).csv() == CSV


def test_more_cases_are_added_to_the_file(tmp_path, calls):
    path = tmp_path / "sweep.csv"
    sweep(simulate, {"load": [0.5], "seed": [1, 0]}, path=path)
    table = sweep(simulate, GRID, path=path)

    assert (table.csv(), len(calls)) == (CSV, 4)


def test_a_case_that_is_there_twice_is_run_twice(tmp_path, calls):
    path = tmp_path / "sweep.csv"
    sweep(simulate, [(1, 0)], path=path)
    table = sweep(simulate, [(1, 0), (1, 0), (1, 0)], path=path)

    assert (len(table), len(calls)) == (3, 3)


VALUES = [None, True, False, 0, -7, 10**20, 0.1, 1e-300, float("inf"), "", "text", "a,b\n\"c\"",
          "=1+1", "'quoted", "007", "1e5", "nan", " padded "]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_is_the_same_whether_it_was_computed_or_read(tmp_path, value):
    path = tmp_path / "sweep.csv"

    def same(value):
        return {"returned": value}

    computed, read = (sweep(same, [{"value": value}], path=path) for _ in range(2))

    assert str(computed.rows) == str(read.rows)
    assert path.read_text("utf-8") == computed.csv()


# -- Mistakes ----------------------------------------------------------------------------


def fails(load, seed):
    if seed == 1:
        raise ArithmeticError("too much")
    return 1


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(1)])
def test_a_case_that_fails_is_named_and_the_rows_before_it_are_kept(tmp_path, executor):
    path = tmp_path / "sweep.csv"
    message = r"fails\(\) for load=0\.5, seed=1 raised ArithmeticError: too much"
    with pytest.raises(RuntimeError, match=message):
        sweep(fails, GRID, executor, path=path)

    assert path.read_text("utf-8") == "load,seed,result\n0.5,0,1\n"


@pytest.mark.parametrize(
    ("function", "cases", "message"),
    [
        (simulate, None, r"sweep\(cases=\) must be a list, or what can be gone .*; got None"),
        (simulate, {"load": 0.5}, "the values of 'load' must be a list, .*; got 0.5"),
        (simulate, {"load": "half"}, "the values of 'load' must be a list, .*; got 'half'"),
        (4, [1], r"sweep\(\) needs a function, got 4"),
        (simulate, [{"speed": 1}], r"case 1, \{'speed': 1\}, does not fit simulate\(\)"),
        (simulate, [(1,), (1, 2, 3)], r"case 2, \(1, 2, 3\), does not fit simulate\(\)"),
        (simulate, [(1,), (1, 2)], "case 2 has the arguments 'load', 'seed', and the first"),
        (simulate, [([1],)], r"'load' is \[1\]; in a table it must be text, a number"),
        (lambda seed: object, [1], "'result' is <class 'object'>; in a table it must be"),
        (lambda seed: {"seed": 1}, [1], "an argument and a result have the same name: 'seed'"),
        (lambda seed: {"r" * seed: 1}, [1, 2], "return the same each time"),
    ],
)
def test_a_mistake_says_what_was_expected(function, cases, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sweep(function, cases)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"speed,seconds\n1,2\n", "has the columns 'speed', 'seconds', and the arguments are"),
        (b"load,seed,seconds\n1,2\n", "has the columns 'load', 'seed', 'seconds', and"),
        (b"\xff\xfe\n", "is no CSV file of a sweep; give another path"),
        (b'load,"seed\n', "is no CSV file of a sweep; give another path"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path, data, message):
    path = tmp_path / "other.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        sweep(simulate, GRID, path=path)

    assert path.read_bytes() == data


def test_a_path_that_cannot_be_written_is_refused_before_anything_is_run(tmp_path, calls):
    for path in (tmp_path, tmp_path / "missing" / "sweep.csv"):
        with pytest.raises(OSError, match=re.escape(path.name)):
            sweep(simulate, GRID, path=path)

    assert calls == []


def test_without_pandas_one_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ImportError, match="needs pandas: python -m pip install pandas"):
        sweep(simulate, GRID).to_pandas()


def test_pandas_gets_the_table():
    pytest.importorskip("pandas")
    frame = sweep(simulate, GRID).to_pandas()

    assert (list(frame.columns), frame["seconds"].sum()) == (
        ["load", "seed", "seconds", "policy"],
        7.5,
    )


def test_progress_is_told_of_a_sweep_as_of_a_search():
    told = []
    sweep(abs, range(600), progress=lambda *numbers: told.append(numbers))

    assert told == [(256, 0), (512, 0), (600, 0)]


# -- docs/cluster.md ---------------------------------------------------------------------


@pytest.mark.posix
def test_the_page_on_clusters_runs_as_it_stands(tmp_path):
    page = Path(__file__).parent.parent / "docs" / "cluster.md"
    pool, _, table = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    (tmp_path / "lost.py").write_text(pool, "utf-8")
    (tmp_path / "load.py").write_text(table, "utf-8")
    printed = [
        subprocess.run(
            [sys.executable, name], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.splitlines()[-1]
        for name in ("lost.py", "load.py")
    ]

    assert re.match(r"fails in [\d,]+ of 1,680 schedules; the shortest has no switch", printed[0])
    assert printed[1] == "6 cases"

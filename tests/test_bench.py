"""The benchmark measures what it says: its servers answer right, its tables tell what was found."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("bench measures with epoll and the clocks of Linux", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import client, fibers, kinds, report, results, traces, workloads  # noqa: E402
from bench.processes import child  # noqa: E402

pytestmark = [pytest.mark.live, pytest.mark.posix]

TINY = kinds.Bench(scale=0.002)


def need(name: str) -> None:
    """Skip unless the peer `name` is installed."""
    package = name.partition("-")[0]
    if package in workloads.PEERS and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: it is in the extra bench")


@pytest.mark.parametrize(
    ("table", "name"),
    [("ALL_SWITCHERS", name) for name in fibers.ALL_SWITCHERS]
    + [("SLEEPERS", name) for name in fibers.SLEEPERS],
)
def test_each_switcher_and_sleeper_does_all_its_turns(table: str, name: str) -> None:
    need(name)
    stretch = fibers.Stretch(5, 4, 0.001)

    told = fibers.measure(getattr(fibers, table)[name], stretch)

    assert told["operations"] == stretch.turns == 20


@pytest.mark.parametrize("name", workloads.ALL_SERVERS)
def test_each_server_answers_right(name: str) -> None:
    need(name)

    assert kinds.echo(TINY, name, 3).cost > 0


@pytest.mark.parametrize("name", ["limit", "plain", "select"])
def test_each_server_speaks_http(name: str) -> None:
    with child(None, "serve", name, "http") as (_, address):
        askers = client.connect(tuple(address), 3, http=True)
        client.ask(askers, 10)
        client.close(askers)


def test_a_wrong_byte_is_noticed() -> None:
    with child(None, "serve", "limit") as (_, address):
        askers = client.connect(tuple(address), 1)
        askers[0].expected = b"!" + askers[0].expected[1:]

        with pytest.raises(client.WrongBytes, match="expected b'!"):
            client.ask(askers, 1)
        client.close(askers)


@pytest.mark.parametrize("kind", ["draw", "save", "load", "events"])
def test_a_trace_is_drawn_and_comes_back_from_disk(kind: str) -> None:
    assert traces.TASKS[kind]("plain", 3000)["cost"] > 0


def test_memory_is_told_for_each_fiber() -> None:
    assert 100 < kinds.asleep_memory(TINY, "plain", 2000).cost < 5000


def made_result(**costs: list[float]) -> dict[str, Any]:
    """Return a result as it would be measured, of one case with these costs."""
    figures = {name: results.Figure(each) for name, each in costs.items()}
    case = results.CaseResult("2 fibers", 2, 1, figures, {"trio": "trio is not installed"})
    told = {"workload": "switch", "title": "a switch", "unit": "µs", "limit": "limit"}
    return {**told, "rounds": 3, "cases": [case]}


def test_a_table_tells_medians_and_their_ratio_to_the_limit() -> None:
    told = report.table(made_result(limit=[1, 2, 3], plain=[4, 5, 3]))

    assert told.splitlines() == [
        "**a switch: 2 fibers** (3 rounds)",
        "",
        "|                 | µs (min to max) | per second | ratio |",
        "| --------------- | --------------: | ---------: | ----: |",
        "| limit           |      2 (1 to 3) |          - |  1.00 |",
        "| fiberlab, plain |      4 (3 to 5) |          - |  0.50 |",
        "",
        "Not measured: trio: trio is not installed.",
    ]


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ([10, 10.5, 11, 10.2], "flat"),
        ([10, 11, 12, 13], "logarithmic"),
        ([10, 11, 20, 110], "faster than logarithmic"),
        ([40, 20, 15, 14], "falls"),
    ],
)
def test_growth_is_called_by_its_name(costs: list[float], said: str) -> None:
    assert report.growth_of(list(zip((10, 100, 1000, 10_000), costs, strict=True))) == said


def test_results_come_back_from_disk(tmp_path: Path) -> None:
    bench = kinds.Bench(scale=0.01)
    switch = workloads.WORKLOADS["switch"]
    workload = dataclasses.replace(switch, quick=switch.quick[:1])

    measured = results.run_workload("switch", workload, ["limit", "plain"], bench, 1, 1)
    results.save(measured, tmp_path)

    (case,) = results.load(tmp_path)["switch"]["cases"]
    assert set(case.figures) == {"limit", "plain"}
    assert (case.label, case.size, case.attempts) == ("2 fibers", 2, 1)


def test_servers_are_chosen_by_how_their_names_begin() -> None:
    echo = workloads.WORKLOADS["echo"]

    assert workloads.chosen(echo, ["uvloop", "trio"]) == [
        "limit", "uvloop-protocol", "uvloop-streams", "trio",
    ]  # fmt: skip
    assert workloads.chosen(echo, ["fiberlab"]) == ["limit", *workloads.OURS]

"""A local dask cluster, started as its user would: docs/cluster.md, tried."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from fiberlab import WAIT, explore, sweep

distributed = pytest.importorskip("distributed", reason="needs the extra [cluster]")

pytestmark = [
    pytest.mark.live,
    # The cluster's own sockets and processes are its business.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def executor():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor()


def lost_update(world):
    box = [0]

    def increment():
        value = box[0]
        yield WAIT(0)
        box[0] = value + 1

    for name in "abc":
        world.add(increment(), name)
    world.at_end(lambda: box[0] == 3)


def dies_once(world, *, here, died):
    if os.getpid() != here and not died.exists():
        died.touch()
        os._exit(1)
    lost_update(world)


def found(result):
    return (str(result), result.explored, result.failure.tape, list(result.failure.trace))


def test_dask_gives_the_same_result(executor):
    # Sent by value, as a program is that was defined in a notebook.
    def program(world):
        lost_update(world)

    assert found(explore(program, executor=executor)) == found(explore(program))


def test_a_worker_of_dask_that_dies_loses_nothing(executor, tmp_path):
    program = partial(dies_once, here=os.getpid(), died=tmp_path / "died")
    result = explore(program, executor=executor)

    assert (tmp_path / "died").exists()
    assert (result.schedules, result.failures, result.complete) == (90, 84, True)


def test_dask_gives_the_same_table(executor, tmp_path):
    path = Path(tmp_path / "sweep.csv")
    table = sweep(pow, [(base, 2) for base in range(20)], executor, path=path)

    assert table == sweep(pow, [(base, 2) for base in range(20)])
    assert path.read_text("utf-8") == table.csv()


def test_the_page_on_clusters_starts_one_that_works(capsys):
    page = Path(__file__).parent.parent / "docs" / "cluster.md"
    block = page.read_text("utf-8").split("```python\n")[2].split("```")[0]
    exec(
        block.replace("threads_per_worker=1", "host='127.0.0.1', dashboard_address=None"),
        {"program": lost_update, "explore": explore},
    )

    assert capsys.readouterr().out.startswith("fails in 84 of 90 schedules")

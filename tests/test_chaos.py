"""A crowd and a storm of rude clients, both small: bench runs the great ones."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fiberlab import RECV, Scheduler

if sys.platform != "linux":
    pytest.skip("the accounts are read from /proc", allow_module_level=True)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import chaos, crowd  # noqa: E402
from bench.account import Account, left_over, take_account  # noqa: E402
from bench.rude import ALL  # noqa: E402

pytestmark = [pytest.mark.live, pytest.mark.posix]


def test_a_crowd_is_served_at_once_and_every_byte_is_right() -> None:
    """Answers on the wrong connection, or lost bytes, raise WrongBytes."""
    figures, wrong = crowd.crowd(200, 2, lambda text: None)

    assert (wrong, figures["connections at once"]) == ([], 200)


def test_rude_clients_of_every_kind_leave_nothing_over() -> None:
    """Descriptors, fibers, sockets, objects and memory are as they were before the storm."""
    figures, wrong = chaos.chaos(80, 0.5, 0.4, chaos.SEED, lambda text: None)

    assert wrong == []
    assert set(figures["of each kind"]) == {kind.__name__ for kind in ALL}


def test_what_is_left_over_is_named() -> None:
    before = Account(2, 5, 4, 2, 7, 16_000, 20 << 20, 0.0)
    after = Account(3, 5, 4, 2, 9, 17_000, 30 << 20, 1.0)

    assert left_over("server", before, after) == [
        "server: fibers went from 2 to 3",
        "server: descriptors went from 7 to 9",
        "server: 1000 more objects, at most 500 are caches",
        "server: memory grew by 10485760 bytes, at most 8388608 are bounded",
    ]


def test_an_account_sees_a_fiber_and_a_socket_that_are_kept() -> None:
    """The judge can find what it looks for."""
    before = take_account()
    ours, theirs = socket.socketpair()
    scheduler = Scheduler()
    fiber = scheduler.add(serve_once(ours))
    after = take_account()

    with ours, theirs:
        found = {sentence.split()[1] for sentence in left_over("test", before, after)}
        assert found == {"fibers", "generators", "sockets", "descriptors"}, fiber


def serve_once(sock: socket.socket) -> Iterator[RECV]:
    yield RECV(sock)

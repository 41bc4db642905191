"""The experiment of lesson 07: naps in simulated time, and how late requests are."""

from __future__ import annotations

from collections.abc import Generator

from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....waits import RECV, WAIT, Wait


def simulate_naps(nap: float, nappers: int) -> list[tuple[float, float]]:
    """Let four fibers answer a request each 20 ms, in simulated time, beside some that nap.

    nap: seconds; each of the `nappers` blocks for so long, 100 ms after the beginning.
    Returns of each request, in seconds, when it was due, and its latency.
    """
    network = SimulatedNetwork()
    requests: list[tuple[float, float]] = []
    scheduler = Scheduler(clock=network.clock, poller=network)
    for number in range(4):
        due = [0.005 * number + 0.020 * count for count in range(20)]
        scheduler.add(_answering(network, due, requests))
    for _ in range(nappers):
        scheduler.add(_napping(network, nap))
    scheduler.run()
    return requests


def _answering(
    network: SimulatedNetwork, due: list[float], requests: list[tuple[float, float]]
) -> Generator[Wait, None, None]:
    # A pair for each request, as long as the request is due: the client needs no fiber.
    pairs = [network.socketpair(latency=moment) for moment in due]
    for client, _ in pairs:
        client.send(b"word")
    for moment, (_, server) in zip(due, pairs, strict=True):
        yield RECV(server)
        network.clock.burn(0.001)  # what an answer costs
        requests.append((moment, network.clock.now() - moment))


def _napping(network: SimulatedNetwork, nap: float) -> Generator[Wait, None, None]:
    yield WAIT(0.1)
    network.clock.burn(nap)

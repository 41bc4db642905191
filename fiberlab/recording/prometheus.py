"""A StallRecorder's counters as metrics of Prometheus, by its own client library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .stall_recorder import StallRecorder

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_COUNTERS = {
    "passes": "Passes of the loop",
    "steps": "Steps of fibers",
    "stalls": "Steps that took longer than the limit",
    "stalled_seconds": "Time that stalls took together",
}
_GAUGES = {
    "longest_step_seconds": "The longest stall of the run",
    "longest_pass_seconds": "The longest time in which the loop did not poll",
}


class StallCollector:
    """What Prometheus asks for the counters of `recorder`: from any thread, at every scrape."""

    def __init__(self, recorder: StallRecorder) -> None:
        self.recorder = recorder

    def collect(self) -> Iterator[Any]:
        """Yield each counter as a metric, its name beginning with ``fiberlab_``."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        now = self.recorder.counters()
        for name, meaning in _COUNTERS.items():
            yield CounterMetricFamily(f"fiberlab_{name}", meaning, value=now[name])
        for name, meaning in _GAUGES.items():
            yield GaugeMetricFamily(f"fiberlab_{name}", meaning, value=now[name])


def register(recorder: StallRecorder, registry: CollectorRegistry | None = None) -> StallCollector:
    """Let Prometheus scrape `recorder`; registry: None is the library's own.

    Needs the package ``prometheus-client``. Returns what ``registry.unregister`` takes.
    """
    from prometheus_client import REGISTRY

    collector = StallCollector(recorder)
    (REGISTRY if registry is None else registry).register(collector)
    return collector

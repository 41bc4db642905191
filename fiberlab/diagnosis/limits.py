"""The thresholds of `diagnose`: from when on something is worth a sentence."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Thresholds, in seconds unless it says otherwise: ``limits=Limits(step=0.02)``.

    step: from when on a step is long; ten times that is an error. cpu_low, cpu_high: the share
    of a long step's time that the processor worked for it, below which it was waiting and from
    which it was computing. first_step: after how long a fiber that has not yielded once is
    called so.

    ready: ready at once, or ready_share: share of its life (and ready_least in all), from which
    on a fiber is starved. hidden: how long data lay in the kernel. late: and late_share of what
    it asked for: that a WAIT ends too late. turn: that the short steps of one pass take
    together. self_wakes: WAIT(0) in all and a second, self_wake_share: of all its wakes, above
    which a fiber waits busily, if its steps take less than self_wake_step on average.
    """

    step: float = 0.05
    cpu_low: float = 0.2
    cpu_high: float = 0.8
    first_step: float = 1.0
    ready: float = 0.05
    ready_share: float = 0.5
    ready_least: float = 0.05
    hidden: float = 0.05
    late: float = 0.01
    late_share: float = 0.5
    turn: float = 0.1
    self_wakes: float = 100.0
    self_wake_share: float = 0.5
    self_wake_step: float = 0.001

"""The thresholds of `diagnose`: how long or how often something must be to be reported."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Thresholds, in seconds unless it says otherwise: ``limits=Limits(step=0.02)``.

    step: a step of this length is long; ten times that is an error. cpu_low, cpu_high: shares of
    a long step for which the processor worked; below the first the step waited, from the second
    on it computed. first_step: the length of an only step that is reported as "never yielded".

    ready: a fiber that was ready for so long at once is starved. ready_share, ready_least: so is
    one that was ready for this share of its life and this long in all. hidden: how long data lay
    in the kernel. late, late_share: a WAIT is late by both, seconds and a share of what it asked
    for. turn: how long the short steps of one pass take together. self_wakes, self_wake_share,
    self_wake_step: a fiber waits busily if it yields WAIT(0) more often than the first, in all
    and a second, if that is more than the second of its wakes, and if its steps take less than
    the third on average.
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

"""Diagnosis: what went wrong in a run, in sentences.

Each rule in `rules` yields findings. `evidence` decides what made a step long and which fibers
paid for it. `limits` has the thresholds, `finding` is one sentence with its numbers,
`words` what each scheduler calls its parts, and `diagnose` applies all rules.

This folder knows no scheduler, and draws nothing.
"""

from .diagnose import assert_no_stall, diagnose
from .finding import Diagnosis, Finding
from .limits import Limits

__all__ = ["Diagnosis", "Finding", "Limits", "assert_no_stall", "diagnose"]

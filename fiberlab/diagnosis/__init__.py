"""Diagnosis: what went wrong in a run, in sentences.

Each rule in `rules` yields findings. `evidence` decides what made a step long and who paid for it,
`finding` is one sentence with its numbers, and `diagnose` asks all rules.

This folder knows no scheduler, and draws nothing.
"""

from .diagnose import assert_no_stall, diagnose
from .finding import Diagnosis

__all__ = ["Diagnosis", "assert_no_stall", "diagnose"]

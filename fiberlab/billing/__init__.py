"""Billing: what each request's latency consists of, and which line has charged it.

`account` divides the time of a request into stretches, and `bill` adds them up for all requests.

This folder knows no scheduler, and draws nothing.
"""

from .bill import Bill, Billed, Charge, bill

__all__ = ["Bill", "Billed", "Charge", "bill"]

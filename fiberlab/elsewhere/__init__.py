"""Elsewhere: other schedulers, recorded as fiberlab's events, so that the same pictures show them.

notes.py      Notes: write a trace by hand, from any scheduler
asyncio_.py   run an asyncio program and record its tasks as fibers
"""

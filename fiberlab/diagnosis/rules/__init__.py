"""The rules of the diagnosis: each is a function of spans and limits that yields findings.

`long_steps` finds steps that held the loop. `delays` finds fibers that went on too late, and the
cause. `conduct` finds what fibers did or failed to do, whatever it cost others.
"""

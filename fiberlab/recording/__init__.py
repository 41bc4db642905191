"""From the scheduler to a trace: what is told of each event, and which line holds the loop.

`reporter` has one method for each kind of event. `watchdog` looks into a step that does not end,
`culprit_line` finds the line of it that is the user's own, and `data_age` asks the system for how
long data had been there.

This folder knows nothing of what is made of a trace later.
"""

"""Hide what Windows lacks: with this folder in PYTHONPATH, SIGHUP, epoll, poll and fork.

Python imports this module before any other, so whoever asks `hasattr(select, "epoll")`
or takes `selectors.DefaultSelector`, here or in a process that a test starts, gets the
answer that Windows gives. `sys.platform` is left alone: the standard library needs it.
"""

import os
import select
import selectors
import signal

HIDDEN = [
    (signal, "SIGHUP"),
    (select, "epoll"),
    (select, "poll"),
    (select, "devpoll"),
    (select, "kqueue"),
    (selectors, "EpollSelector"),
    (selectors, "PollSelector"),
    (selectors, "DevpollSelector"),
    (selectors, "KqueueSelector"),
    (os, "fork"),
    (os, "forkpty"),
]

for module, name in HIDDEN:
    if hasattr(module, name):
        delattr(module, name)

selectors.DefaultSelector = selectors.SelectSelector  # type: ignore[misc]

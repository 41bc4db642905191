"""Elsewhere: other schedulers, recorded as fiberlab's events, so that the same pictures show them.

notes.py      Notes: write a trace by hand, from any scheduler
asyncio_.py   run an asyncio program and record its tasks as fibers; asyncio_tasks.py: what can
              be asked of a task
trio_.py      the same for trio, through its instruments
gevent_.py    the same for gevent and for bare greenlets, through their trace function
threads.py    sample the threads of this process, and record each as a fiber
attach.py     put the recorder into a process that runs already, and take it out again;
              injected.py is the script that lets it in, attached.py records there
suspended.py  what something suspended waits for, read off its frames
"""

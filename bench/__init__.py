"""bench: what a switch, an echo, a timer and a trace cost, beside the limit and the others.

Run it from the root of the repository: ``python -m bench --help``. README.md tells what each
figure means.

The rule kept here: a figure is the processor time of the measured process for one operation,
taken side by side in one run, interleaved, with every byte and every turn verified. What is
measured is the scheduler as it is shipped: there is no path that only the benchmark takes.
"""

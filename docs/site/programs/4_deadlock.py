"""Each holds what the other one wants: a deadlock."""

from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, show

forks = {"left": None, "right": None}


def dine(first, second):
    for fork in (first, second):  # try the same order for both
        while forks[fork] is not None:
            yield WAIT(None)  # until another fiber has run
        forks[fork] = "taken"
        yield WAIT(0.001)
    forks[first] = forks[second] = None


network, trace = SimulatedNetwork(), Trace()
scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
scheduler.add(dine("left", "right"), "ann")
scheduler.add(dine("right", "left"), "ben")
scheduler.run()
show(trace)

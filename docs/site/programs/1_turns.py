"""Two fibers take turns."""

from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, show


def count(name, numbers):
    for number in range(numbers):
        print(name, "counts", number)
        network.clock.burn(0.001)  # a millisecond of work
        yield WAIT(0)  # let the other one go first


network, trace = SimulatedNetwork(), Trace()
scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
scheduler.add(count("ann", 3), "ann")
scheduler.add(count("ben", 5), "ben")
scheduler.run()
show(trace)

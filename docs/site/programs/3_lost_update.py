"""Two fibers add to one number, and an update is lost."""

from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, step


def add(times):
    global total
    for _ in range(times):
        seen = total
        yield WAIT(0)  # another fiber runs here: try to move this line below
        total = seen + 1
        network.clock.burn(0.001)


total = 0
network, trace = SimulatedNetwork(), Trace()
scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
scheduler.add(add(3), "ann")
scheduler.add(add(3), "ben")
scheduler.run()
print("3 + 3 =", total)
step(trace)

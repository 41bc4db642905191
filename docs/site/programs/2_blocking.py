"""One connection blocks, and all others wait."""

from fiberlab import RECV, SEND, Scheduler, SimulatedNetwork, Trace, diagnose, join, show, start


def echo(sock, address):
    yield RECV(sock)
    while data := sock.recv(1024):
        if data == b"slow":
            network.clock.burn(0.2)  # as time.sleep(0.2) does: try yield WAIT(0.2)
        yield SEND(sock)
        sock.send(data)
        yield RECV(sock)


def client(message):
    with network.connect(address, latency=0.002) as sock:
        for _ in range(4):
            yield SEND(sock)
            sock.send(message)
            yield RECV(sock)
            sock.recv(1024)


def clients():
    children = [start(client(each), each.decode()) for each in (b"one", b"slow", b"two")]
    for child in children:
        yield from join(child)
    scheduler.stop()


network, trace = SimulatedNetwork(), Trace()
scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
address = scheduler.listen(echo)
scheduler.add(clients(), "clients")
scheduler.run()
print(diagnose(trace))
show(trace)

"""What the scheduler promises, as plainly as possible: lists that are searched, and no trick."""

from fiberlab.errors import FiberCancelled, FiberTimeout, InvalidYield, SocketBusy, SocketClosed


class ModelFiber:
    error = sock = kind = deadline = None
    done = looked = False


class Model:
    def __init__(self):
        self.now, self.story, self.stopping, self.running = 0, [], False, 0
        self.fibers, self.queue, self.parked, self.touched = [], [], [], []

    def add(self, generator):
        self.fibers.append(ModelFiber())
        self.fibers[-1].generator, self.fibers[-1].id = generator, len(self.fibers)
        return self.wake(self.fibers[-1], "spawn", self.running)

    def wake(self, fiber, why, by=0, error=None):
        fiber.kind, fiber.deadline, fiber.looked = None, None, why == "fiber"
        fiber.error = error or fiber.error
        self.parked = [other for other in self.parked if other is not fiber]
        self.touched = [other for other in self.touched if other is not fiber]
        self.queue.append(fiber)
        self.story.append((self.now, "wake", fiber.id, why, by, len(self.queue)))
        return fiber

    def cancel(self, fiber):
        fiber.error = FiberCancelled()
        if fiber.kind:
            self.wake(fiber, "cancel", self.running)

    def take(self, fiber, kind, sock, seconds):
        for at_once, why, error in (
            (fiber.error, "cancel", None),
            (kind not in ("RECV", "SEND", "WAIT"), "yield", InvalidYield()),
            (sock and not sock.open, "yield", SocketClosed()),
            ((kind, sock) in self.waiting(), "yield", SocketBusy()),
            (kind == "SEND" and sock and sock.ready(kind), "io", None),
            (kind == "WAIT" and seconds == 0, "yield", None),
        ):
            if at_once:
                self.wake(fiber, why, 0 if why == "io" else fiber.id, error)
                return
        fiber.kind, fiber.sock, fiber.asked = kind, sock, len(self.story)
        fiber.deadline = None if seconds in (None, float("inf")) else self.now + seconds
        self.touched += [fiber] if sock and sock.ready(kind) else []
        self.parked += [fiber] if kind == "WAIT" and seconds is None else []

    def resume(self, fiber):
        self.running, before, error, fiber.error = fiber.id, [*self.parked], fiber.error, None
        self.story.append((self.now, "resume", fiber.id, len(self.queue)))
        try:
            wait = fiber.generator.throw(error) if error else next(fiber.generator)
        except BaseException as ended:
            how = {StopIteration: "return", FiberCancelled: "cancel"}.get(type(ended), "error")
            fiber.done = True
            self.story.append((self.now, "exit", fiber.id, how))
        else:
            seconds = getattr(wait, "seconds", getattr(wait, "timeout", None))
            self.take(fiber, type(wait).__name__, getattr(wait, "sock", None), seconds)
        only_looked = fiber.looked and fiber in self.parked
        for other in [other for other in before if other in self.parked and not only_looked]:
            self.wake(other, "fiber", fiber.id)

    def waiting(self):
        return {(f.kind, f.sock): f for f in self.fibers if f.kind and f.sock}

    def poll(self):
        touched, self.touched = dict.fromkeys(self.touched), []
        woken = [f for f in touched if f.sock.ready(f.kind) or not f.sock.open]
        deadlines = [fiber.deadline for fiber in self.fibers if fiber.deadline is not None]
        if not (self.queue or woken or self.stopping):
            self.now = max(self.now, min(deadlines))  # ValueError without any: a deadlock
        for fiber in woken:
            self.wake(fiber, "io", 0, None if fiber.sock.open else SocketClosed())
        due = [f for f in self.fibers if f.deadline is not None and f.deadline <= self.now]
        for fiber in sorted(due, key=lambda fiber: (fiber.deadline, fiber.asked)):
            self.wake(fiber, "timer", 0, FiberTimeout() if fiber.kind != "WAIT" else None)

    def run(self):
        while not self.stopping:
            for _ in range(len(self.queue)):
                self.resume(self.queue.pop(0))
            if all(fiber.done for fiber in self.fibers):
                return "stopped" if self.stopping else "done"
            self.running = 0
            try:
                self.poll()
            except ValueError:
                return "deadlock"
        return "stopped"

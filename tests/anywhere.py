"""A run in simulated time, from fibers to a file for Perfetto, printed: the same wherever it runs.

It needs neither a thread nor a real socket; `test_anywhere` runs it where there are none.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from fiberlab import (
    RECV,
    SEND,
    WAIT,
    Scheduler,
    SimulatedNetwork,
    Trace,
    as_fiber,
    build_spans,
    compare,
    diagnose,
    mark,
    summarize,
    write_perfetto,
)
from fiberlab.sockets import send_all
from fiberlab.spans.check import check_story


def simulate(nap: float) -> tuple[Trace, str]:
    """Let clients talk to a server of which one connection holds the loop for `nap` seconds."""
    network = SimulatedNetwork()
    trace, out = Trace(), io.StringIO()
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace, file=out, timeout=1)

    def echo(sock: Any, address: Any) -> Any:
        yield RECV(sock)
        while data := sock.recv(1024):
            with mark("answer"):
                if data == b"slow":
                    network.clock.burn(nap)
                yield from send_all(sock, data)
            yield RECV(sock)

    def client(message: bytes) -> Any:
        with network.connect(address, latency=0.001) as sock:
            for _ in range(3):
                yield SEND(sock)
                sock.send(message)
                yield RECV(sock)
                print("heard", sock.recv(1024).decode())

    async def silent() -> None:
        with network.connect(address) as sock:
            await RECV(sock)  # the server says nothing either: FiberTimeout

    def end() -> Any:
        yield WAIT(3)
        scheduler.stop()

    address = scheduler.listen(echo)
    for message in (b"hello", b"slow", b"hi"):
        scheduler.add(client(message), f"client {message.decode()}")
    scheduler.add(as_fiber(silent()), "silent")
    scheduler.add(end())
    scheduler.run()
    return trace, out.getvalue()


def main() -> None:
    """Print what the parts of fiberlab make of two such runs."""
    slow, said = simulate(0.2)
    quick, _ = simulate(0.002)
    check_story(slow)
    print(said, diagnose(slow), sep="\n")
    print({state.name: ns for state, ns in build_spans(slow).totals().items()})
    print(summarize(slow), compare(slow, quick), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("trace.fiber.jsonl", "trace.fiber.jsonl.gz"):
            slow.save(Path(folder) / name)
            print(name, list(Trace.load(Path(folder) / name)) == list(slow))
        print((Path(folder) / "trace.fiber.jsonl").read_text("utf-8"))
        write_perfetto(slow, Path(folder) / "perfetto.json")
        print((Path(folder) / "perfetto.json").read_text("utf-8"))


if __name__ == "__main__":
    main()

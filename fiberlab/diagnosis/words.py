"""Words: what each scheduler calls its parts, and what to write there in place of a mistake.

The rule kept here: no sentence advises what does not exist in the program that was recorded. Of a
scheduler that is not known here nothing is advised.
"""

from __future__ import annotations

from typing import NamedTuple

from ..spans.spans import Life, Spans


class Words(NamedTuple):
    """The words of one scheduler; "" where there is nothing to advise. {}: what was called.

    fiber: what a fiber is called there. wait: what waits for a time. parked: how it waits for
    another one. sleep, pause: how to wait for {} seconds, and how to give the others a turn.
    receive, send, connect: what to use on sockets. thread: how to call {} where it holds up
    nothing. instead: what to use in place of asking again and again.
    measured: whether processor times can be recorded.
    """

    fiber: str = "fiber"
    wait: str = "sleep"
    parked: str = "waited"
    sleep: str = ""
    pause: str = ""
    receive: str = ""
    send: str = ""
    connect: str = ""
    thread: str = ""
    instead: str = ""
    measured: bool = False


_WORDS = {
    "fiberlab": Words(
        wait="WAIT",
        parked="waited with WAIT(None)",
        sleep="`yield WAIT({})`",
        pause="`yield WAIT(0)`",
        receive="`yield RECV(sock)` before it",
        send="`yield from send_all(sock, data)`",
        connect="`yield from connect(address)`",
        thread="`yield from in_thread({}, ...)`",
        instead="`yield RECV(sock)`, `yield WAIT(None)` or `yield WAIT(0.01)`",
        measured=True,
    ),
    "asyncio": Words(
        fiber="task",
        sleep="`await asyncio.sleep({})`",
        pause="`await asyncio.sleep(0)`",
        receive="`await loop.sock_recv(sock, size)`",
        send="`await loop.sock_sendall(sock, data)`",
        connect="`await asyncio.open_connection(host, port)`",
        thread="`await asyncio.to_thread({}, ...)`",
        instead="an `asyncio.Event`, an `asyncio.Queue` or `await asyncio.sleep(0.01)`",
        measured=True,
    ),
    "trio": Words(
        fiber="task",
        sleep="`await trio.sleep({})`",
        pause="`await trio.sleep(0)`",
        receive="`await stream.receive_some()`",
        send="`await stream.send_all(data)`",
        connect="`await trio.open_tcp_stream(host, port)`",
        thread="`await trio.to_thread.run_sync({}, ...)`",
        instead="a `trio.Event`, a memory channel or `await trio.sleep(0.01)`",
        measured=True,
    ),
    "gevent": Words(
        fiber="greenlet",
        sleep="`gevent.sleep({})`",
        pause="`gevent.sleep(0)`",
        receive="a socket of `gevent.socket`",
        send="a socket of `gevent.socket`",
        connect="a socket of `gevent.socket`",
        thread="`gevent.get_hub().threadpool.apply({}, ...)`",
        instead="a `gevent.event.Event`, a `gevent.queue.Queue` or `gevent.sleep(0.01)`",
        measured=True,
    ),
    "greenlet": Words(fiber="greenlet", measured=True),
    "threads": Words(fiber="thread"),
}
_IN_A_CALLBACK = Words(
    fiber="task",
    sleep="`loop.call_later({}, function)`",
    thread="`loop.run_in_executor(None, {}, ...)`",
    measured=True,
)


def is_ours(spans: Spans) -> bool:
    """Whether a run was recorded of fiberlab's own scheduler."""
    return bool(spans.header.get("source", "fiberlab") == "fiberlab")


def words_of(spans: Spans, life: Life | None = None) -> Words:
    """Return the words of the scheduler that a run was recorded of.

    life: what is spoken of; a callback of asyncio cannot await.
    """
    source = spans.header.get("source", "fiberlab")
    if source == "asyncio" and life is not None and is_callback(life):
        return _IN_A_CALLBACK
    return _WORDS.get(source, Words())


def is_callback(life: Life) -> bool:
    """Whether a row of asyncio stands for a callback, and not for a task."""
    return life.name == "callbacks" or (
        life.src is not None and life.name.endswith(f"({life.src})")
    )

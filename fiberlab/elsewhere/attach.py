"""attach: put the recorder into a process that runs already, and take it out again.

    trace = attach(pid, 10)

The rule kept here: the process goes on unharmed. The interpreter's own way in is used,
``sys.remote_exec`` (PEP 768), with no more rights than the same user's. The process runs a script
of this package, which asks at a socket that only `attach` can have opened what it is to do. So
nothing is left behind if `attach` is killed: no file is written, and the script finds nobody.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

from ..errors import AttachError
from ..trace.trace import Trace

_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "injected.py")
_PACKAGE = os.path.dirname(os.path.dirname(_SCRIPT))

Inject = Callable[[int, str], Any]
"""Lets the process with a number run the script with a path, when it next can."""


def attach(
    pid: int,
    seconds: float,
    *,
    limit: int = 200_000,
    patience: float = 10.0,
    begun: Callable[[str], Any] = lambda what: None,
    inject: Inject | None = None,
) -> Trace:
    """Record for `seconds` what the process `pid` does, and return the trace.

    limit: how many events to keep; see Trace. patience: for how many seconds to wait until the
    process runs Python code in its main thread, since only then it can let the recorder in.
    begun: called with what is recorded when it begins. inject: lets the process run a script;
    None: ``sys.remote_exec``, which Python 3.14 has on both sides. ^C ends the recording early;
    the trace holds what was recorded by then.
    Raises AttachError, with one sentence, if the process cannot be attached to or has ended.
    """
    inject = inject or _remote_exec()
    _check(pid)
    with _listening(pid) as listener:
        try:
            inject(pid, _SCRIPT)
        except PermissionError:
            raise AttachError(
                f"the system does not let this process look into process {pid}; "
                "see kernel.yama.ptrace_scope in ptrace(2)"
            ) from None
        except (OSError, RuntimeError) as error:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise AttachError(
                f"process {pid} cannot be attached to: it must be a Python {version} as this one "
                f"is, started without -X disable-remote-debug ({error})"
            ) from None
        with _connected(listener, pid, patience) as connection:
            return _recorded(connection, pid, seconds, limit, begun)


def _remote_exec() -> Inject:
    try:
        return sys.remote_exec  # type: ignore[attr-defined,no-any-return]
    except AttributeError:
        raise AttachError(
            f"attaching needs Python 3.14 or later on both sides, and this is "
            f"{sys.version_info[0]}.{sys.version_info[1]}: start the program with `fiberlab run`, "
            "or look into it with py-spy"
        ) from None


def _check(pid: int) -> None:
    """Raise AttachError unless `pid` is another process of the same user."""
    if sys.platform != "linux":
        raise AttachError(
            "attaching was made for Linux only: start the program with `fiberlab run`"
        )
    if pid == os.getpid():
        raise AttachError(f"process {pid} is this one: record it with `fiberlab.elsewhere`")
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except FileNotFoundError:
        raise AttachError(f"there is no process {pid}") from None
    if owner != os.geteuid():
        raise AttachError(f"process {pid} belongs to another user; attach as that user")


@contextlib.contextmanager
def _listening(pid: int) -> Iterator[socket.socket]:
    """Listen where the script asks: at a name without a file, which ends with this process."""
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(f"\0fiberlab attach {pid}")
        except OSError:
            raise AttachError(f"another fiberlab attach watches process {pid} just now") from None
        listener.listen(1)
        yield listener


@contextlib.contextmanager
def _connected(listener: socket.socket, pid: int, patience: float) -> Iterator[socket.socket]:
    """Wait until the process has run the script."""
    ends = time.monotonic() + patience
    while True:
        listener.settimeout(max(0.001, ends - time.monotonic()))
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            raise AttachError(
                f"process {pid} ran no Python code in its main thread for {patience:g} s, so it "
                "could not let the recorder in; try again when it has something to do"
            ) from None
        with connection:
            connection.settimeout(None)
            if _peer(connection) == pid:
                yield connection
                return


def _peer(connection: socket.socket) -> int:
    """Return the number of the process at the other end."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return int(struct.unpack("3i", credentials)[0])


def _recorded(
    connection: socket.socket, pid: int, seconds: float, limit: int, begun: Callable[[str], Any]
) -> Trace:
    options = {"package": _PACKAGE, "seconds": seconds, "limit": limit}
    # A file without a name, in memory: it ends with this process.
    with connection.makefile("rb") as answers, _nameless() as file:
        try:
            with contextlib.suppress(ConnectionError):  # it may have refused already
                connection.sendall(json.dumps(options).encode() + b"\n")
            try:
                begun(_agreed(answers, pid))
                first = answers.read(1)
            except KeyboardInterrupt:
                connection.sendall(b"\n")
                first = answers.read(1)
            file.write(first)
            shutil.copyfileobj(answers, file)
        except ConnectionError:
            first = b""
        if not first:
            raise AttachError(f"process {pid} has ended, and with it what was recorded")
        file.flush()
        return Trace.load(f"/dev/fd/{file.fileno()}")


def _nameless() -> IO[bytes]:
    return open(os.memfd_create("fiberlab attach"), "w+b")


def _agreed(answers: IO[bytes], pid: int) -> str:
    """Return what the process records; raise AttachError if it refuses."""
    try:
        said = json.loads(answers.readline())
    except ValueError:
        raise AttachError(f"process {pid} has ended before it was recorded") from None
    if "refused" in said:
        raise AttachError(f"process {pid} cannot be recorded: {said['refused']}")
    return str(said["recording"])

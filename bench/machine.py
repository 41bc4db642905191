"""The machine: on which core what runs, what a process has used, and how the machine is called.

The rule kept here: what is measured is read from outside, by the kernel's own accounts, so that
no server carries anything that only the measurement needs.
"""

from __future__ import annotations

import os
import platform
import resource
import time
from pathlib import Path

PEERS = ("uvloop", "trio", "curio", "gevent", "viztracer")
"""The packages of the extra ``bench``."""


def cores() -> tuple[int, int] | None:
    """Return the core for what is measured and the one for clients; None if there is no choice."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else None


def pin(core: int | None) -> None:
    """Keep this process on one core; None: leave it where it is."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def allow_many_files() -> None:
    """Let this process, and those it starts, open as many files as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def cpu_of(pid: int) -> float:
    """Return the seconds of processor time that all threads of process `pid` have used.

    Linux numbers the clock of another process by its id: see clock_getcpuclockid(3).
    """
    return time.clock_gettime(~pid << 3 | 2)


def memory_of(pid: int | str = "self") -> int:
    """Return how many bytes of process `pid` are in memory (see proc(5), statm)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def describe() -> dict[str, str]:
    """Return what the figures depend on: processor, system, and versions."""
    # Not at the top: every measured process would load it.
    import importlib.metadata

    told = {"processor": _processor(), "cores": str(os.cpu_count())}
    told["system"] = f"{platform.system()} {platform.release().split('-')[0]}"
    told["python"] = platform.python_version()
    for name in ("fiberlab", *PEERS, "numpy", "matplotlib"):
        try:
            told[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            told[name] = "not installed"
    return told


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

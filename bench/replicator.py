"""The replicator beside proxies people use: ``python -m bench.replicator``; Linux.

    cached     the same small file again and again, on 10 connections, from the cache
    differing  the same, but no two requests are equal
    large      one client, a cached file of 64 MiB
    joined     50 clients at once ask for one file of 4 MiB that nobody has
    herd       another client's latency beside joiners that wait for a slow download

squid (Debian's, `squid -N`, memory and disk cache, collapsed_forwarding on) caches and joins;
tinyproxy does neither, it only forwards: it is here as the least a proxy does. Those that are not
installed are left out. Figures are the processor time of the proxy, read from outside, and for
the herd the time a request took. In each round everybody runs once; the median is told.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Place = tuple[str, int]

SMALL = b"x" * 10_000
LARGE = os.urandom(1 << 20) * 64
JOINED = os.urandom(4 << 20)
JOINERS = 50
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

ALL_WAKE = "import fiberlab.replicator.cache.download as cache; cache.CROWD = 10**9; "
REPLICATOR = "from fiberlab.replicator.__main__ import main; main()"

SQUID = """
http_port 127.0.0.1:{port}
http_access allow all
cache_mem 256 MB
maximum_object_size_in_memory 128 MB
maximum_object_size 128 MB
cache_dir ufs {folder}/cache 512 16 16
collapsed_forwarding on
pid_filename {folder}/pid
access_log none
cache_log {folder}/log
coredump_dir {folder}
cache_effective_user {user}
shutdown_lifetime 0 seconds
max_filedescriptors 4096
"""
TINYPROXY = """
Port {port}
Listen 127.0.0.1
Timeout 60
MaxClients 2000
LogFile "{folder}/log"
"""


# -- Origins and clients ---------------------------------------------------------------


class Origin:
    """A server in threads that counts; /slow sends 1 KiB ten times a second until it is let go."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=2000)
        self.place: Place = self.listener.getsockname()
        self.asked = 0
        self.over = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.place[1]}{path}"

    def accept(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            with sock.makefile("rb") as file:  # some send a head in pieces
                head = file.readline()
                while file.readline() not in (b"\r\n", b""):
                    pass
            if head:
                self.asked += 1
                path = head.split()[1].split(b"/")[-1]
                kind = path.partition(b"-")[0]
                body = {b"small": SMALL, b"large": LARGE, b"joined": JOINED}.get(kind, b"")
                size = len(body) or 1 << 30
                fields = f"Content-Length: {size}\r\nCache-Control: max-age=3600\r\n"
                fields += f"Date: {time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime())}\r\n"
                fields += "Last-Modified: Sun, 13 Sep 2020 12:26:40 GMT\r\n"
                sock.sendall(f"HTTP/1.1 200 OK\r\n{fields}Connection: close\r\n\r\n".encode())
                if kind == b"joined":  # so that all have come before it ends
                    sock.sendall(body[:1000])
                    time.sleep(0.5)
                    body = body[1000:]
                while kind in (b"slow", b"silent") and not self.over.wait(0.1):
                    sock.sendall(b"x" * 1024 * (kind == b"slow"))
                sock.sendall(body)


def get(connection: http.client.HTTPConnection, url: str, **fields: str) -> int:
    connection.request("GET", url, headers=fields)
    return len(connection.getresponse().read())


def ask(place: Place, url: str) -> int:
    connection = http.client.HTTPConnection(*place, timeout=60)
    with contextlib.closing(connection):
        return get(connection, url)


def together(work: Callable[[int], object], many: int) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- Proxies -----------------------------------------------------------------------------


@contextlib.contextmanager
def running(name: str) -> Iterator[tuple[Place, int]]:
    """Run a proxy in a process and a folder of its own; yield its place and process id."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        words = command(name, port, folder)
        quiet = subprocess.DEVNULL
        with subprocess.Popen(words, stdout=quiet, stderr=quiet) as process:
            try:
                wait_for(port)
                yield ("127.0.0.1", port), process.pid
            finally:
                process.terminate()


def command(name: str, port: int, folder: str) -> list[str]:
    """Return the command that runs a proxy."""
    if name in ("replicator", "all wake"):
        code = (ALL_WAKE if name == "all wake" else "") + REPLICATOR
        told = ["--static", "--timeout", "60", "--port", str(port), "--cache", folder + "/cache"]
        return [sys.executable, "-c", code, *told]
    config = Path(folder, "config")
    if name == "tinyproxy":
        config.write_text(TINYPROXY.format(port=port, folder=folder))
        return ["tinyproxy", "-d", "-c", str(config)]
    user = "proxy" if os.getuid() == 0 else os.environ.get("USER", "proxy")
    config.write_text(SQUID.format(port=port, folder=folder, user=user))
    subprocess.run(["squid", "-N", "-z", "-f", config], check=True, capture_output=True)
    return ["squid", "-N", "-f", str(config)]


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens at port {port}")


def processor(pid: int) -> float:
    """Return the seconds of processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


# -- The work ----------------------------------------------------------------------------


def cached(place: Place, pid: int, origin: Origin, scale: float) -> dict[str, float]:
    return ask_for_small(place, pid, origin, scale, "same")


def differing(place: Place, pid: int, origin: Origin, scale: float) -> dict[str, float]:
    return ask_for_small(place, pid, origin, scale, "{client}-{number}")


def ask_for_small(
    place: Place, pid: int, origin: Origin, scale: float, mark: str
) -> dict[str, float]:
    url, each = origin.url("/small"), int(300 * scale)
    ask(place, url)
    before, asked = processor(pid), origin.asked

    def client(which: int) -> None:
        connection = http.client.HTTPConnection(*place, timeout=60)
        for number in range(each):
            told = mark.format(client=which, number=number)
            assert get(connection, url, Mark=told) == len(SMALL)
        connection.close()

    together(client, 10)
    used = processor(pid) - before
    return {"us/request": used / each / 10 * 1e6, "origin": origin.asked - asked}


def large(place: Place, pid: int, origin: Origin, scale: float) -> dict[str, float]:
    url, rounds = origin.url("/large"), max(2, int(8 * scale))
    ask(place, url)
    time.sleep(0.3)
    before, asked = processor(pid), origin.asked
    for _ in range(rounds):
        assert ask(place, url) == len(LARGE)
    used = processor(pid) - before
    return {"ms/64 MiB": used / rounds * 1e3, "origin": origin.asked - asked}


def joined(place: Place, pid: int, origin: Origin, scale: float) -> dict[str, float]:
    url = origin.url(f"/joined-{time.monotonic_ns()}")
    before, asked = processor(pid), origin.asked

    def client(_: int) -> None:
        assert ask(place, url) == len(JOINED)

    together(client, JOINERS)
    used = processor(pid) - before
    return {"ms/client": used / JOINERS * 1e3, "origin": origin.asked - asked}


WORK = {"cached": cached, "cached, differing": differing, "large": large, "joined": joined}


def herd(name: str, joiners: int, kind: str, scale: float) -> tuple[float, float, float]:
    """Return the median and the 99th percentile of a latency, and the load of one processor."""
    origin = Origin()
    with running(name) as (place, pid):
        ask(place, origin.url("/small"))
        words = [sys.executable, "-m", "bench.replicator", "--join", str(joiners)]
        crowd = subprocess.Popen([*words, str(place[1]), origin.url(f"/{kind}")], stdout=-1)
        assert crowd.stdout is not None
        crowd.stdout.readline()
        connection = http.client.HTTPConnection(*place, timeout=60)
        get(connection, origin.url("/small"))
        took, began, used = [], time.monotonic(), processor(pid)
        while time.monotonic() - began < 4 * scale:
            at = time.perf_counter()
            get(connection, origin.url("/small"))
            took.append(time.perf_counter() - at)
            time.sleep(0.005)
        load = (processor(pid) - used) / (time.monotonic() - began)
        connection.close()
        crowd.terminate()
        crowd.communicate()
        origin.over.set()
    return statistics.median(took) * 1e3, statistics.quantiles(took, n=100)[-1] * 1e3, load


def join(many: int, port: int, url: str) -> None:
    """Be so many clients of one download, until terminated."""
    selector = selectors.DefaultSelector()
    for _ in range(many):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        sock.recv(65536)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ)
    print("joined", flush=True)
    while True:
        for key, _ in selector.select(1):
            with contextlib.suppress(OSError):
                key.fileobj.recv(65536)  # type: ignore[union-attr]


# -- The tables --------------------------------------------------------------------------


def compare(rounds: int, scale: float) -> None:
    others = [name for name in ("squid", "tinyproxy") if shutil.which(name)]
    names = ["replicator", *others]
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for work, measure in WORK.items():
            for name in names:
                if work.startswith("cached") and name == "tinyproxy":
                    continue  # it keeps no connection
                with running(name) as (place, pid):
                    told = measure(place, pid, Origin(), scale)
                    found.setdefault((work, name), []).append(told)
    print("| work | proxy | processor time | ratio | lowest, highest | requests at the origin |")
    print("| --- | --- | --- | --- | --- | --- |")
    for (work, name), rows in found.items():
        unit = next(iter(rows[0]))
        values = [row[unit] for row in rows]
        base = statistics.median(row[unit] for row in found[work, "replicator"])
        middle = statistics.median(values)
        asked = ", ".join(sorted({f"{row['origin']:.0f}" for row in rows}))
        span = f"{min(values):.3g}, {max(values):.3g}"
        ratio = f"{middle / base:.2f}"
        print(f"| {work} | {name} | {middle:.3g} {unit} | {ratio} | {span} | {asked} |")


def compare_herds(rounds: int, scale: float) -> None:
    print("| download | joiners | who waits how | median ms | 99 % ms | load |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in ("silent", "slow"):
        for joiners in (0, 200, 1000):
            for name in ("all wake", "replicator"):
                rows = [herd(name, joiners, kind, scale) for _ in range(rounds)]
                middle, high, load = (statistics.median(each) for each in zip(*rows, strict=True))
                how = {"all wake": "all by WAIT(None)", "replicator": "a crowd by WAIT(seconds)"}
                told = f"{middle:.2f} | {high:.2f} | {load:.0%}"
                print(f"| {kind} | {joiners} | {how[name]} | {told} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.replicator", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--only", choices=["proxies", "herd"])
    parser.add_argument("--join", nargs=3, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.join:
        join(int(told.join[0]), int(told.join[1]), told.join[2])
    if sys.platform != "linux":
        print("bench.replicator reads /proc; it runs on Linux", file=sys.stderr)
        return 2
    scale = 0.1 if told.quick else 1.0
    if told.only != "herd":
        compare(told.rounds, scale)
        print()
    if told.only != "proxies":
        compare_herds(min(told.rounds, 3), scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The cache folder: whenever the process is killed, no file in it is wrong."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from replicator_world import (
    BODY,
    SECONDS,
    File,
    ask,
    cached,
    origin_serving,
    proxy_serving,
)

from fiberlab.replicator.cache import About, Cache
from fiberlab.replicator.http import Url

URL = Url("host", 80, "/file")
HEADERS = [(b"etag", b'"1"'), (b"last-modified", b"Sun, 13 Sep 2020 12:26:40 GMT")]


@pytest.fixture
def cache(tmp_path):
    cache = Cache(tmp_path / "cache")
    yield cache
    cache.close()


def store(cache, url=URL, body=BODY, size=None):
    """Download a file into the cache, and return its entry."""
    entry = cache.entry(url)
    about = About(str(url), size, HEADERS)
    with entry.begin(about) as file:
        file.write(body)
        entry.finish(about, file)
    return entry


def content(found):
    """Return what a file that was found contains, None if none was."""
    if found is None:
        return None
    with found[1] as file:
        return file.read()


class Killed(BaseException):
    """What ends a process at once: nothing after it is done."""


class Killer:
    """Lets so many changes of the folder happen, then ends the process in the next."""

    def __init__(self) -> None:
        self.steps_left: int | None = None  # None: it lets everything happen
        sys.addaudithook(self.watch)  # which cannot be taken back; so there is one for all tests

    def watch(self, event: str, args: tuple[object, ...]) -> None:
        if self.steps_left is None:
            return
        changes = event in ("os.rename", "os.remove", "os.utime", "os.mkdir")
        if changes or (event == "open" and args[1] != "r"):
            if self.steps_left == 0:
                raise Killed
            self.steps_left -= 1


@pytest.fixture(scope="module")
def killer():
    return Killer()


@pytest.mark.parametrize("size", [None, 3])
def test_killed_between_any_two_steps_the_cache_holds_the_old_file_or_the_new_one(
    tmp_path, killer, size
):
    seen = []
    for steps in range(20):
        cache = Cache(tmp_path / str(steps))
        store(cache, body=b"old", size=3)
        killer.steps_left = steps
        with contextlib.suppress(Killed):
            store(cache, body=b"new", size=size)
        killer.steps_left = None
        seen.append(content(cache.entry(URL).open()))
        if (partial := content(cache.entry(URL).open(part=True))) is not None:
            assert partial in (b"", b"new")
            seen.append(content(cache.entry(URL).open()))
        cache.close()

    # First the old one stays; for a moment there is none; then it is the new one.
    assert [body for body, _ in itertools.groupby(seen)] == [b"old", None, b"new"]


def test_a_complete_file_is_found_with_what_was_said_of_it(cache):
    entry = store(cache)

    about, file = entry.open()
    with file:
        assert (about, file.read()) == (About("http://host/file", len(BODY), HEADERS), BODY)
    assert entry.open(part=True) is None
    assert int(entry.path.stat().st_mtime) == 1_600_000_000


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'["http://host/file", 102400, [["etag"',
        b'["http://host/file", 102400]',
        b'["http://host/file", 102400, [1]]',
        b'["http://other/file", 102400, []]',
        b'["http://host/file", 102399, []]',
        b'["http://host/file", null, []]',
        b"\xff\xfe\x00",
    ],
)
def test_a_file_whose_head_does_not_fit_is_not_believed(cache, head):
    entry = store(cache)
    entry.path.with_name("file#head").write_bytes(head)

    assert entry.open() is None


def test_a_file_that_was_cut_is_not_believed(cache):
    entry = store(cache)
    os.truncate(entry.path, 100)

    assert entry.open() is None


def test_who_reads_an_older_version_keeps_it(cache):
    entry = store(cache, body=b"old")
    _, reader = entry.open()
    store(cache, body=b"new")

    with reader:
        assert reader.read() == b"old"


def test_two_downloads_of_one_place_never_mix(cache):
    """/A and /%41 are two addresses that one file name stands for."""
    first, second = (cache.entry(Url("host", 80, target)) for target in ("/A", "/%41"))
    about = [About(str(each.url), 3, HEADERS) for each in (first, second)]
    with first.begin(about[0]) as one, second.begin(about[1]) as two:
        one.write(b"one")
        two.write(b"t")
        first.finish(about[0], one)

        assert first.path == second.path
        assert (first.open(), second.open()) == (None, None)


def test_a_folder_has_one_proxy_at_a_time(cache):
    pytest.importorskip("fcntl", reason="there is no flock on Windows")

    with pytest.raises(OSError, match="in use by another replicator"):
        Cache(cache.folder)


def test_heads_are_plain_json(cache):
    entry = store(cache, size=len(BODY))

    assert json.loads(entry.path.with_name("file#head").read_text()) == [
        "http://host/file",
        len(BODY),
        [[name.decode(), value.decode()] for name, value in HEADERS],
    ]


# -- Killed ----------------------------------------------------------------------------


def start_proxy(folder, *options: str) -> tuple[subprocess.Popen[str], tuple[str, int]]:
    """Start the program on a free port; return its process and where it listens."""
    words = [sys.executable, "-u", "-m", "fiberlab.replicator", "--port", "0"]
    process = subprocess.Popen(
        [*words, "--cache", str(folder), *options], stdout=subprocess.PIPE, text=True
    )
    told = process.stdout.readline().split()
    return process, (told[2], int(told[4].rstrip(";")))


@pytest.mark.live
@pytest.mark.posix
def test_kill_9_at_any_moment_leaves_no_wrong_file(tmp_path):
    chance = random.Random(7)
    bodies = {f"/{n}": os.urandom(chance.randrange(1, 400_000)) for n in range(12)}
    with origin_serving() as origin:
        origin.files = {
            path: File(body, {"ETag": f'"{path}"'}, chunked=n % 2 == 1)
            for n, (path, body) in enumerate(bodies.items())
        }
        for _ in range(10):
            process, address = start_proxy(tmp_path)
            deadline = time.monotonic() + chance.uniform(0.04, 0.3)
            killer = subprocess.Popen(["sleep", str(deadline - time.monotonic())])
            asking = [
                subprocess.Popen(
                    [sys.executable, "-c", _ASKING, *map(str, address), origin.url("")]
                )
            ]
            killer.wait()
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            for each in asking:
                each.wait()
            for name, body in cached(tmp_path).items():
                assert body == bodies["/" + name]
        with proxy_serving(tmp_path) as proxy:
            assert {path: ask(proxy, origin.url(path)).body for path in bodies} == bodies


@pytest.mark.live
@pytest.mark.posix
def test_a_download_killed_in_the_middle_is_resumed_by_the_next_proxy(tmp_path):
    half = len(BODY) // 2
    file = File(headers={"ETag": '"1"'}, gate=threading.Event())
    with origin_serving(file=file) as origin:
        process, address = start_proxy(tmp_path)
        connection = http.client.HTTPConnection(*address, timeout=SECONDS)
        connection.request("GET", origin.url("/file"))
        with connection.getresponse() as answer:
            assert answer.read(half) == BODY[:half]
            process.kill()
            process.wait()
        connection.close()
        process.stdout.close()
        file.gate.set()
        assert cached(tmp_path) == {}
        with proxy_serving(tmp_path) as proxy:
            body = ask(proxy, origin.url("/file")).body

    told = origin.requests[1][2]
    assert (body, told["range"], told["if-range"]) == (BODY, f"bytes={half}-", '"1"')
    assert cached(tmp_path) == {"file": BODY}


_ASKING = """
import sys, http.client
for n in range(12):
    try:
        connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
        connection.request("GET", f"{sys.argv[3]}/{n}")
        connection.getresponse().read()
        connection.close()
    except (OSError, http.client.HTTPException):
        break
"""

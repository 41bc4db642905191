"""What the cache's folder refuses: things that are no files, disks that are full, deep names."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection
from io import FileIO
from pathlib import Path

import pytest
from replicator_world import (
    BODY,
    SECONDS,
    File,
    ask,
    cached,
    origin_serving,
    proxy_serving,
    raw,
    wait_until,
)

from fiberlab.replicator.cache import About, Cache, Download
from fiberlab.replicator.cache import download as download_module
from fiberlab.replicator.http import Failure, Url

pytestmark = [pytest.mark.live, pytest.mark.posix]

LARGE = os.urandom(3_000_000)


def names_of(folder) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.name != ".lock"}


# -- What is no file ---------------------------------------------------------------------


def make_fifo(path) -> None:
    os.mkfifo(path)


def make_folder(path) -> None:
    path.mkdir()
    (path / "inside").write_text("x")


def make_socket(path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as sock:
        here = os.getcwd()
        os.chdir(path.parent)  # its name may be longer than such an address can be
        try:
            sock.bind(path.name)
        finally:
            os.chdir(here)


def make_loop(path) -> None:
    path.symlink_to(path.name)


def make_endless(path) -> None:
    path.symlink_to("/dev/zero")


def make_nested(path) -> None:
    path.write_bytes(b"[" * 100_000)


def make_strange(path) -> None:
    path.write_text('["", 1, [["transfer-encoding", "chunked"], ["x\\r\\n", "y"]]]')


THINGS = [make_fifo, make_folder, make_socket, make_loop, make_endless, make_nested, make_strange]


@pytest.mark.parametrize("options", [{}, {"static": True}, {"offline": True}])
@pytest.mark.parametrize("name", ["file", "file#head", "file#part", "file#part#head", "file#new"])
@pytest.mark.parametrize("make", THINGS)
def test_whatever_is_in_a_files_place_hangs_nobody(tmp_path, make, name, options):
    with origin_serving(file=File()) as origin:
        with proxy_serving(tmp_path) as proxy:
            ask(proxy, origin.url("/file"))
        [path] = (each for each in tmp_path.rglob("file"))
        path.with_name(name).unlink(missing_ok=True)
        make(path.with_name(name))
        with proxy_serving(tmp_path, **options) as proxy:
            answers = [ask(proxy, origin.url("/file")) for _ in range(2)]

    assert [answer.body for answer in answers if answer.status == 200] == [
        BODY for answer in answers if answer.status not in (500, 504)
    ]
    assert {answer.status for answer in answers} <= {200, 504 if options.get("offline") else 500}
    assert "the client has gone" not in proxy.server.output
    assert "error:" not in proxy.server.output


@pytest.mark.parametrize("make", [make_fifo, make_folder, make_socket])
@pytest.mark.parametrize("name", ["file#head", "file#part"])
def test_what_cannot_be_read_is_named_in_the_log(tmp_path, make, name):
    with origin_serving(file=File()) as origin:
        with proxy_serving(tmp_path) as proxy:
            ask(proxy, origin.url("/file"))
        [path] = (each for each in tmp_path.rglob("file"))
        path.with_name(name).unlink(missing_ok=True)
        if name == "file#part":
            shutil.copy(path.with_name("file#head"), path.with_name("file#part#head"))
        make(path.with_name(name))
        with proxy_serving(tmp_path) as proxy:
            ask(proxy, origin.url("/file"))

    assert str(path.with_name(name)) in proxy.server.output


def test_a_file_in_place_of_a_hosts_folder_is_a_500_that_names_it(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        place = tmp_path / f"127.0.0.1:{origin.server_port}"
        place.write_text("x")
        answer = ask(proxy, origin.url("/file"))
        place.unlink()
        after = ask(proxy, origin.url("/file"))

    assert (answer.status, after.body) == (500, BODY)
    assert str(place) in answer.body.decode()
    assert "500: the cache cannot be written: " in proxy.server.output
    assert str(place) in proxy.server.output


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
@pytest.mark.parametrize("options", [{}, {"static": True}, {"offline": True}])
def test_a_folder_that_cannot_be_read_is_a_500_or_a_fresh_download(
    tmp_path, monkeypatch, method, options
):
    """Whoever runs the tests may be root, who may read everything; so it is the calls that fail."""

    def forbidden(path, *_: object, **__: object):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with origin_serving(file=File()) as origin, proxy_serving(tmp_path, **options) as proxy:
        with monkeypatch.context() as patched:
            for place, name in ((os, "open"), (os, "stat"), (os, "lstat"), (Path, "is_dir")):
                real = getattr(place, name)

                def only_there(path, *rest, real=real, **more):
                    if str(tmp_path) in str(path):
                        forbidden(path)
                    return real(path, *rest, **more)

                patched.setattr(place, name, only_there)
            answer = ask(proxy, origin.url("/file"), method=method)
        after = ask(proxy, origin.url("/file"))

    assert answer.status in ({200, 500, 504} if options.get("offline") else {200, 500})
    assert after.status == (504 if options.get("offline") else 200)
    assert "the client has gone" not in proxy.server.output
    assert "Permission denied" in proxy.server.output or options.get("offline")


def test_a_file_that_loses_its_end_while_it_is_served_is_cut(tmp_path):
    large = bytes(30_000_000)
    with origin_serving(file=File(large)) as origin, proxy_serving(tmp_path, static=True) as proxy:
        ask(proxy, origin.url("/file"))
        [path] = (each for each in tmp_path.rglob("file"))
        with socket.create_connection(proxy.address, timeout=SECONDS) as sock:
            sock.sendall(f"GET {origin.url('/file')} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            came = len(sock.recv(1000))
            os.truncate(path, 20_000_000)
            while data := sock.recv(65536):
                came += len(data)
        after = ask(proxy, origin.url("/file")).body

    assert came < len(large)
    assert "the file in the cache has lost its end" in proxy.server.output
    assert after == large


# -- What is remembered ------------------------------------------------------------------


def store(cache, url, body=b"body", headers=()):
    entry, about = cache.entry(url), About(str(url), len(body), list(headers))
    with entry.begin(about) as file:
        file.write(body)
        entry.finish(about, file)
    return entry


def found(cache, url):
    """Return headers and body of a file that the cache finds, None if it finds none."""
    if (kept := cache.find(url)) is None:
        return None
    with kept.file as file:
        return kept.about.headers, file.read()


def test_what_is_remembered_of_a_file_is_dropped_when_the_file_changes(tmp_path):
    url, later = Url("host", 80, "/file"), [(b"x", b"2")]
    with closing(Cache(tmp_path)) as cache:
        seen = [found(cache, url)]
        entry = store(cache, url)
        seen += [found(cache, url), found(cache, url)]
        store(cache, url, b"more", later)
        seen.append(found(cache, url))
        entry.freshen(About(str(url), 4, [(b"x", b"3")]))
        seen.append(found(cache, url))
        entry.path.write_bytes(b"longer")
        seen.append(found(cache, url))
        store(cache, url)
        seen.append(found(cache, url))
        entry.remove()
        seen.append(found(cache, url))

    assert seen == [
        None,
        ([], b"body"),
        ([], b"body"),
        (later, b"more"),
        ([(b"x", b"3")], b"more"),
        None,
        ([], b"body"),
        None,
    ]


def test_no_more_is_remembered_than_is_good(tmp_path, monkeypatch):
    monkeypatch.setattr("fiberlab.replicator.cache.files._MOST_KNOWN", 3)
    urls = [Url("host", 80, f"/{number}") for number in range(10)]
    with closing(Cache(tmp_path)) as cache:
        for url in urls:
            store(cache, url)
        got = [found(cache, url) for url in urls * 2]

        assert len(cache._known) == 3
    assert got == [([], b"body")] * 20


# -- Disks that are full -------------------------------------------------------------------


@contextmanager
def a_disk_of(size: int, number: int, monkeypatch):
    """Let the writes of downloads fail with `number` when a file would be larger than `size`."""

    class Small(FileIO):
        def write(self, data):
            room = size - self.tell()
            if room <= 0:
                raise OSError(number, os.strerror(number))
            return super().write(memoryview(data)[:room])

    with monkeypatch.context() as patched:
        patched.setattr("fiberlab.replicator.cache.files.FileIO", Small)
        yield


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_larger_than_the_disk_is_passed_on_and_leaves_nothing(
    tmp_path, monkeypatch, number, chunked
):
    with (
        origin_serving(file=File(LARGE, chunked=chunked), small=File()) as origin,
        proxy_serving(tmp_path) as proxy,
        a_disk_of(1_000_000, number, monkeypatch),
    ):
        large = [ask(proxy, origin.url("/file")).body for _ in range(2)]
        left = names_of(tmp_path)
        small = [ask(proxy, origin.url("/small")).body for _ in range(2)]

    assert (large == [LARGE] * 2, small) == (True, [BODY] * 2)
    assert left == {f"127.0.0.1:{origin.server_port}"}
    assert cached(tmp_path) == {"small": BODY}
    assert "is passed on and not kept" in proxy.server.output


def test_a_limit_on_files_passes_on_what_is_larger(tmp_path):
    """Its beginning stays, for it takes no room from others; a later request goes on from there."""
    import resource

    with origin_serving(file=File(LARGE)) as origin, proxy_serving(tmp_path) as proxy:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
        try:
            passed = [ask(proxy, origin.url("/file")).body == LARGE for _ in range(2)]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        after = ask(proxy, origin.url("/file")).body

    assert (passed, after == LARGE) == ([True, True], True)
    assert [told.get("range") for _, _, told, _ in origin.requests] == [
        None,
        "bytes=1000000-",
        "bytes=1000000-",
    ]


def test_all_who_have_joined_get_what_the_disk_cannot_take(tmp_path, monkeypatch):
    """Also one that reads slowly, one that leaves, and one that wants the end only."""
    gate = threading.Event()
    with (
        origin_serving(file=File(LARGE, gate=gate)) as origin,
        proxy_serving(tmp_path) as proxy,
        a_disk_of(1_000_000, errno.ENOSPC, monkeypatch),
    ):
        readers = [HTTPConnection(*proxy.address, timeout=SECONDS) for _ in range(4)]
        ranged = {"Range": f"bytes={len(LARGE) - 10}-"}
        for reader, headers in zip(readers, ({}, {}, ranged, {}), strict=True):
            reader.request("GET", origin.url("/file"), headers=headers)
            wait_until(lambda: len(proxy.proxy.downloads) == 1)
        answers = [readers[number].getresponse() for number in (0, 1, 3)]
        begun = answers[0].read(10)
        answers[2].read(10)
        readers[3].close()
        answers[2].close()
        threading.Timer(0.2, gate.set).start()
        with ThreadPoolExecutor(1) as pool:  # neither may wait for what the system buffers hold
            whole = pool.submit(answers[1].read)
            slow = begun + b"".join(iter(partial(answers[0].read, 5_000), b""))
            quick = whole.result()
        end = readers[2].getresponse().read()
        for reader in readers:
            reader.close()

    assert (quick == LARGE, slow == LARGE, end == LARGE[-10:]) == (True, True, True)
    assert cached(tmp_path) == {}


def test_nobody_fetches_what_is_neither_kept_nor_read(tmp_path, monkeypatch):
    gate = threading.Event()
    with (
        origin_serving(file=File(LARGE, gate=gate)) as origin,
        proxy_serving(tmp_path) as proxy,
        a_disk_of(1_000_000, errno.ENOSPC, monkeypatch),
    ):
        reader = HTTPConnection(*proxy.address, timeout=SECONDS)
        reader.request("GET", origin.url("/file"))
        reader.getresponse().close()
        reader.close()
        gate.set()
        wait_until(lambda: not proxy.proxy.downloads)
        wait_until(lambda: "no client waits for it" in proxy.server.output)

    assert names_of(tmp_path) == {f"127.0.0.1:{origin.server_port}"}


def test_what_cannot_get_its_name_is_removed(tmp_path, monkeypatch):
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "the name")

    monkeypatch.setattr(download_module.os, "fsync", no_room)
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        body = ask(proxy, origin.url("/file")).body

    assert body == BODY
    assert names_of(tmp_path) == {f"127.0.0.1:{origin.server_port}"}
    assert "the cache cannot be written: No space left on device: 'the name'" in proxy.server.output


def test_a_head_that_cannot_be_written_leaves_no_part(tmp_path, monkeypatch):
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with closing(Cache(tmp_path)) as cache, monkeypatch.context() as patched:
        patched.setattr("json.dump", no_room)
        entry = cache.entry(Url("host", 80, "/file"))
        with pytest.raises(OSError, match="No space left"):
            entry.begin(About(str(entry.url), 1, []))

    assert names_of(tmp_path) == {"host:80"}


def test_a_reader_is_never_given_what_lies_behind_the_end(tmp_path):
    """A download that was cut before the place where a client wants to begin."""
    with closing(Cache(tmp_path)) as cache:
        entry = cache.entry(Url("host", 80, "/file"))
        about = About(str(entry.url), None, [])
        download = Download(entry)
        with download:
            download.hold(about, entry.begin(about))
            download.append(b"some")
            download.end(Failure(502, "cut"))

            assert download.read(4000, 100) == b""
            assert download.read(2, 100) == b"me"


# -- Deep names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/a" * 1000,
        "/b" + "/" * 1000,
        "/a/" * 500 + "b",
        "/%2e%2e" * 1000,
        "/a" * 20_000,
        "/x/" + "a/" * 40,
    ],
)
def test_a_path_with_many_segments_is_answered_and_kept(tmp_path, path):
    with origin_serving() as origin, proxy_serving(tmp_path, static=True) as proxy:
        origin.files = {path: File(b"deep")}
        request = f"GET {origin.url(path)} HTTP/1.0\r\n\r\n".encode()
        bodies = [raw(proxy, request).partition(b"\r\n\r\n")[2] for _ in range(2)]
        wait_until(lambda: not proxy.proxy.downloads)
        bodies.append(raw(proxy, request).partition(b"\r\n\r\n")[2])

    assert bodies == [b"deep"] * 3
    assert list(cached(tmp_path).values()) == [b"deep"]
    assert "error" not in proxy.server.output


def test_an_interrupt_right_after_a_deep_address_ends_the_program(tmp_path):
    words = [sys.executable, "-u", "-m", "fiberlab.replicator", "--port", "0", "--cache", "cache"]
    with (
        origin_serving() as origin,
        subprocess.Popen(
            words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        origin.files = {"/a" * 1000: File(b"deep")}
        place = process.stdout.readline().split()
        with socket.create_connection((place[2], int(place[4].rstrip(";"))), SECONDS) as sock:
            sock.sendall(f"GET {origin.url('/a' * 1000)} HTTP/1.0\r\n\r\n".encode())
            got = b""
            while data := sock.recv(65536):
                got += data
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=SECONDS)[0]

    assert (process.returncode, got[-4:]) == (0, b"deep")
    assert "Traceback" not in said


# -- This machine ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "0.0.0.0",
        "[::ffff:0.0.0.0]",
        "127.1",
        "0",
        "0x7f000001",
        "2130706433",
    ],
)
def test_this_proxy_is_known_by_each_of_its_names(tmp_path, host):
    with proxy_serving(tmp_path, tunnel_ports=frozenset(range(65536))) as proxy:
        place = f"{host}:{proxy.address[1]}"
        answers = [
            raw(proxy, f"GET http://{place}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
            raw(proxy, f"CONNECT {place} HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
        ]

    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"is this proxy itself" in answer


def test_another_server_of_this_machine_is_asked_by_any_of_its_names(tmp_path):
    with origin_serving(file=File(b"done")) as origin, proxy_serving(tmp_path) as proxy:
        hosts = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0"]
        got = [ask(proxy, f"http://{host}:{origin.server_port}/file").body for host in hosts]

    assert got == [b"done"] * 4

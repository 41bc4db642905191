"""The proxy with the clients people use: curl, wget, pip; and its command line."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from replicator_world import (
    BODY,
    SECONDS,
    File,
    cached,
    origin_serving,
    proxy_serving,
    wait_until,
)

from fiberlab.replicator.__main__ import main
from fiberlab.trace import Trace

pytestmark = pytest.mark.live

curl = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
wget = pytest.mark.skipif(shutil.which("wget") is None, reason="there is no wget here")


def run(proxy, *words: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program that takes the proxy from the environment, as they all do."""
    place = "http://{}:{}".format(*proxy.address)
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    plain = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment = plain | dict.fromkeys(names, place)
    return subprocess.run(
        [str(word) for word in words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@curl
def test_curl_downloads_a_file_and_resumes_one(tmp_path, out):
    (out / "part").write_bytes(BODY[:1000])
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path / "cache") as proxy:
        url = origin.url("/file")
        whole = run(proxy, "curl", "--fail", "--silent", "--show-error", "-o", out / "whole", url)
        wait_until(lambda: not proxy.proxy.downloads)  # else the second may join the first
        rest = run(proxy, "curl", "--fail", "--silent", "-C", "-", "-o", out / "part", url)

    assert (whole.returncode, rest.returncode) == (0, 0), whole.stderr
    assert (out / "whole").read_bytes() == (out / "part").read_bytes() == BODY
    assert [told.get("range") for _, _, told, _ in origin.requests] == [None, None]


@curl
def test_curl_gets_a_range_and_is_told_if_there_is_none(tmp_path, out):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path / "cache") as proxy:
        words = ["curl", "--silent", "--write-out", "%{http_code}", "-o", out / "some"]
        some = run(proxy, *words, "-r", "5-9", origin.url("/file"))
        none = run(proxy, *words[:-1], out / "none", "-r", "102400-", origin.url("/file"))

    assert (some.stdout, (out / "some").read_bytes()) == ("206", BODY[5:10])
    assert none.stdout == "416"
    assert b"outside of the file's 102400 bytes" in (out / "none").read_bytes()


@curl
def test_two_curls_share_one_download(tmp_path, out):
    file = File(gate=threading.Event())
    with (
        origin_serving(file=file) as origin,
        proxy_serving(tmp_path / "cache") as proxy,
        ThreadPoolExecutor(2) as pool,
    ):
        for name in ("first", "second"):
            pool.submit(run, proxy, "curl", "--silent", "-o", out / name, origin.url("/file"))
        wait_until(lambda: [each.users for each in proxy.proxy.downloads.values()] == [4])
        file.gate.set()

    assert (out / "first").read_bytes() == (out / "second").read_bytes() == BODY
    assert len(origin.requests) == 1


@curl
def test_curl_sees_a_cut_download_as_a_failure(tmp_path, out):
    with (
        origin_serving(file=File(breaks_after=5000)) as origin,
        proxy_serving(tmp_path / "cache") as proxy,
    ):
        origin.may_break.set()
        done = run(proxy, "curl", "--silent", "-o", out / "file", origin.url("/file"))

    assert done.returncode == 18  # a partial file
    assert BODY.startswith((out / "file").read_bytes())


@curl
def test_curl_posts_a_form(tmp_path):
    with origin_serving(file=File(b"thanks")) as origin, proxy_serving(tmp_path) as proxy:
        done = run(proxy, "curl", "--silent", "-d", "name=value", origin.url("/file"))

    assert done.stdout == "thanks"
    assert [(each[0], each[3]) for each in origin.requests] == [("POST", b"name=value")]


@curl
@pytest.mark.posix
def test_curl_goes_through_a_tunnel_to_https(tmp_path, out):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl here to make a certificate")
    with (
        https_origin(openssl, out) as port,
        proxy_serving(tmp_path / "cache", tunnel_ports=frozenset({port})) as proxy,
    ):
        words = ["curl", "--silent", "--cacert", out / "cert.pem"]
        done = run(proxy, *words, f"https://localhost:{port}/large", folder=out)

    assert hashlib.sha256(done.stdout.encode()).digest() == hashlib.sha256(b"x" * 300_000).digest()
    assert cached(tmp_path / "cache") == {}


@contextlib.contextmanager
def https_origin(openssl: str, folder: Path):
    """Serve the folder over TLS with a certificate of a minute's worth."""
    made = f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost".split()
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*made, *names], cwd=folder, capture_output=True, check=True)
    (folder / "large").write_bytes(b"x" * 300_000)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@wget
def test_wget_downloads_resumes_and_asks_for_newer_ones_only(tmp_path, out):
    (out / "part").write_bytes(BODY[:1000])
    with (
        origin_serving(file=File(), part=File()) as origin,
        proxy_serving(tmp_path / "cache") as proxy,
    ):
        new = run(proxy, "wget", "-q", origin.url("/file"), folder=out)
        rest = run(proxy, "wget", "-q", "-c", origin.url("/part"), folder=out)
        same = run(proxy, "wget", "-nv", "-N", origin.url("/file"), folder=out)

    assert [done.returncode for done in (new, rest, same)] == [0, 0, 0], new.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"file": BODY, "part": BODY}
    assert int((out / "file").stat().st_mtime) == 1_600_000_000
    assert same.stderr == ""  # nothing was downloaded


def wheel(name: str) -> bytes:
    """Return a wheel with one module, made by hand."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "answer = 42\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return made.getvalue()


def test_pip_installs_from_an_index_through_it_and_again_when_that_is_gone(tmp_path):
    name, packed = "tiny_example", wheel("tiny_example")
    file = f"{name}-1.0-py3-none-any.whl"
    digest = hashlib.sha256(packed).hexdigest()
    page = f'<!DOCTYPE html><a href="/files/{file}#sha256={digest}">{file}</a>'.encode()

    def install(proxy, origin, target: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "pip", "--isolated", "install", "--no-cache-dir"]
        words += ["--disable-pip-version-check", "-i", origin.url("/index/")]
        return run(proxy, *words, "--target", tmp_path / target, name.replace("_", "-"))

    with origin_serving() as origin:
        origin.files["/index/tiny-example/"] = File(page, {"Content-Type": "text/html"})
        origin.files[f"/files/{file}"] = File(packed)
        with proxy_serving(tmp_path / "cache") as proxy:
            first = install(proxy, origin, "first")
            wait_until(lambda: not proxy.proxy.downloads)
        asked = len(origin.requests)
        with proxy_serving(tmp_path / "cache", offline=True) as proxy:
            second = install(proxy, origin, "second")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    for target in ("first", "second"):
        assert (tmp_path / target / f"{name}.py").read_text() == "answer = 42\n"
    assert len(origin.requests) == asked


@pytest.mark.skipif(
    None in (shutil.which("apt-get"), shutil.which("dpkg-deb")), reason="there is no apt here"
)
def test_apt_updates_and_downloads_a_package(tmp_path, out):
    (tmp_path / "made" / "DEBIAN").mkdir(parents=True)
    fields = "Package: tiny-example\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@localhost>\n"
    (tmp_path / "made/DEBIAN/control").write_text(f"{fields}Description: x\n")
    (tmp_path / "made/body").write_bytes(BODY)
    words = ["dpkg-deb", "--root-owner-group", "--build", "made", "x.deb"]
    subprocess.run(words, cwd=tmp_path, capture_output=True, check=True)
    packed = (tmp_path / "x.deb").read_bytes()
    fields += (
        f"Filename: ./x.deb\nSize: {len(packed)}\nSHA256: {hashlib.sha256(packed).hexdigest()}\n"
    )
    with origin_serving() as origin, proxy_serving(tmp_path / "cache") as proxy:
        origin.files = {"/./Packages": File(fields.encode()), "/./x.deb": File(packed)}
        words = apt_get(tmp_path / "apt", origin.url("/"), "http://{}:{}".format(*proxy.address))
        told = [run(proxy, *words, "update", folder=out)]
        told += [run(proxy, *words, "download", "tiny-example", folder=out)]
        wait_until(lambda: not proxy.proxy.downloads)

    assert [done.returncode for done in told] == [0, 0], told[1].stderr
    assert [path.read_bytes() for path in out.iterdir()] == [packed]
    assert cached(tmp_path / "cache") == {"%2E/Packages": fields.encode(), "%2E/x.deb": packed}


def apt_get(folder: Path, url: str, proxy: str) -> list[str]:
    """Return the beginning of a command that knows one source, and leaves the machine's alone."""
    for name in ("lists/partial", "archives/partial", "empty"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [trusted=yes] {url} ./\n")
    settings = {
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": folder / "empty",
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Acquire::http::Proxy": proxy,
        "APT::Sandbox::User": "root",
    }
    return ["apt-get", *(f"-o{name}={value}" for name, value in settings.items())]


# -- The command line --------------------------------------------------------------------


@pytest.mark.posix
def test_the_program_serves_until_it_is_interrupted_and_writes_its_trace(tmp_path):
    words = [sys.executable, "-u", "-m", "fiberlab.replicator", "--port", "0", "--debug"]
    words += ["--cache", str(tmp_path / "cache"), "--trace", str(tmp_path / "t.fiber.jsonl")]
    with (
        origin_serving(file=File()) as origin,
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process,
    ):
        place = process.stdout.readline().split()
        address = place[2], int(place[4].rstrip(";"))
        answer = subprocess.run(
            [sys.executable, "-c", _GET, *map(str, address), origin.url("/file")],
            capture_output=True,
            timeout=SECONDS,
            check=True,
        ).stdout
        wait_until(lambda: cached(tmp_path / "cache") == {"file": BODY})
        process.send_signal(signal.SIGINT)
        said = process.stdout.read()

    names = {event.name for event in Trace.load(tmp_path / "t.fiber.jsonl") if event.ev == "spawn"}
    assert (process.returncode, answer) == (0, BODY)
    assert f"GET {origin.url('/file')}" in said
    assert {name.partition("-")[0] for name in names} >= {"serve", "fetch"}


_GET = """
import sys, http.client
connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=5)
connection.request("GET", sys.argv[3])
sys.stdout.buffer.write(connection.getresponse().read())
"""


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("", (False, False, None, [443], 8080, 15, False)),
        ("--static --port 0", (True, False, None, [443], 0, 15, False)),
        ("--offline --timeout 2.5", (False, True, None, [443], 8080, 2.5, False)),
        ("--limit 50 --tunnel 443 563", (False, False, 51200, [443, 563], 8080, 15, False)),
        ("--debug", (False, False, None, [443], 8080, 15, True)),
    ],
)
def test_each_option_means_what_its_help_says(tmp_path, monkeypatch, words, meant):
    got = []

    def spawn(serve, port, timeout, debug, trace):
        proxy = serve.__self__
        options = proxy.static, proxy.offline, proxy.limit, proxy.tunnel_ports
        got.append((*options, port, timeout, debug))

    monkeypatch.setattr("fiberlab.replicator.__main__.spawn", spawn)
    code = main(["--cache", str(tmp_path), *words.split()])

    assert (code, got) == (0, [meant])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--timeout", "0"], "argument --timeout: a number > 0 is needed, got '0'"),
        (["--timeout", "inf"], "argument --timeout: a number > 0 is needed, got 'inf'"),
        (["--timeout", "soon"], "argument --timeout: a number > 0 is needed, got 'soon'"),
        (["--limit", "nan"], "argument --limit: a number > 0 is needed, got 'nan'"),
        (["--limit", "much"], "argument --limit: a number > 0 is needed, got 'much'"),
        (["--port", "many"], "argument --port: a whole number from 0 to 65535 is needed"),
        (["--port", "99999"], "argument --port: a whole number from 0 to 65535 is needed"),
        (["--port", "-1"], "argument --port: a whole number from 0 to 65535 is needed"),
        (["--port", "9" * 5_000], "argument --port: a whole number from 0 to 65535 is needed"),
        (["--tunnel", "443", "65536"], "argument --tunnel: a whole number from 0 to 65535 is"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_an_argument_that_makes_no_sense_is_one_line_that_names_it(words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)

    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"python -m fiberlab.replicator: {told}")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trace", "no/such/trace"], "no/such/trace: cannot be written here (No such file"),
        (["--trace", "."], ".: is a folder"),
        (["--cache", "a_file"], "a_file: File exists"),
        (["--cache", "a_file/below"], "a_file/below: Not a directory"),
    ],
)
def test_what_cannot_be_written_is_one_line_before_anything_is_served(
    tmp_path, monkeypatch, capsys, words, told
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fiberlab.replicator.__main__.spawn", lambda *_args, **_more: 1 / 0)
    (tmp_path / "a_file").write_text("")
    code = main(words)

    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"fiberlab.replicator: {told}")


def test_a_port_that_is_taken_is_one_line(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        code = main(["--cache", str(tmp_path), "--port", str(number)])

    told = f"fiberlab.replicator: port {number}: Address already in use\n"
    assert (code, capsys.readouterr()) == (2, ("", told))


def test_without_h11_one_line_names_the_extra():
    blocked = "import sys; sys.modules['h11'] = None; import runpy; sys.argv[1:] = ['--port', '0']"
    start = "runpy.run_module('fiberlab.replicator', run_name='__main__', alter_sys=True)"
    ran = subprocess.run(
        [sys.executable, "-c", f"{blocked}; {start}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (
        2,
        "",
        "fiberlab.replicator: the replicator needs h11, which is not installed; install fiberlab "
        "with its extra: python -m pip install -e '.[replicator]'\n",
    )


def test_a_cache_that_is_in_use_is_one_line_and_code_2(tmp_path, capsys):
    pytest.importorskip("fcntl", reason="there is no flock on Windows")
    with proxy_serving(tmp_path):
        code = main(["--cache", str(tmp_path), "--port", "0"])

    assert code == 2
    assert "in use by another replicator" in capsys.readouterr().err

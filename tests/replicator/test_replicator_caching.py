"""The replicator as a cache that RFC 9111 would call correct; docs/replicator.md has the rules."""

from __future__ import annotations

import re
import threading
import time
from contextlib import closing
from email.utils import formatdate
from http.client import HTTPConnection
from pathlib import Path

import pytest
from replicator_world import (
    BODY,
    LONG_AGO,
    SECONDS,
    File,
    ask,
    cached,
    origin_serving,
    proxy_serving,
    raw,
    scripted,
    wait_until,
)

from fiberlab.replicator.http import seconds_of

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]
OURS = "1.1 fiberlab-replicator"


def reply(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """Return an answer with its length."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def target_of(head: bytes) -> bytes:
    return head.split(b" ")[1]


class Versions:
    """The script of an origin whose file is another one after each PUT, or whenever told."""

    def __init__(self, size: int = 200_000) -> None:
        self.number, self.size = 0, size

    @property
    def body(self) -> bytes:
        return b"%d " % self.number + b"x" * self.size

    def __call__(self, sock, head: bytes) -> None:
        if head.startswith((b"GET", b"HEAD")):
            answer = reply(self.body, f'ETag: "{self.number}"')
            sock.sendall(answer if head.startswith(b"GET") else answer[: -len(self.body)])
        else:
            self.number += 1
            sock.sendall(reply(b"done"))


def ask_at_once(running, url: str, headers: dict[str, str] | None = None) -> bytes:
    """Ask, and do not wait until the file has its name; return the body."""
    with closing(HTTPConnection(*running.address, timeout=SECONDS)) as connection:
        connection.request("GET", url, headers=headers or {})
        return connection.getresponse().read()


# -- Joining ---------------------------------------------------------------------------


@pytest.mark.parametrize("wish", [{}, {"Cache-Control": "no-cache"}, {"Pragma": "no-cache"}])
def test_a_download_is_not_joined_once_its_last_byte_has_come(tmp_path, wish):
    versions, wrong = Versions(), []
    with scripted(versions) as (url, _), proxy_serving(tmp_path) as proxy:
        for _ in range(20):
            ask_at_once(proxy, url + "/file")
            versions.number += 1
            if ask_at_once(proxy, url + "/file", wish) != versions.body:
                wrong.append(versions.number)

    assert wrong == []


def test_a_file_that_is_being_given_its_name_is_not_joined(tmp_path, monkeypatch):
    """However long the disk takes: whoever comes then waits for it, and asks the origin."""
    syncing, go_on = threading.Event(), threading.Event()

    def slow(_: int) -> None:
        syncing.set()
        go_on.wait(SECONDS)

    versions, got = Versions(), []
    with scripted(versions) as (url, heads), proxy_serving(tmp_path) as proxy:
        monkeypatch.setattr("os.fsync", slow)
        first = ask_at_once(proxy, url + "/file")
        syncing.wait(SECONDS)
        versions.number += 1
        late = threading.Thread(target=lambda: got.append(ask_at_once(proxy, url + "/file")))
        late.start()
        time.sleep(0.05)
        go_on.set()
        late.join()

    assert (first[:2], got[0][:2]) == (b"0 ", b"1 ")
    assert b'if-none-match: "0"' in heads[1].lower()


@pytest.mark.parametrize(
    "wish", [{"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"}]
)
def test_whoever_wants_it_fresh_joins_no_older_request(tmp_path, wish):
    gate = threading.Event()
    with (
        origin_serving(file=File(b"old" * 1000, {"ETag": '"1"'}, gate=gate)) as origin,
        proxy_serving(tmp_path) as proxy,
    ):
        older = HTTPConnection(*proxy.address, timeout=SECONDS)
        older.request("GET", origin.url("/file"))
        answer = older.getresponse()
        begun = answer.read(10)
        origin.files["/file"] = File(b"new", {"ETag": '"2"'})
        fresh = ask_at_once(proxy, origin.url("/file"), wish)
        gate.set()
        whole = begun + answer.read()
        older.close()
        wait_until(lambda: cached(tmp_path) == {"file": b"new"})
        later = ask(proxy, origin.url("/file")).body

    assert (whole, fresh, later) == (b"old" * 1000, b"new", b"new")


# -- What makes it invalid -----------------------------------------------------------------


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "FROB"])
def test_an_unsafe_method_that_succeeds_ends_what_is_kept(tmp_path, method, static):
    versions = Versions(10)
    with scripted(versions) as (url, _), proxy_serving(tmp_path, static=static) as proxy:
        before = ask(proxy, url + "/file").body
        ask(proxy, url + "/file", method=method, body=b"x")
        kept = cached(tmp_path)
        after = ask(proxy, url + "/file").body

    assert (before[:2], kept, after[:2]) == (b"0 ", {}, b"1 ")


@pytest.mark.parametrize(
    ("status", "kept"), [("204 x", 0), ("303 x", 0), ("404 x", 1), ("500 x", 1), ("412 x", 1)]
)
def test_an_unsafe_method_that_fails_changes_nothing(tmp_path, status, kept):
    def play(sock, head):
        if head.startswith(b"GET"):
            sock.sendall(reply(b"file", 'ETag: "1"'))
        else:
            sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with scripted(play) as (url, _), proxy_serving(tmp_path) as proxy:
        ask(proxy, url + "/file")
        ask(proxy, url + "/file", method="PUT", body=b"x")

        assert len(cached(tmp_path)) == kept


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    ("told", "gone"),
    [
        ("/list", {"list"}),
        ("list", {"list"}),
        ("{url}/list", {"list"}),
        ("{url}/list#part", {"list"}),
        ("/list?", {"list@"}),
        ("http://127.0.0.1:1/list", set()),
        ("http://other.example/list", set()),
        ("https://x/list", set()),
        ("http://[", set()),
        ("", set()),
    ],
)
def test_what_the_answer_to_a_change_names_is_invalid_too(tmp_path, name, told, gone):
    """In the same host only: no other may end what is kept of it (RFC 9111, 4.4)."""

    def play(sock, head):
        if head.startswith(b"GET"):
            sock.sendall(reply(b"file", 'ETag: "1"'))
        else:
            sock.sendall(reply(b"", f"{name}: {told.format(url=url)}", status="201 Created"))

    with scripted(play) as (url, _), proxy_serving(tmp_path) as proxy:
        for path in ("/list", "/list?", "/new", "/other"):
            ask(proxy, url + path)
        before = set(cached(tmp_path))
        ask(proxy, url + "/new", method="POST", body=b"x")
        after = set(cached(tmp_path))

    assert before - after == {"new"} | gone


@pytest.mark.parametrize("static", [False, True])
def test_a_download_during_which_the_file_is_changed_is_not_kept(tmp_path, static):
    gate = threading.Event()
    with (
        origin_serving(file=File(b"old" * 1000, {"ETag": '"1"'}, gate=gate)) as origin,
        proxy_serving(tmp_path, static=static) as proxy,
    ):
        reader = HTTPConnection(*proxy.address, timeout=SECONDS)
        reader.request("GET", origin.url("/file"))
        answer = reader.getresponse()
        begun = answer.read(10)
        origin.files["/file"] = File(b"new", {"ETag": '"2"'})
        ask(proxy, origin.url("/file"), method="PUT", body=b"new")
        gate.set()
        whole = begun + answer.read()
        reader.close()
        after = ask(proxy, origin.url("/file")).body

    assert (whole, after) == (b"old" * 1000, b"new")
    assert cached(tmp_path) == {"file": b"new"}


def test_an_answer_that_is_not_kept_ends_what_was(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path, static=True) as proxy:
        ask(proxy, origin.url("/file"))
        origin.files["/file"] = File(b"mine", {"Cache-Control": "private"})
        ask(proxy, origin.url("/file"), {"Cache-Control": "no-cache"})
        after = ask(proxy, origin.url("/file")).body

    assert (after, cached(tmp_path)) == (b"mine", {})


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (('ETag: "0"', "X-New: 1"), True),
        (('ETag: "1"',), False),
        (('ETag: "0"', "Cache-Control: no-store"), False),
        (('ETag: "1"', "Content-Encoding: gzip"), True),
    ],
)
def test_head_tells_whether_what_is_kept_is_still_right(tmp_path, fields, kept):
    def play(sock, head):
        if head.startswith(b"HEAD"):
            sock.sendall(reply(b"1234", *fields)[:-4])
        else:
            sock.sendall(reply(b"file", 'ETag: "0"'))

    with scripted(play) as (url, _), proxy_serving(tmp_path, static=True) as proxy:
        ask(proxy, url + "/file")
        ask(proxy, url + "/file", {"Cache-Control": "no-cache"}, method="HEAD")
        answer = ask(proxy, url + "/file")

        assert (answer.headers.get("x-new"), bool(answer.headers.get("age"))) == (
            "1" if "X-New: 1" in fields else None,
            kept,
        )


# -- Revalidation ----------------------------------------------------------------------


def revalidating(*fields: str):
    """Return the script of an origin that knows the version, and says more in its 304."""

    def play(sock, head: bytes) -> None:
        if b"if-none-match" in head.lower():
            sock.sendall("\r\n".join(["HTTP/1.1 304 x", *fields, "", ""]).encode())
        else:
            old = 'ETag: "1"', "Cache-Control: max-age=60", "X-Old: 1", "X-Warn: old", "Age: 9"
            sock.sendall(reply(b"hello", *old))

    return play


def test_a_304_brings_what_is_kept_up_to_date(tmp_path):
    new = 'ETag: "1"', "Cache-Control: max-age=7", "X-Warn: new", "Content-Length: 77"
    with scripted(revalidating(*new)) as (url, _):
        with proxy_serving(tmp_path) as proxy:
            ask(proxy, url + "/file")
            told = ask(proxy, url + "/file")
        with proxy_serving(tmp_path, offline=True) as proxy:
            kept = ask(proxy, url + "/file")

    for answer in (told, kept):
        headers = answer.headers
        names = ("cache-control", "x-warn", "x-old", "content-length", "via")
        assert [headers[name] for name in names] == ["max-age=7", "new", "1", "5", OURS]
        assert answer.body == b"hello"
    assert "age" not in told.headers  # the origin has just been asked
    assert int(kept.headers["age"]) < 9


@pytest.mark.parametrize("packed", ["gzip", None])
def test_a_304_does_not_change_how_what_is_kept_is_packed(tmp_path, packed):
    other = "br" if packed else "gzip"

    def play(sock, head):
        if b"if-none-match" in head.lower():
            fields = f'ETag: "1"\r\nContent-Encoding: {other}\r\n\r\n'
            sock.sendall(f"HTTP/1.1 304 Not Modified\r\n{fields}".encode())
        else:
            kept = [f"Content-Encoding: {packed}"] if packed else []
            sock.sendall(reply(b"hello", 'ETag: "1"', *kept))

    with scripted(play) as (url, _), proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, url + "/file") for _ in range(3)]

    assert [each.headers.get("content-encoding") for each in answers] == [packed] * 3


@pytest.mark.parametrize(
    "field",
    [
        "Cache-Control: private, no-store",
        "Cache-Control: no-store",
        "Cache-Control: max-age=5, PRIVATE",
        'Cache-Control: private="set-cookie"',
        "Vary: *",
        "Vary: Accept-Language",
        "Set-Cookie: a=b",
    ],
)
def test_a_304_that_forbids_keeping_is_obeyed(tmp_path, field):
    with scripted(revalidating(field)) as (url, heads), proxy_serving(tmp_path) as proxy:
        ask(proxy, url + "/file")
        heads.clear()
        ask_at_once(proxy, url + "/file")
        first = [b"if-none-match" in head.lower() for head in heads]

    assert first == [True, False]  # all of it is asked for, since none of it may be used


def test_a_304_about_another_version_is_not_believed(tmp_path):
    with scripted(revalidating('ETag: "2"')) as (url, heads), proxy_serving(tmp_path) as proxy:
        ask(proxy, url + "/file")
        answer = ask(proxy, url + "/file")

    assert (answer.status, answer.body, len(heads)) == (200, b"hello", 3)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('max-age=60, ext="a, private, b"', True),
        ('ext="\\", no-store", max-age=1', True),
        ('private="set-cookie"', False),
        ("no-store ,max-age=1", False),
        ("PRIVATE", False),
        ("max-age=60;private", False),
        ('x="unfinished, y', True),
    ],
)
def test_a_word_in_quotes_is_no_directive(tmp_path, text, kept):
    file = File(headers={"Cache-Control": text})
    with origin_serving(file=file) as origin, proxy_serving(tmp_path) as proxy:
        ask(proxy, origin.url("/file"))

    assert bool(cached(tmp_path)) is kept


@pytest.mark.parametrize(
    ("etag", "known", "status"),
    [
        ('"xx"', '"xx"', 304),
        ('"xx"', '"a", "xx"', 304),
        ('"xx"', '"a" ,"xx" , "b"', 304),
        ('"xx"', ', "xx",', 304),
        ('"xx"', '"a,xx,b"', 200),
        ('"xx"', '"a","b,"xx"', 200),
        ('"ab,cd"', '"ab,cd"', 304),
        ('"ab,cd"', '"ab"', 200),
        ('"ab, cd"', '"ab, cd"', 304),  # a blank cannot be in a tag; but it is the same
        ('"ab, cd"', '"ab", "cd"', 200),
        ('","', '"a", ","', 304),
        ('W/"a,b"', 'W/"a,b"', 304),
        ('W/"a,b"', '"a,b"', 304),
        ('"a,b"', '"x", W/"a,b"', 304),
        ('"s"', "*", 304),
        ('"s"', " * ", 304),
        ('"s"', '*, "t"', 200),
        ('"*"', '"*"', 304),
        ('"s"', '"*"', 200),
        ('"-"', '"-"', 304),
        (None, '"-"', 200),
        (None, "-", 200),
        (None, '""', 200),
        ('""', '""', 304),
        ("plain", "plain", 304),
        ("plain", "other", 200),
    ],
)
def test_a_client_is_told_whether_it_has_this_version(tmp_path, etag, known, status):
    file = File(headers={} if etag is None else {"ETag": etag})
    with origin_serving(file=file) as origin, proxy_serving(tmp_path, static=True) as proxy:
        ask(proxy, origin.url("/file"))
        answer = ask(proxy, origin.url("/file"), {"If-None-Match": known})

    assert answer.status == status


@pytest.mark.parametrize("name", ["If-Match", "If-Unmodified-Since"])
def test_a_condition_for_the_origin_reaches_it(tmp_path, name):
    value = {"If-Match": '"2"', "If-Unmodified-Since": LONG_AGO}[name]
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path, static=True) as proxy:
        ask(proxy, origin.url("/file"))
        ask(proxy, origin.url("/file"), {name: value})

    assert origin.requests[1][2][name.lower()] == value


# -- Whether to ask ----------------------------------------------------------------------


def dated(age: float, *fields: str) -> list[str]:
    """Return the fields of an answer that is `age` seconds old; {soon} is in an hour."""
    date, soon = (formatdate(time.time() + each, usegmt=True) for each in (-age, 3600))
    return ['ETag: "1"', f"Date: {date}", *(each.replace("{soon}", soon) for each in fields)]


@pytest.mark.parametrize(
    ("fields", "wish", "status"),
    [
        (["Cache-Control: max-age=60"], "", 200),
        (["Cache-Control: max-age=5"], "", 504),
        (["Cache-Control: max-age=5, s-maxage=60"], "", 200),
        (["Cache-Control: max-age=60, no-cache"], "", 504),
        (["Cache-Control: max-age=60"], ", no-cache", 504),
        (["Cache-Control: max-age=60"], ", max-age=5", 504),
        (["Cache-Control: max-age=60"], ", min-fresh=55", 504),
        (["Cache-Control: max-age=60"], ", min-fresh=30", 200),
        (["Cache-Control: max-age=5"], ", max-stale", 200),
        (["Cache-Control: max-age=5"], ", max-stale=60", 200),
        (["Cache-Control: max-age=5"], ", max-stale=2", 504),
        (["Cache-Control: max-age=5, must-revalidate"], ", max-stale", 504),
        (["Cache-Control: max-age=many"], "", 504),
        (["Expires: {soon}"], "", 200),
        (["Expires: 0"], "", 504),
        ([], "", 504),
        (["Age: 100", "Cache-Control: max-age=60"], "", 504),
    ],
)
def test_only_if_cached_never_asks_the_origin(tmp_path, fields, wish, status):
    answering = reply(b"hello", *dated(10, *fields))
    with (
        scripted(lambda sock, _: sock.sendall(answering)) as (url, heads),
        proxy_serving(tmp_path) as proxy,
    ):
        missing = ask(proxy, url + "/file", {"Cache-Control": "only-if-cached"})
        ask(proxy, url + "/file")
        wish = {"Cache-Control": "only-if-cached" + wish}
        kept = ask(proxy, url + "/file", wish)
        secret = ask(proxy, url + "/file", wish | {"Authorization": "Basic eDp5"})
        head = ask(proxy, url + "/none", wish, method="HEAD")

    assert [each.status for each in (missing, kept, secret, head)] == [504, status, 504, 504]
    assert b"only-if-cached" in missing.body
    assert len(heads) == 1


def test_only_if_cached_takes_what_a_static_cache_has(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path, static=True) as proxy:
        ask(proxy, origin.url("/file"))
        answer = ask(proxy, origin.url("/file"), {"Cache-Control": "only-if-cached"})

    assert (answer.status, len(origin.requests)) == (200, 1)


def test_static_asks_if_it_is_older_than_the_client_allows(tmp_path):
    answering = reply(b"hello", *dated(100))
    with (
        scripted(lambda sock, _: sock.sendall(answering)) as (url, heads),
        proxy_serving(tmp_path, static=True) as proxy,
    ):
        counts = []
        for wish in ("max-age=60", "max-age=200", "max-age=60"):
            ask(proxy, url + "/file", {"Cache-Control": wish})
            counts.append(len(heads))

    assert counts == [1, 1, 2]


# -- Marks -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"static": True}, {"offline": True}])
def test_what_comes_from_the_cache_says_how_old_it_is(tmp_path, options):
    told = dated(1000, "Age: 2000")
    answering = reply(b"hello", *told)
    with scripted(lambda sock, _: sock.sendall(answering)) as (url, _):
        with proxy_serving(tmp_path) as proxy:
            first = ask(proxy, url + "/file")
        with proxy_serving(tmp_path, **options) as proxy:
            answers = [
                ask(proxy, url + "/file"),
                ask(proxy, url + "/file", {"Range": "bytes=1-2"}),
                ask(proxy, url + "/file", {"If-None-Match": '"1"'}),
                ask(proxy, url + "/file", method="HEAD"),
            ]

    assert 2000 <= int(first.headers["age"]) < 2100  # as the origin's own cache has said
    assert [answer.status for answer in answers] == [200, 206, 304, 200]
    for answer in answers:
        assert 2000 <= int(answer.headers["age"]) < 2100
        assert answer.headers["date"] == told[1].partition(" ")[2]
        assert answer.headers["via"] == OURS


def test_every_answer_has_via_and_a_date(tmp_path):
    def play(sock, head):
        path = target_of(head)
        if path == b"/moved":
            sock.sendall(reply(b"", "Location: /", "Via: 1.0 other", status="301 Moved"))
        elif path == b"/old":
            sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            sock.sendall(reply(b"ok", "Cache-Control: private" if path == b"/mine" else "X: 1"))

    with scripted(play) as (url, _), proxy_serving(tmp_path, static=True) as proxy:
        paths = ["/file", "/file", "/mine", "/moved", "/old", "/old"]
        answers = [ask(proxy, url + path).headers for path in paths]
        answers += [ask(proxy, url + "/x", method=each).headers for each in ("POST", "OPTIONS")]
        answers.append(ask(proxy, "/no/address").headers)

    vias = [OURS, OURS, OURS, f"1.0 other, {OURS}", *["1.0 fiberlab-replicator"] * 2]
    assert [each["via"] for each in answers] == vias + [OURS] * 3
    assert all(each["date"].endswith(" GMT") for each in answers)


def test_those_who_join_are_told_how_old_it_is(tmp_path):
    gate = threading.Event()
    with origin_serving(file=File(gate=gate)) as origin, proxy_serving(tmp_path) as proxy:
        connections = [HTTPConnection(*proxy.address, timeout=SECONDS) for _ in range(2)]
        answers = []
        for connection in connections:
            connection.request("GET", origin.url("/file"))
            answers.append(connection.getresponse())
        gate.set()
        bodies = [answer.read() for answer in answers]
        for connection in connections:
            connection.close()

    assert bodies == [BODY, BODY]
    assert [answer.headers["age"] is None for answer in answers] == [True, False]


# -- Addresses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("/x?", b"/x?"),
        ("/x", b"/x"),
        ("/?", b"/?"),
        ("/x??", b"/x??"),
        ("/x?a=1?", b"/x?a=1?"),
        ("/x?#part", b"/x?"),
        ("/x#part?y", b"/x"),
        ("#part", b"/"),
        ("?", b"/?"),
        ("?y=1", b"/?y=1"),
        ("", b"/"),
        ("//x", b"//x"),
        ("/x;y?", b"/x;y?"),
        ("/x/?", b"/x/?"),
        ("/./x/../y", b"/./x/../y"),
        ("/%7ex%2F?%3f", b"/%7ex%2F?%3f"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_path_and_query_reach_the_origin_as_they_are(tmp_path, told, asked, method):
    request = f"{method} {{}}{told} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with (
        scripted(lambda sock, _: sock.sendall(reply(b""))) as (url, heads),
        proxy_serving(tmp_path) as proxy,
    ):
        raw(proxy, request.format(url).encode())

    assert [target_of(head) for head in heads] == [asked]


@pytest.mark.posix
def test_each_form_of_a_date_is_in_gmt_wherever_the_proxy_runs(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    forms = [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
    ]
    try:
        time.tzset()
        seconds_of.cache_clear()
        found = [seconds_of(form) for form in forms]
    finally:
        monkeypatch.undo()
        time.tzset()

    assert found == [784111777.0] * 4


def test_an_empty_query_is_another_address(tmp_path):
    with (
        scripted(lambda sock, head: sock.sendall(reply(target_of(head)))) as (url, heads),
        proxy_serving(tmp_path, static=True) as proxy,
    ):
        paths = ["/x?", "/x", "/?", "/", "/x/?", "/x/"] * 2
        got = [ask(proxy, url + path).body.decode() for path in paths]
        ranged = ask(proxy, url + "/x?", {"Range": "bytes=1-2"})

    assert (got, len(heads)) == (paths, 6)
    assert (ranged.status, ranged.body) == (206, b"x?")


# -- The page --------------------------------------------------------------------------


def test_the_page_tells_of_each_rule_which_test_holds_it():
    """Each row of docs/replicator.md says "followed" and names a test, or says why not."""
    page = (ROOT / "docs/replicator.md").read_text("utf-8")
    rows = [line.strip("|").split("|") for line in page.splitlines() if re.match(r"\| \d", line)]
    tests = {
        name
        for path in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)
    }

    assert len(rows) >= 30
    for section, rule, how, why in ([cell.strip() for cell in row] for row in rows):
        assert how in ("yes", "partly", "no", "stricter"), (section, rule)
        named = re.findall(r"test_\w+", why)
        assert set(named) <= tests, (section, rule, set(named) - tests)
        assert named if how in ("yes", "stricter") else len(why) > 20, (section, rule)

"""What people who know HTTP Replicator expect of it, each with a real client.

| behaviour of the original      | tested here by                                              |
| ------------------------------ | ----------------------------------------------------------- |
| a new file                     | test_a_new_file_is_answered_and_cached                      |
| a partial file left, resumed   | test_a_download_that_was_cut_is_resumed_with_a_range        |
| served from the cache          | test_a_file_that_has_not_changed_comes_from_the_cache       |
| resumed by the client          | test_a_client_gets_the_range_it_asks_for                    |
| a joined download              | test_two_hundred_clients_make_one_request_and_equal_copies  |
| static                         | test_static_serves_without_asking                           |
| offline                        | test_offline_asks_nobody                                    |
| a limit                        | test_a_limit_caps_the_rate                                  |
| chunked                        | test_a_chunked_answer_is_cached_whole                       |
| an unreachable origin          | test_an_origin_that_cannot_be_reached_is_a_502              |

What its peers do (squid 5.7 and tinyproxy 1.11 were tried with these origins; squid with its
collapsed_forwarding on makes one request for six):

|                         | squid           | tinyproxy | here                  |
| ----------------------- | --------------- | --------- | --------------------- |
| cut, and asked again    | all of it       | all of it | rest, by ETag or date |
| range of an absent file | range, not kept | range     | all is fetched        |
| six at once             | five (one late) | six       | one                   |
| its only client is gone | stops           | stops     | goes on               |
| an end without a length | kept            | not kept  | not kept              |
| Set-Cookie              | kept            | not kept  | not kept              |
| offline, absent file    | asks            | no option | 504                   |
| unreachable origin      | 503             | 500       | 502, in words         |

More than the original: If-Range, so that parts of two versions are never joined; no answer that
is personal is cached; revalidation by ETag; HEAD; CONNECT. Less: no FTP.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, IncompleteRead

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
    wait_until,
)

pytestmark = pytest.mark.live


def test_a_new_file_is_answered_and_cached(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, origin.url("/file"))

    assert (answer.status, answer.body) == (200, BODY)
    assert cached(tmp_path) == {"file": BODY}


def test_a_cached_file_keeps_its_modification_time(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, origin.url("/file"))

    [path] = tmp_path.rglob("file")
    assert (path.stat().st_mtime, answer.headers["last-modified"]) == (1_600_000_000, LONG_AGO)


def test_a_file_that_has_not_changed_comes_from_the_cache(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, origin.url("/file")) for _ in range(2)]

    assert [answer.body for answer in answers] == [BODY, BODY]
    assert origin.requests[1][2]["if-modified-since"] == LONG_AGO
    for answer in answers:
        del answer.headers["date"]  # the later one tells when it was asked for again
    assert answers[0].headers == answers[1].headers


def test_a_file_that_has_changed_is_fetched_anew(tmp_path):
    with (
        origin_serving(file=File(headers={"ETag": '"1"'})) as origin,
        proxy_serving(tmp_path) as proxy,
    ):
        ask(proxy, origin.url("/file"))
        origin.files["/file"] = File(b"new", {"ETag": '"2"'})
        answer = ask(proxy, origin.url("/file"))

    assert answer.body == b"new"
    assert cached(tmp_path) == {"file": b"new"}


def test_static_serves_without_asking(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path, static=True) as proxy:
        answers = [ask(proxy, origin.url("/file")).body for _ in range(3)]

    assert answers == [BODY] * 3
    assert len(origin.requests) == 1


def test_static_asks_all_the_same_when_the_client_wants_it(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path, static=True) as proxy:
        for wish in ({}, {"Cache-Control": "max-age=0"}, {"Pragma": "no-cache"}):
            ask(proxy, origin.url("/file"), wish)

    assert len(origin.requests) == 3


def test_offline_asks_nobody(tmp_path):
    with origin_serving(file=File(), other=File()) as origin:
        with proxy_serving(tmp_path) as proxy:
            ask(proxy, origin.url("/file"))
        with proxy_serving(tmp_path, offline=True) as proxy:
            found = ask(proxy, origin.url("/file"))
            missing = ask(proxy, origin.url("/other"))
            posted = ask(proxy, origin.url("/file"), method="POST", body=b"x")

    assert (found.status, found.body) == (200, BODY)
    assert (missing.status, posted.status) == (504, 504)
    assert b"offline" in missing.body
    assert len(origin.requests) == 1


@pytest.mark.parametrize(
    ("asked", "status", "told", "body"),
    [
        ("bytes=0-", 206, "bytes 0-102399/102400", BODY),
        ("bytes=5-9", 206, "bytes 5-9/102400", BODY[5:10]),
        ("bytes=102390-", 206, "bytes 102390-102399/102400", BODY[-10:]),
        ("bytes=102390-999999", 206, "bytes 102390-102399/102400", BODY[-10:]),
        ("bytes=-4", 206, "bytes 102396-102399/102400", BODY[-4:]),
        ("bytes=-999999", 206, "bytes 0-102399/102400", BODY),
        ("bytes=9-5", 200, None, BODY),
        ("bytes=1-2,5-6", 200, None, BODY),
        ("bytes=-", 200, None, BODY),
        ("lines=1-2", 200, None, BODY),
    ],
)
def test_a_client_gets_the_range_it_asks_for(tmp_path, asked, status, told, body):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, origin.url("/file"), {"Range": asked}) for _ in range(2)]

    for answer in answers:  # while it comes in, and from the cache
        assert (answer.status, answer.headers.get("content-range")) == (status, told)
        assert answer.body == body


@pytest.mark.parametrize("asked", ["bytes=102400-", "bytes=999999-", "bytes=-0"])
def test_a_range_outside_of_the_file_is_a_416(tmp_path, asked):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, origin.url("/file"), {"Range": asked})

    assert (answer.status, answer.headers["content-range"]) == (416, "bytes */102400")
    assert b"outside of the file's 102400 bytes" in answer.body


def test_the_file_is_fetched_though_its_first_client_asked_for_too_much(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, origin.url("/file"), {"Range": "bytes=102400-"})
        wait_until(lambda: not proxy.proxy.downloads)

    assert (answer.status, cached(tmp_path)) == (416, {"file": BODY})
    assert "error" not in proxy.server.output


def test_a_range_of_another_version_gets_the_whole_file(tmp_path):
    file = File(headers={"ETag": '"2"'})
    with origin_serving(file=file) as origin, proxy_serving(tmp_path) as proxy:
        asked = [{"Range": "bytes=5-", "If-Range": tag} for tag in ('"1"', '"2"')]
        answers = [ask(proxy, origin.url("/file"), each) for each in asked]

    assert [(answer.status, answer.body) for answer in answers] == [(200, BODY), (206, BODY[5:])]


def test_a_range_may_name_the_version_by_its_date_too(tmp_path):
    """As apt does, also where there is an ETag."""
    file = File(headers={"ETag": '"2"', "Last-Modified": LONG_AGO})
    other = "Sun, 13 Sep 2020 12:26:41 GMT"
    with origin_serving(file=file) as origin, proxy_serving(tmp_path) as proxy:
        asked = [{"Range": "bytes=5-", "If-Range": date} for date in (LONG_AGO, other)]
        answers = [ask(proxy, origin.url("/file"), each) for each in asked]

    assert [(answer.status, answer.body) for answer in answers] == [(206, BODY[5:]), (200, BODY)]


def test_a_client_that_has_this_version_gets_a_304(tmp_path):
    file = File(headers={"ETag": 'W/"2"', "Last-Modified": LONG_AGO})
    with origin_serving(file=file) as origin, proxy_serving(tmp_path) as proxy:
        asked = [
            {"If-None-Match": '"2"'},
            {"If-None-Match": '"1"', "If-Modified-Since": LONG_AGO},
            {"If-Modified-Since": LONG_AGO},
        ]
        answers = [ask(proxy, origin.url("/file"), each) for each in asked]

    assert [answer.status for answer in answers] == [304, 200, 304]
    assert cached(tmp_path) == {"file": BODY}


def test_a_chunked_answer_is_cached_whole(tmp_path):
    with origin_serving(file=File(chunked=True)) as origin, proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, origin.url("/file")) for _ in range(2)]

    assert [answer.body for answer in answers] == [BODY, BODY]
    assert answers[1].headers["content-length"] == "102400"
    assert cached(tmp_path) == {"file": BODY}


def test_an_answer_without_a_length_is_passed_on_but_not_kept(tmp_path):
    with origin_serving(file=File(counted=False)) as origin, proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, origin.url("/file")).body for _ in range(2)]

    assert answers == [BODY, BODY]
    assert len(origin.requests) == 2
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


def test_a_download_that_was_cut_is_resumed_with_a_range(tmp_path):
    file = File(headers={"ETag": '"1"'}, breaks_after=5000)
    with origin_serving(file=file) as origin, proxy_serving(tmp_path) as proxy:
        origin.may_break.set()
        with pytest.raises(IncompleteRead) as cut:
            ask(proxy, origin.url("/file"))
        answer = ask(proxy, origin.url("/file"))

    told = origin.requests[1][2]
    assert len(cut.value.partial) <= 5000
    assert (told["range"], told["if-range"]) == ("bytes=5000-", '"1"')
    assert (answer.status, answer.body) == (200, BODY)
    assert cached(tmp_path) == {"file": BODY}


def test_a_partial_file_survives_the_proxy(tmp_path):
    with origin_serving(file=File(breaks_after=5000)) as origin:
        origin.may_break.set()
        with proxy_serving(tmp_path) as proxy, pytest.raises(IncompleteRead):
            ask(proxy, origin.url("/file"))
        with proxy_serving(tmp_path) as proxy:
            answer = ask(proxy, origin.url("/file"))

    assert origin.requests[1][2]["if-range"] == LONG_AGO
    assert answer.body == BODY


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": 'W/"1"'}, {"Last-Modified": "Fri, 31 Dec 2100 23:59:59 GMT"}]
)
def test_without_a_validator_a_cut_download_starts_afresh(tmp_path, headers):
    with origin_serving(file=File(headers=headers, breaks_after=5000)) as origin:
        origin.may_break.set()
        with proxy_serving(tmp_path) as proxy:
            with pytest.raises(IncompleteRead):
                ask(proxy, origin.url("/file"))
            answer = ask(proxy, origin.url("/file"))

    assert "range" not in origin.requests[1][2]
    assert answer.body == BODY


def test_a_version_that_changed_meanwhile_is_not_joined_to_the_old_part(tmp_path):
    with origin_serving(file=File(headers={"ETag": '"1"'}, breaks_after=5000)) as origin:
        origin.may_break.set()
        with proxy_serving(tmp_path) as proxy:
            with pytest.raises(IncompleteRead):
                ask(proxy, origin.url("/file"))
            origin.files["/file"] = File(BODY[::-1], {"ETag": '"2"'})
            answer = ask(proxy, origin.url("/file"))

    assert answer.body == BODY[::-1]
    assert cached(tmp_path) == {"file": BODY[::-1]}


def test_an_origin_that_knows_no_ranges_is_asked_once_for_all(tmp_path):
    file = File(breaks_after=5000, knows_ranges=False)
    with origin_serving(file=file) as origin, proxy_serving(tmp_path) as proxy:
        origin.may_break.set()
        with pytest.raises(IncompleteRead):
            ask(proxy, origin.url("/file"))
        answer = ask(proxy, origin.url("/file"))

    assert len(origin.requests) == 2
    assert answer.body == BODY


# -- Joined downloads --------------------------------------------------------------------


def test_two_hundred_clients_make_one_request_and_equal_copies(tmp_path):
    gate = threading.Event()
    with (
        origin_serving(file=File(gate=gate)) as origin,
        proxy_serving(tmp_path) as proxy,
        ThreadPoolExecutor(200) as pool,
    ):
        asking = [pool.submit(ask, proxy, origin.url("/file")) for _ in range(200)]
        wait_until(lambda: [each.users for each in proxy.proxy.downloads.values()] == [202])
        gate.set()
        answers = [each.result() for each in asking]

    assert [answer.body for answer in answers] == [BODY] * 200
    assert len(origin.requests) == 1


def test_each_client_gets_the_data_as_it_arrives(tmp_path):
    gate = threading.Event()
    with (
        origin_serving(file=File(gate=gate)) as origin,
        proxy_serving(tmp_path) as proxy,
        open_answer(proxy, origin.url("/file")) as first,
    ):
        early = first.read(len(BODY) // 2)
        with open_answer(proxy, origin.url("/file")) as late:
            begun = late.read(len(BODY) // 2)
            gate.set()
            ends = first.read(), late.read()

    assert early == begun == BODY[: len(BODY) // 2]
    assert ends == (BODY[len(BODY) // 2 :],) * 2
    assert len(origin.requests) == 1


def test_a_slow_client_holds_back_nobody(tmp_path):
    large = os.urandom(8_000_000)
    with (
        origin_serving(file=File(large)) as origin,
        proxy_serving(tmp_path) as proxy,
        open_answer(proxy, origin.url("/file")) as slow,
    ):
        slow.read(10)
        quick = ask(proxy, origin.url("/file"))
        rest = slow.read()

    assert quick.body == large
    assert rest == large[10:]
    assert len(origin.requests) in (1, 2)  # the second may come when all has been fetched


def test_the_download_goes_on_when_its_first_client_is_gone(tmp_path):
    gate = threading.Event()
    with origin_serving(file=File(gate=gate)) as origin, proxy_serving(tmp_path) as proxy:
        with open_answer(proxy, origin.url("/file")) as first:
            first.read(10)
        with open_answer(proxy, origin.url("/file")) as second:
            second.read(10)
            gate.set()
            rest = second.read()

    assert rest == BODY[10:]
    assert len(origin.requests) == 1


def test_the_cache_gets_the_file_when_every_client_is_gone(tmp_path):
    gate = threading.Event()
    with origin_serving(file=File(gate=gate)) as origin, proxy_serving(tmp_path) as proxy:
        with open_answer(proxy, origin.url("/file")) as first:
            first.read(10)
        gate.set()
        wait_until(lambda: cached(tmp_path) == {"file": BODY})

    assert cached(tmp_path) == {"file": BODY}


def test_waiting_clients_get_what_came_before_a_reset(tmp_path):
    with (
        origin_serving(file=File(breaks_after=5000)) as origin,
        proxy_serving(tmp_path) as proxy,
        open_answer(proxy, origin.url("/file")) as first,
        open_answer(proxy, origin.url("/file")) as second,
    ):
        came = first.read(5000), second.read(5000)
        origin.may_break.set()
        for answer in (first, second):
            with pytest.raises(IncompleteRead):
                answer.read()

    assert came == (BODY[:5000], BODY[:5000])


def test_those_who_join_a_revalidation_share_its_answer(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        ask(proxy, origin.url("/file"))
        with ThreadPoolExecutor(30) as pool:
            answers = list(pool.map(lambda _: ask(proxy, origin.url("/file")).body, range(30)))

    assert answers == [BODY] * 30
    assert {told.get("if-modified-since") for _, _, told, _ in origin.requests[1:]} == {LONG_AGO}


def test_those_who_join_a_private_answer_ask_for_themselves(tmp_path):
    file = File(headers={"Cache-Control": "private"})
    with (
        origin_serving(file=file) as origin,
        proxy_serving(tmp_path) as proxy,
        ThreadPoolExecutor(10) as pool,
    ):
        answers = list(pool.map(lambda _: ask(proxy, origin.url("/file")).body, range(10)))

    assert answers == [BODY] * 10
    assert len(origin.requests) == 10
    assert cached(tmp_path) == {}


def test_a_limit_caps_the_rate(tmp_path):
    with (
        origin_serving(file=File(), other=File()) as origin,
        proxy_serving(tmp_path, limit=400_000) as proxy,
        ThreadPoolExecutor(2) as pool,
    ):
        began = time.monotonic()
        urls = [origin.url("/file"), origin.url("/other")]
        answers = list(pool.map(lambda url: ask(proxy, url).body, urls))
        took = time.monotonic() - began

    assert answers == [BODY, BODY]
    assert 0.8 * 2 * len(BODY) / 400_000 <= took < SECONDS


# -- What is not cached --------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Set-Cookie": "a=b"},
        {"Cache-Control": "private"},
        {"Cache-Control": "max-age=60, No-Store"},
        {"Vary": "Accept"},
        {"Vary": "*"},
    ],
)
def test_a_personal_answer_is_not_cached(tmp_path, headers):
    with origin_serving(file=File(headers=headers)) as origin, proxy_serving(tmp_path) as proxy:
        answers = [ask(proxy, origin.url("/file")).body for _ in range(2)]

    assert answers == [BODY, BODY]
    assert len(origin.requests) == 2
    assert cached(tmp_path) == {}


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Basic eDp5"}, {"Cookie": "a=b"}, {"Cache-Control": "no-store"}],
)
def test_a_personal_request_is_not_cached(tmp_path, headers):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path, static=True) as proxy:
        answers = [ask(proxy, origin.url("/file"), headers).body for _ in range(2)]

    assert answers == [BODY, BODY]
    assert len(origin.requests) == 2
    assert cached(tmp_path) == {}


def test_an_error_of_the_origin_is_passed_on_and_not_cached(tmp_path):
    with origin_serving() as origin, proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, origin.url("/none"))

    assert (answer.status, answer.body) == (404, b"no such file")
    assert cached(tmp_path) == {}


def test_head_tells_the_same_and_sends_nothing(tmp_path):
    with origin_serving(file=File()) as origin:
        with proxy_serving(tmp_path) as proxy:
            asked = ask(proxy, origin.url("/file"), method="HEAD")
            ask(proxy, origin.url("/file"))
        with proxy_serving(tmp_path, offline=True) as proxy:
            stored = ask(proxy, origin.url("/file"), method="HEAD")
            missing = ask(proxy, origin.url("/none"), method="HEAD")

    assert [(each.status, each.body) for each in (asked, stored)] == [(200, b"")] * 2
    assert asked.headers["content-length"] == stored.headers["content-length"] == "102400"
    assert (missing.status, missing.body) == (504, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_pass_through(tmp_path, method):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        answer = ask(proxy, origin.url("/file"), method=method, body=b"told" * 50_000)

    assert answer.body == BODY
    assert [(each[0], each[3]) for each in origin.requests] == [(method, b"told" * 50_000)]
    assert cached(tmp_path) == {}


def test_a_chunked_body_passes_through(tmp_path):
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        ask(proxy, origin.url("/file"), method="POST", body=iter([b"one", b"two"]))

    assert [each[3] for each in origin.requests] == [b"onetwo"]


def test_a_client_that_waits_for_100_is_told_to_go_on(tmp_path):
    with origin_serving(file=File(b"done")) as origin, proxy_serving(tmp_path) as proxy:
        head = f"POST {origin.url('/file')} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        got = raw(proxy, f"{head}Content-Length: 4\r\n\r\nbody".encode())

    assert got.endswith(b"\r\n\r\ndone")
    assert origin.requests[0][3] == b"body"
    assert origin.requests[0][2]["expect"] == "100-continue"


def test_fields_of_one_connection_stay_there(tmp_path):
    told = {"Connection": "X-Mine, Close", "X-Mine": "1", "TE": "trailers", "Host": "elsewhere"}
    told |= {"Proxy-Authorization": "secret", "Keep-Alive": "1", "Upgrade": "h2c", "X-Yours": "2"}
    with origin_serving(file=File()) as origin, proxy_serving(tmp_path) as proxy:
        ask(proxy, origin.url("/file"), told)
        ask(proxy, origin.url("/file"), told, method="POST", body=b"x")

    for _, _, came, _ in origin.requests:
        assert not {"x-mine", "te", "proxy-authorization", "keep-alive", "upgrade"} & set(came)
        assert (came["x-yours"], came["connection"]) == ("2", "close")
        assert came["host"] == f"127.0.0.1:{origin.server_port}"
        assert "fiberlab" in came["via"]


def test_one_connection_serves_many_requests(tmp_path):
    with (
        origin_serving(a=File(b"a"), b=File(b"b", {"Set-Cookie": "x"})) as origin,
        proxy_serving(tmp_path) as proxy,
    ):
        connection = HTTPConnection(*proxy.address, timeout=SECONDS)
        got = []
        for method, path in [("GET", "/a"), ("GET", "/b"), ("HEAD", "/a"), ("GET", "/none")]:
            connection.request(method, origin.url(path))
            first = connection.sock
            got.append(connection.getresponse().read())
            assert connection.sock is first
        connection.close()

    assert got == [b"a", b"b", b"", b"no such file"]


def test_two_requests_sent_at_once_are_answered_in_order(tmp_path):
    with (
        origin_serving(a=File(b"first"), b=File(b"second")) as origin,
        proxy_serving(tmp_path) as proxy,
    ):
        heads = [f"GET {origin.url(path)} HTTP/1.1\r\nHost: x\r\n\r\n" for path in ("/a", "/b")]
        got = raw(proxy, "".join(heads).encode())

    assert got.index(b"\r\n\r\nfirst") < got.index(b"\r\n\r\nsecond")


def test_a_client_of_http_1_0_is_answered_and_closed(tmp_path):
    with origin_serving(file=File(chunked=True)) as origin, proxy_serving(tmp_path) as proxy:
        got = raw(proxy, f"GET {origin.url('/file')} HTTP/1.0\r\n\r\n".encode())

    assert got.partition(b"\r\n\r\n")[2] == BODY
    assert b"chunked" not in got.partition(b"\r\n\r\n")[0]


# -- Helpers -------------------------------------------------------------------------------


class open_answer:  # noqa: N801 - reads as a function
    """An answer that is read bit by bit; leaving it drops the connection."""

    def __init__(self, proxy, url: str) -> None:
        self.connection = HTTPConnection(*proxy.address, timeout=SECONDS)
        self.connection.request("GET", url)
        self.answer = self.connection.getresponse()

    def __enter__(self):
        return self.answer

    def __exit__(self, *_: object) -> None:
        self.answer.close()
        self.connection.close()

"""Live: a page that grows while a scheduler runs, and goes on while its loop is blocked.

The rule kept here: the scheduler that is watched does nothing for the page. A thread of its own
reads the trace whenever the page asks, so a fiber that holds the loop is seen while it holds it. It
runs a scheduler too, whose fibers are this page's connections.

Only this machine can ask, and only a program that was told the address: it has a random token in
it. A request whose Host or Origin is another is refused, since a site that is open in the same
browser could else send it (DNS rebinding).
"""

from __future__ import annotations

import hmac
import io
import secrets
import threading
from collections.abc import Generator
from typing import Any

from ..scheduler import Scheduler
from ..sockets import recv_until, send_all
from ..trace.trace import Trace
from .feed import Feed
from .page import page

_HEAD = 8_192  # bytes of a request
_PATIENCE = 10.0  # seconds for a request to come whole
_REFUSED = {400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed"}
_HEADERS = (
    "Cache-Control: no-store",
    "Connection: close",
    "Cross-Origin-Resource-Policy: same-origin",
    "Referrer-Policy: no-referrer",
    "X-Content-Type-Options: nosniff",
    "X-Frame-Options: DENY",
)
_START = """\
const look = async () => {
  const answer = await fetch("run", { cache: "no-store" });
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
};
window.viewer = await mount(document.querySelector("#run"), [await look()], { live: true });
for (let failures = 0; failures < 5; ) {
  const asked = performance.now();
  try {
    viewer.renew(await (await readRun(await look())).complete());
    failures = 0;
  } catch {
    failures += 1;
  }
  // At most a third of the time is spent on looking.
  const pause = Math.max(80, 2 * (performance.now() - asked));
  await new Promise((done) => setTimeout(done, pause));
}
viewer.ended();
"""


class LivePage:
    """Serves the page of a trace while a with-block lasts; `url` is its address then."""

    def __init__(self, trace: Trace, title: str = "live") -> None:
        self.title = title
        self.url = ""
        self._feed = Feed(trace)
        self._token = secrets.token_urlsafe(24)
        self._scheduler = Scheduler(_PATIENCE, file=io.StringIO())
        self._port = 0
        self._thread = threading.Thread(
            target=self._scheduler.run, name="fiberlab live page", daemon=True
        )

    def __enter__(self) -> LivePage:
        """Begin to serve."""
        host, self._port = self._scheduler.listen(self._serve)
        self.url = f"http://{host}:{self._port}/{self._token}/"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._scheduler.stop()
        self._thread.join()

    def _serve(self, sock: Any, _address: Any) -> Generator[Any, None, None]:
        """Answer one request."""
        try:
            head = yield from recv_until(sock, b"\r\n\r\n", _HEAD)
        except (ValueError, EOFError, OSError):
            return
        status, kind, body = self.answer(head.decode("latin-1"))
        said = _REFUSED.get(status, "OK")
        lines = [
            f"HTTP/1.1 {status} {said}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
        ]
        try:
            yield from send_all(sock, "\r\n".join([*lines, *_HEADERS, "", ""]).encode() + body)
        except OSError:
            return  # a page that was closed asks no more

    def answer(self, head: str) -> tuple[int, str, bytes]:
        """Return the status, the type and the body of the answer to a request's head."""
        request, *lines = head.rstrip("\r\n").split("\r\n")
        hosts, origins = _fields(lines, "host"), _fields(lines, "origin")
        places = {f"127.0.0.1:{self._port}", f"localhost:{self._port}"}
        words = request.split(" ")
        if len(words) != 3 or len(hosts) != 1:
            return _refusal(400)
        if hosts[0] not in places or not {f"http://{each}" for each in places}.issuperset(origins):
            return _refusal(403)
        _, _, token_and_name = words[1].partition("/")
        token, _, name = token_and_name.partition("/")
        if not hmac.compare_digest(token.encode(), self._token.encode()) or name not in ("", "run"):
            return _refusal(404)
        if words[0] != "GET":
            return _refusal(405)
        if name == "run":
            return 200, "application/octet-stream", self._feed.picture(self.title)
        text = page(self.title, [], _START, "connect-src 'self'")
        return 200, "text/html; charset=utf-8", text.encode()


def _refusal(status: int) -> tuple[int, str, bytes]:
    return status, "text/plain", _REFUSED[status].encode()


def _fields(lines: list[str], wanted: str) -> list[str]:
    """Return the values of all header lines of one name; it is in lower case."""
    parted = (line.partition(":") for line in lines)
    return [value.strip() for name, _, value in parted if name.lower() == wanted]

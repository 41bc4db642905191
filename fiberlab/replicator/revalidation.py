"""What is in the cache and what an origin says of it: is it the same, is this its rest?

The rule kept here: what is kept is used only if nothing that the origin says contradicts it. All
raise OSError for what the cache's folder refuses.
"""

from __future__ import annotations

import os
import re
import time

from .cache import About, Cache, Download, Entry
from .http import Headers, Url, caching, field
from .http.conditions import ASKING, may_be_same, validators_of
from .http.messages import OURS_TO_SAY, received
from .origins import Answer


def conditions_for(entry: Entry) -> Headers:
    """Return the fields that ask for the rest of a file, or for a newer version only."""
    if (found := entry.open(part=True)) is not None:
        with found[1] as file:
            size = file.seek(0, os.SEEK_END)
        if size and (versions := validators_of(found[0].headers)):
            return [(b"range", b"bytes=%d-" % size), (b"if-range", versions[0].encode("latin-1"))]
    if (found := entry.open()) is None:
        return []
    found[1].close()
    return [(ASKING[name], value) for name, value in found[0].headers if name in ASKING]


def about_of(url: Url, answer: Answer) -> About:
    """Return what an answer says of a file."""
    head = answer.head
    length = field(head.headers, b"content-length")
    born = caching.born(head.headers, answer.origin.asked, time.time())
    size = int(length) if length else None
    return About(str(url), size, received(head, *OURS_TO_SAY), born)


def resume(download: Download, answer: Answer) -> None:
    """Go on with the partial file if the answer is its rest."""
    headers = answer.head.headers
    if (found := download.entry.open(part=True)) is None:
        return
    about, file = found
    have = file.seek(0, os.SEEK_END)
    form = re.fullmatch(rf"bytes {have}-(\d+)/(\d+)", field(headers, b"content-range") or "")
    size = int(form[2]) if form and int(form[1]) + 1 == int(form[2]) else 0
    known = {name: field(about.headers, name) for name in (*ASKING, b"content-encoding")}
    known[b"content-length"] = str(size - have)
    same = all(field(headers, name) in (None, value) for name, value in known.items())
    new = _refreshed(about, answer)._replace(size=size)
    if size and about.size in (None, size) and same and _is_valid(about, new, answer):
        download.hold(new, file)
    else:
        file.close()


def take_again(download: Download, answer: Answer) -> None:
    """Take the complete file if a 304 says that it has not changed, and it may be used."""
    entry = download.entry
    if (found := entry.open()) is None:
        return
    about = _refreshed(found[0], answer)
    if _is_valid(found[0], about, answer):
        answer.origin.sock.close()
        download.hold(about, found[1], complete=True)
        entry.freshen(about)
    else:
        found[1].close()
        entry.remove()


def compare_head(cache: Cache, url: Url, answer: Answer) -> None:
    """Hold what HEAD was answered against what is kept (RFC 9111, 4.3.5)."""
    headers = answer.head.headers
    if answer.head.status_code != 200 or (found := cache.find(url)) is None:
        return
    entry, about, file = found
    file.close()
    packed = {field(each, b"content-encoding") for each in (headers, about.headers)}
    if len(packed) == 1:  # else it is about another form of the file
        new = _refreshed(about, answer)
        size_fits = field(headers, b"content-length") in (None, str(about.size))
        if size_fits and _is_valid(about, new, answer):
            entry.freshen(new)
        else:
            entry.remove()


def _is_valid(about: About, new: About, answer: Answer) -> bool:
    """Whether what is kept may be used, as `new`, after the origin has said this of it."""
    same = may_be_same(about.headers, answer.head.headers)
    return same and caching.may_keep(200, new.headers)


def _refreshed(about: About, answer: Answer) -> About:
    headers = caching.freshened(about.headers, answer.head)
    born = caching.born(answer.head.headers, answer.origin.asked, time.time())
    return about._replace(headers=headers, born=born)

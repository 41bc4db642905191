"""The page: a picture and the viewer in one HTML file, which needs no network and no server.

The rule kept here: a run enters a page as base64 only, and its title as escaped text. So nothing
that a trace says can end a script or begin a tag. The page forbids itself every connection.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from ..spans.build import Story
from ..trace.events import printable
from ..trace.file import replacing
from .picture import pack

MODULES = ("run.js", "paint.js", "steps.js", "viewer.js")
"""The viewer's modules, each below those that it imports."""

_IMPORT = re.compile(r"^import [^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ", re.MULTILINE)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; {allowed}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
body {{ margin: 0; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #1b1b1d; }} }}
</style>
</head>
<body>
<main id="run">This page needs a browser of 2023 or later, with JavaScript.</main>
{pictures}
<script type="module">
{script}
{start}
</script>
</body>
</html>
"""
_ALLOWED = "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
_START = """\
window.viewer = await mount(document.querySelector("#run"), picturesIn(document));
"""


def write_html(
    trace: Story,
    path: str | os.PathLike[str],
    source: bool = False,
    *,
    other: Story | None = None,
    titles: Sequence[str] = (),
    folders: Sequence[str | os.PathLike[str]] = (),
) -> None:
    """Write a page to `path` in which the run can be zoomed, searched and stepped through.

    It is one file, opens from disk and asks no network. source: put the lines that the trace names
    into it; it is your code, so only if asked for. other: a second run, below on the same axis.
    titles: of the page and of the runs. folders: where the files of a trace from disk are looked
    for. A file at `path` is replaced as a whole, at the end.
    """
    places = [Path(each) for each in folders]
    runs = [trace] if other is None else [trace, other]
    names = [*titles, *[""] * len(runs)]
    pictures = [
        pack(run, title=name, source=source, folders=places)
        for run, name in zip(runs, names, strict=False)
    ]
    title = " and ".join(filter(None, names[: len(runs)])) or "fiberlab"
    text = page(title, pictures)
    with replacing(path) as file:
        file.write(text.encode())


def page(title: str, pictures: Sequence[bytes], start: str = _START, allowed: str = "") -> str:
    """Return a page; start: the script that begins it. allowed: what else it may connect to."""
    return _PAGE.format(
        title=escape(printable(title)),
        style=part("viewer.css"),
        pictures="\n".join(held(b64encode(each).decode()) for each in pictures),
        script=script(),
        start=start,
        allowed="; ".join(filter(None, [_ALLOWED, allowed])),
    )


def held(base64: str) -> str:
    """Return the element in which a page holds a picture."""
    return f'<script type="application/octet-stream">{base64}</script>'


def script() -> str:
    """Return the viewer as one module: its files one after the other, without their imports."""
    texts = (_IMPORT.sub("", part(name)) for name in MODULES)
    return "\n".join(_EXPORT.sub("", text) for text in texts)


def part(name: str) -> str:
    """Return the text of a file of the viewer."""
    return files(__package__).joinpath(name).read_text("utf-8")

"""What Sphinx is told; `build.py` puts this file beside the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiberlab

project = "fiberlab"
author = "fiberlab authors"
release = version = fiberlab.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc"]

html_theme = "furo"
html_title = "fiberlab"
html_favicon = "static/icon.svg"
html_static_path = ["static"]
html_css_files = ["viewer.css", "site.css"]
html_js_files = [("viewer.js", {"defer": "defer"})]
html_copy_source = False
html_show_copyright = False
highlight_language = "none"  # of a block that does not say what it is

# The outputs are those that build.py hands over, and none of them is a widget.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, Any] = {}
myst_heading_anchors = 3  # as GitHub has them

# In a docstring, `name` is code: as a link it would take a parameter for a function of that name.
default_role = "literal"
autodoc_typehints_format = "short"


def plain(app: Any, kind: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Read a docstring as we write it."""
    if lines and lines[0].startswith("Alias for field number"):  # said by Python, and no news
        lines.clear()
    lines[:] = _with_literal_blocks(lines)


def _with_literal_blocks(lines: list[str]) -> Iterator[str]:
    """Make what is indented after a blank line a literal block."""
    last, blank = "", True  # the last line with words, and whether a blank one came after it
    for line in lines:
        begins = line.startswith(" ") and blank and not last.startswith(" ")
        if begins and not last.endswith("::"):
            yield from ("::", "")
        yield line
        blank = not line.strip()
        last = last if blank else line


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", plain)

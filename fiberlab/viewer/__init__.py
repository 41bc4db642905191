"""The viewer: a run to zoom, to search and to step through, in a page and in a notebook.

`picture` packs all that is shown into bytes, with the sentences of `sentences` and the lines of
`source`; `feed` does so for a run that goes on. `page` puts them into a file, `notebook` into the
output of a cell, and `live` serves them. In the browser `run.js` reads them, `paint.js` paints
them, `steps.js` steps through them, and `viewer.js` is the whole; `viewer.css` says how it looks.

This folder concludes nothing: spans, findings, colours and words come from the folders below.
"""

from .notebook import show, step
from .page import write_html

__all__ = ["show", "step", "write_html"]

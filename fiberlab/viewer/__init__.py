"""The viewer: a run to zoom, to search and to step through, in a page and in a notebook.

`picture` packs all that is shown into bytes, with the sentences of `sentences` and the lines of
`source`. `page` puts it into a file, `notebook` into the output of a cell,
`live` serves it while the run goes on. In the browser `run.js`
reads it, `paint.js` paints it, `steps.js` steps through it, and `viewer.js` is the whole;
`viewer.css` says how it looks.

This folder concludes nothing: spans, findings, colours and words come from the folders below.
"""

from .notebook import show, step
from .page import write_html

__all__ = ["show", "step", "write_html"]

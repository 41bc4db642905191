"""Reports: a run as numbers, two runs side by side, and a run as a file for another program.

`summary` adds up, `comparison` sets two runs beside each other, `tables` writes rows as text,
HTML and CSV, and `perfetto` writes a file for ui.perfetto.dev.

This folder judges nothing: that is ``fiberlab.diagnosis``.
"""

from .comparison import compare
from .perfetto import write_perfetto
from .summary import summarize

__all__ = ["compare", "summarize", "write_perfetto"]

"""What is kept: files in a folder, and downloads on their way there.

    files.py       files under host:port/path: complete, partial or absent
    download.py    one download, shared by all clients that ask for the file

What this folder does not know: connections.
"""

from .download import Download, storing
from .files import About, Cache, Entry

__all__ = ["About", "Cache", "Download", "Entry", "storing"]

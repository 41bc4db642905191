"""A plugin for pytest: the kernels that nbval starts listen on files instead of ports.

    PYTHONPATH=tests python -m pytest -p kernels_on_files --nbval notebooks

See `own_address` for the reason.
"""

from __future__ import annotations

from typing import Any

import nbval.kernel
from jupyter_client.manager import KernelManager

from fiberlab.lab.notebooks import own_address


def _on_files(**options: Any) -> KernelManager:
    return KernelManager(**own_address(), **options)


nbval.kernel.KernelManager = _on_files

"""What the arguments of the command line mean: functions, numbers and files.

The rule kept here: what cannot be meant is refused before any work is done, in one sentence that
says what came and what is needed.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType

from ..console import UserError, seconds, whole
from ..fiber import Handler


def load_function(name: str) -> Handler:
    """Return the generator function that ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION`` names.

    Raises UserError if there is none.
    """
    place, colon, attribute = name.rpartition(":")
    if not colon or not place or not attribute:
        raise UserError(f"{name!r} is no MODULE:FUNCTION, such as server:echo or server.py:echo")
    module = _load_module(place)
    function = getattr(module, attribute, None)
    if function is None:
        raise UserError(f"{place} has no function {attribute!r}")
    if not inspect.isgeneratorfunction(function):
        raise UserError(f"{name} is no generator function: it must yield RECV, SEND or WAIT")
    handler: Handler = function
    return handler


def _load_module(place: str) -> ModuleType:
    script = place.endswith(".py")
    if script and not os.path.exists(place):
        raise UserError(f"{place}: there is no such file")
    if not script and place.startswith("."):
        raise UserError(f"{place!r} is no module's whole name: nothing is above or beside it here")
    try:
        if script:
            return _load_file(Path(place))
        sys.path.insert(0, os.getcwd())
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise UserError(f"{place}: no module named {error.name!r} here or installed") from None
    except SystemExit as leaving:
        raise UserError(
            f"{place} cannot be imported: it ends the program, by sys.exit({leaving.code!r})"
        ) from None
    except Exception as error:
        raise UserError(f"{place} cannot be imported: {type(error).__name__}: {error}") from None


def _load_file(path: Path) -> ModuleType:
    """Import a file, which finds the files beside it as a script does."""
    sys.path.insert(0, os.fspath(path.absolute().parent))
    # A file may be called like a module that Python itself needs: select.py, say.
    name = path.stem if path.stem not in sys.modules else f"served_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def clients(text: str) -> int:
    """Read how many clients the demo has: enough to see waits, few enough to draw."""
    return whole(text, 8, 500)


def process(text: str) -> int:
    """Read the number of a process."""
    return whole(text, 1, 2**31 - 1)


def up_to_a_day(text: str) -> float:
    """Read for how many seconds something is recorded."""
    length = seconds(text)
    if length > 86_400:
        raise argparse.ArgumentTypeError(f"at most 86400 seconds, a day, got {text!r}")
    return length


def count(text: str) -> int:
    """Read how many findings are wanted."""
    return whole(text, 1, 1_000_000)


def source_of(function: Handler) -> list[Path]:
    """Return the file that `function` was written in, if there is one."""
    code = getattr(function, "__code__", None)
    return [] if code is None else [Path(code.co_filename)]


def with_ending(path: Path, ending: str) -> Path:
    """Return the name of a trace with another ending; UserError if it has none of its own."""
    if not path.name:
        raise UserError(f"{path}: is a folder")
    name = path.name.removesuffix(".gz").removesuffix(".jsonl").removesuffix(".fiber")
    return path.with_name(f"{name}{ending}")

"""A user's own comparison function, by package.module:name or path/to/file.py:name."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import cast

from clarify_rl.errors import ExecutorError, unknown_name


@functools.cache
def load_function(spec: str) -> Callable[[object, object], object]:
    """The function that `spec` names. ExecutorError when there is none."""
    location, _, name = spec.rpartition(":")
    module = _file(Path(location)) if location.endswith(".py") else _module(location)
    function = getattr(module, name, None)
    if not callable(function):
        known = [each for each in vars(module) if not each.startswith("_")]
        raise ExecutorError(unknown_name(f"comparison in {location}", name, known))
    return cast(Callable[[object, object], object], function)


def _module(location: str) -> ModuleType:
    try:
        return importlib.import_module(location)
    except ModuleNotFoundError:
        raise ExecutorError(f"No module {location!r}. Install it, or name a file: path/to/file.py:name.") from None


def _file(path: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"clarify_rl_comparison_{path.stem}", path)
    if not path.is_file() or found is None or found.loader is None:
        raise ExecutorError(f"No file {str(path)!r} (looked in {Path.cwd()}). Give a path to an existing .py file.")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module

"""Finds what a user wrote, by path/to/file.py:name or package.module:name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path

from clarify_rl.errors import ConfigError, unknown_name


def load_object(what: str, spec: str) -> object:
    """What `spec` names, a `what` in messages. Raises ConfigError when it is not there or cannot be imported."""
    location, _, name = spec.rpartition(":")
    module = _load_file(Path(location)) if location.endswith(".py") else _load_module(location)
    try:
        attribute: object = getattr(module, name)
    except AttributeError:
        public = [item for item in vars(module) if not item.startswith("_")]
        raise ConfigError(unknown_name(f"{what} in {location}", name, public)) from None
    return attribute


def _load_module(location: str) -> object:
    try:
        return importlib.import_module(location)
    except ModuleNotFoundError as error:
        if error.name and not location.startswith(error.name):
            raise  # the module is there, and lacks something itself
        raise ConfigError(f"No module {location!r}. Install it, or name a file: path/to/file.py:name.") from None


def _load_file(path: Path) -> object:
    """Imports a file under a name made from its path and content: an edited file is a new module.

    It may import modules that lie beside it, at once or later: its folder is on the path from here on, behind all else.
    """
    if not path.is_file():
        raise ConfigError(f"No file {str(path)!r} (looked in {Path.cwd()}). Give a path to an existing .py file.")
    digest = hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"clarify_rl_plugin_{path.stem}_{digest}"
    if name not in sys.modules:
        module_spec = importlib.util.spec_from_file_location(name, path)
        assert module_spec is not None and module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[name] = module
        if (folder := str(path.resolve().parent)) not in sys.path:
            sys.path.append(folder)
        try:
            module_spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[name]
            if not isinstance(error, Exception):
                raise
            raise ConfigError(f"{path} cannot be imported.\n{_traceback_from(path, error)}") from error
    return sys.modules[name]


def _traceback_from(path: Path, error: Exception) -> str:
    """What went wrong in a user's file, without the frames that led there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [Path(frame.filename).resolve() == path.resolve() for frame in frames]
    shown = frames[own.index(True) :] if any(own) else []
    return "".join([*traceback.format_list(shown), *traceback.format_exception_only(error)]).rstrip()

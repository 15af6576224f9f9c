"""Mistakes that a user can correct. Each message says what was wrong, what was found, and what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ClarifyError(Exception):
    """Something the user can fix; the command line prints it without a traceback."""


class ConfigError(ClarifyError):
    """A configuration that cannot be run."""


class DataError(ClarifyError):
    """Input data that cannot be read or used."""


class RunFolderError(ClarifyError):
    """A run folder that is in use, incomplete or someone else's."""


class ExecutorError(ClarifyError):
    """The executor cannot work safely on this machine."""


def first_line(error: BaseException) -> str:
    """What a library's error says, in one line; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """A message that suggests the nearest known name and lists the rest."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"No {what} named {name!r}.{hint} Known: {', '.join(names) or 'none'}."

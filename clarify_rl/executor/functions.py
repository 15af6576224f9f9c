"""A user's own comparison function, by package.module:name or path/to/file.py:name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

from clarify_rl.errors import ConfigError, ExecutorError
from clarify_rl.loading import load_object


@functools.cache
def load_function(spec: str) -> Callable[[object, object], object]:
    """The function that `spec` names. ExecutorError when there is none."""
    try:
        function = load_object("comparison", spec)
    except ConfigError as error:
        raise ExecutorError(str(error)) from error.__cause__
    if not callable(function):
        raise ExecutorError(f"The comparison {spec!r} is a {type(function).__name__}. Name a function of two values.")
    return cast(Callable[[object, object], object], function)

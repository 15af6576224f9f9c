"""Where commands and stages speak to whoever watches."""

from __future__ import annotations

import os
import sys
from functools import partial

from rich.console import Console

_LOG_COLUMNS = 120  # of a file or a pipe, which has no edge; rich would take 80, and break the names in tables

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _LOG_COLUMNS)
say = partial(console.print, soft_wrap=True)

"""Where the stages speak to whoever watches."""

from __future__ import annotations

from functools import partial

from rich.console import Console

console = Console()
say = partial(console.print, soft_wrap=True)

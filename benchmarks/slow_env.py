"""An environment that takes a while for each reply, as people, models behind a server and long tests do."""

from __future__ import annotations

import time

from clarify_rl.registry import load_env
from clarify_rl.types import Exchange, Response


class Slow:
    """`ask_or_code`, one reply at a time, each `delay_s` later."""

    def __init__(self, delay_s: float = 0.5, **options: object) -> None:
        self._delay_s, self._env = delay_s, load_env("ask_or_code", options)

    def respond(self, exchange: Exchange) -> Response:
        time.sleep(self._delay_s)
        return self._env.respond(exchange)

    def close(self) -> None:
        self._env.close()

"""Rewards and environments for tests, most of which misbehave; loaded by path, as a user's own file would be."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from clarify_rl.types import Episode, Exchange, Response, Score, Stop


def questions_asked(episode: Episode) -> float:
    return float(len(episode.questions))


def letters(episode: Episode) -> float:
    return len(episode.turns[-1].reply.text) / 100


def raises(episode: Episode) -> float:
    raise KeyError("no such column")


def not_a_number(episode: Episode) -> float:
    return float("nan")


def infinite(episode: Episode) -> Score:
    return Score("infinite", float("-inf"), why="log of 0")


def a_word(episode: Episode) -> str:
    return "good"


def unknown(episode: Episode) -> None:
    return None


@dataclass(frozen=True)
class LostAt:
    """Cannot measure the episode whose id ends so; 0 for all others."""

    ending: str

    def __call__(self, episode: Episode) -> float | None:
        return None if episode.id.endswith(self.ending) else 0.0


@dataclass(frozen=True)
class Dies:
    """Ends its process on the named episode: always, or only while the file `once` does not exist."""

    episode: str
    once: str = ""

    def __call__(self, episode: Episode) -> float:
        if episode.id == self.episode and not (self.once and Path(self.once).exists()):
            if self.once:
                Path(self.once).touch()
            os._exit(1)
        return 1.0


@dataclass
class Slow:
    """An environment that hangs on the reply "hang", and otherwise stops at once."""

    def respond(self, exchange: Exchange) -> Response:
        if exchange.reply.text == "hang":
            time.sleep(600)
        return Response(stop=Stop.NO_CODE)

    def close(self) -> None:
        pass

"""Rewards and environments for tests, most of which misbehave; loaded by path, as a user's own file would be."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from clarify_rl.envs.ask_or_code import AskOrCode
from clarify_rl.envs.rule_based_user import RuleBasedUser

from clarify_rl.types import Answer, Episode, Exchange, Rating, Response, Stop, Turn, Variant


def questions_asked(episode: Episode) -> float:
    return float(len(episode.questions))


def letters(episode: Episode) -> float:
    return len(episode.turns[-1].reply.text) / 100


def raises(episode: Episode) -> float:
    raise KeyError("no such column")


def not_a_number(episode: Episode) -> float:
    return float("nan")


def infinite(episode: Episode) -> Rating:
    return Rating(float("-inf"), why="log of 0")


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
class Naps:
    """An environment that takes as many seconds as the reply says, e.g. "0.2", and for "hang" forever.

    For "freeze" the whole process stands still.
    """

    threads: int = 1

    def respond(self, exchange: Exchange) -> Response:
        text = exchange.reply.text
        if text == "freeze":
            os.kill(os.getpid(), signal.SIGSTOP)
            return Response(stop=Stop.NO_CODE)
        time.sleep(3600.0 if text == "hang" else float(text))
        return Response(stop=Stop.NO_CODE)

    def describe(self) -> str:
        return os.environ.get("CLARIFY_TEST_SAYS", "usual")

    def close(self) -> None:
        pass


@dataclass
class Shy(Naps):
    """One that cannot be built while the file `trouble` exists, and takes `build_s` to be built."""

    trouble: str = ""
    build_s: float = 0.0

    def __post_init__(self) -> None:
        time.sleep(self.build_s)
        if Path(self.trouble).is_file():
            raise OSError("no memory just now")


class Locked(str):
    """A text that does not pickle."""

    def __reduce__(self) -> str:
        raise TypeError("it cannot be sent")


@dataclass
class Replies:
    """An environment whose response to "lock" cannot be sent to another process."""

    def respond(self, exchange: Exchange) -> Response:
        return Response(stop=Stop.NO_CODE, failure=Locked() if exchange.reply.text == "lock" else "")

    def close(self) -> None:
        pass


@dataclass
class FailsAt(AskOrCode):
    """ask_or_code that is lost over the episode whose id ends so."""

    ending: str = ""

    def respond(self, exchange: Exchange) -> Response:
        if exchange.episode_id.endswith(self.ending):
            return Response(stop=Stop.FAILED, failure="the machine burned")
        return super().respond(exchange)


class Frank(AskOrCode):
    """ask_or_code that says which heavy libraries its process has loaded."""

    def describe(self) -> str:
        heavy = {"torch", "transformers", "trl", "ray", "peft", "datasets", "accelerate"}
        return " ".join(sorted(heavy & sys.modules.keys()))


@dataclass(frozen=True)
class Pauses(RuleBasedUser):
    """A user who thinks before the answer, as a language model would."""

    pause_s: float = 0.2

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        time.sleep(self.pause_s)
        return super().answer(variant, questions, turns, seed)


@dataclass
class Chatty:
    """An environment that answers whatever is said, up to the last turn."""

    def respond(self, exchange: Exchange) -> Response:
        return Response(stop=Stop.NO_CODE) if exchange.last_turn else Response(answer=Answer("Go on."))

    def close(self) -> None:
        pass


class Silent(AskOrCode):
    """ask_or_code that forgets to return anything."""

    def respond(self, exchange: Exchange) -> Response:
        return cast(Response, None)


@dataclass
class Mute:
    """A user who has nothing to say."""

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        return Answer("I cannot say.")

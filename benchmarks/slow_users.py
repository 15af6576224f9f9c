"""Users and an environment for benchmarks/env_scaling.py; actors load them by this file's path."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from clarify_rl.envs.rule_based_user import RuleBasedUser

from clarify_rl.types import Answer, Exchange, Response, Turn, Variant


@dataclass(frozen=True)
class SlowUser(RuleBasedUser):
    """Answers after half to one and a half times `mean_s`, as a user who is a language model behind a service."""

    mean_s: float = 1.0

    def answer(self, variant: Variant, questions: Sequence[str], turns: Sequence[Turn], seed: int) -> Answer:
        time.sleep(self.mean_s * Random(f"{seed}/{variant.id}").uniform(0.5, 1.5))
        return super().answer(variant, questions, turns, seed)


class Instant:
    """Answers at once: what remains is what dispatching costs."""

    def respond(self, exchange: Exchange) -> Response:
        return Response(answer=Answer("That does not matter here."))

    def close(self) -> None:
        pass

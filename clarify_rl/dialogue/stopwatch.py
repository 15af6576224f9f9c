"""A policy and a pool whose time is told apart: the policy's words, users and programs, rewards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clarify_rl.timeline import Timeline
from clarify_rl.types import Episode, Exchange, Policy, Pool, Request, Response, Sample, Score


@dataclass(frozen=True)
class Stopwatch:
    """Hands every call on to the two, and gives its time to its part of the timeline."""

    policy: Policy
    pool: Pool
    timeline: Timeline

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        with self.timeline.during("generate"):
            return self.policy.generate(requests)

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        with self.timeline.during("env"):
            return self.pool.respond(exchanges)

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        with self.timeline.during("score"):
            return self.pool.score(episodes)

    def describe(self) -> str:
        return self.pool.describe()

    def close(self) -> None:
        self.pool.close()

    def numbers(self) -> Mapping[str, float]:
        return self.pool.numbers()

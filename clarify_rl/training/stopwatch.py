"""Where the time of a rollout goes: into the policy's words, or into users, programs and rewards."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clarify_rl.types import Episode, Exchange, Policy, Pool, Request, Response, Sample, Score


@dataclass
class Stopwatch:
    """A policy and a pool in one, that hands every call on and adds up how long each of the two takes."""

    policy: Policy
    pool: Pool
    generate_s: float = 0.0
    env_s: float = 0.0

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        started = time.monotonic()
        samples = self.policy.generate(requests)
        self.generate_s += time.monotonic() - started
        return samples

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        started = time.monotonic()
        responses = self.pool.respond(exchanges)
        self.env_s += time.monotonic() - started
        return responses

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        started = time.monotonic()
        scores = self.pool.score(episodes)
        self.env_s += time.monotonic() - started
        return scores

    def describe(self) -> str:
        return self.pool.describe()

    def close(self) -> None:
        self.pool.close()

    def numbers(self) -> Mapping[str, float]:
        return self.pool.numbers()

    def spent(self, episodes: Sequence[Episode]) -> dict[str, float]:
        """Seconds so far, and the policy's tokens in `episodes` for each second of generating them."""
        tokens = sum(sum(episode.policy_mask) for episode in episodes)
        speed = {"rollout/tokens_per_s": tokens / self.generate_s} if self.generate_s else {}
        return {"time/generate_s": self.generate_s, "time/env_s": self.env_s, **speed}

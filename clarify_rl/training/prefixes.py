"""Dialogues to go on from: right questions for a variant with the user's answers, as rollouts that begin behind them.

A policy that seldom asks hardly ever meets an answer, so it does not learn to use one, and asking does not come to pay:
it locks itself. Rollouts that begin behind a part of a good dialogue meet answers from the first step on (replayed
prefixes, after arXiv 2605.05112). The turns are given, so nothing learns from them, and these rollouts are compared
with each other only (openings.py), all of a group behind the same turns.

What it leaves out: prefixes from the policy's own earlier dialogues. The questions here are the variant's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.policies.scripted import ScriptedPolicy
from clarify_rl.seeds import derive_seed
from clarify_rl.synthesis.mix import exemplary_replies
from clarify_rl.training.information import Unscored
from clarify_rl.types import Pool, Start, Turn, Variant

Turns = tuple[Turn, ...]


@dataclass
class Prefixes:
    """The turns of one run. Each variant is asked about once, by what the seed says, when it is first needed."""

    pool: Pool
    chat: Chat
    limits: DialogueLimits
    seed: int
    _turns: dict[str, Turns] = field(default_factory=dict)

    def learn(self, variants: Sequence[Variant]) -> None:
        """Asks the user about the unclear ones that are not known yet, all at once."""
        new = list({each.id: each for each in variants if not each.is_clear and each.id not in self._turns}.values())
        starts = [Start(each, f"prefix/{each.id}", derive_seed(self.seed, "prefix", each.id)) for each in new]
        scripts = {start.id: self._questions(start.variant) for start in starts}
        episodes = run_episodes(
            starts,
            policy=ScriptedPolicy(scripts, self.chat.encode, self.chat.turn_end_id),
            pool=Unscored(self.pool),
            chat=self.chat,
            limits=self.limits,
        )
        for episode in episodes:
            self._turns[episode.variant.id] = told_turns(episode.turns)

    def of(self, variant: Variant, moment: int) -> Turns:
        """The first of a variant's turns, as many as the moment's seed says; none where the first told nothing."""
        turns = self._turns[variant.id]
        rng = Random(derive_seed(self.seed, "prefix", variant.id, moment))
        return turns[: rng.randint(1, len(turns))] if turns else ()

    def _questions(self, variant: Variant) -> list[str]:
        *questions, _code = exemplary_replies(variant, derive_seed(self.seed, "prefix"))
        return [self.chat.said(question) for question in questions]


def told_turns(turns: Sequence[Turn]) -> Turns:
    """The turns up to the first whose answer told nothing that was asked for."""
    told = 0
    while told < len(turns) and (answer := turns[told].answer) is not None and answer.revealed:
        told += 1
    return tuple(turns[:told])

"""How first replies are made to begin, so that a group holds questions and code side by side.

A policy that never asks has no group in which asking shows its worth, and one that always asks none in which coding at
once does. For an unclear variant, some rollouts of each group therefore begin with the first word of a question, some
with the fence of a code block; the policy writes on from there.

What that does to the estimate. The opening's tokens are masked: nothing learns from a choice that the policy did not
make. Every token behind them is sampled by the policy, so no importance weight is due; but it is sampled where the
policy may seldom come by itself. What is maximised is the mean of three aims: the reward of free dialogues, of those
that begin with a question, and of those that begin with code, by the shares of their rollouts. So forcing keeps
questions worth asking (and code without questions as good as it can be), and no group without variance; whether to ask
is learnt from the free rollouts alone. A policy that never asks when left alone is not brought back: keep the seed of
asking alive from the start, by SFT and a KL term.

The third way to begin is behind whole turns, good questions and their answers (prefixes.py): there the policy learns to
use answers, and to ask for what is still missing.

The baselines. A free rollout is compared with its whole group: it chose how to begin, so what the others got, who began
both ways, is what its choice is to be judged by. A forced rollout is compared with those that were made to begin in the
same way, for the rest would credit each of its tokens with a choice that it did not make. Neither biases the gradient,
as no baseline does that the sample has no part in; a rollout's own part in it shrinks the gradient, by 1 - 1/n for a
baseline of n. Where all free rollouts begin alike, the others in their baseline add variance, and hardly move a choice
that is all but certain. Rewards are scaled by the whole group's deviation, as in GRPO.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch

from clarify_rl.types import Episode, Opening, ReplyKind, Variant

Encode = Callable[[str], Sequence[int]]

_QUESTIONS = ("What", "Which", "Should", "How")
_CODE = "```python"


@dataclass(frozen=True)
class Openings:
    """The openings for one tokenizer, and how many rollouts of an unclear variant's group begin with each kind."""

    questions: tuple[Opening, ...] = ()
    code: Opening | None = None
    asking: int = 0
    coding: int = 0
    replaying: int = 0

    @classmethod
    def encoded(cls, encode: Encode, *, asking: int, coding: int, replaying: int = 0) -> Openings:
        """`encode` gives a text's ids without special tokens, as in the replies that SFT trains on."""
        questions = tuple(
            Opening(ReplyKind.QUESTION, _beginning(encode, word, (" is it?", " order?"))) for word in _QUESTIONS
        )
        code = Opening(ReplyKind.CODE, _beginning(encode, _CODE, ("\ndef f():", "\nimport re", "\n\nclass A:")))
        return cls(questions, code, asking, coding, replaying)

    def opening(self, variant: Variant, place: int, seed: int) -> Opening | None:
        """How the rollout at `place` in its group begins; None leaves it to the policy. The seed picks the word."""
        if variant.is_clear:
            return None
        if place < self.asking:
            return self.questions[seed % len(self.questions)]
        return self.code if place < self.asking + self.coding else None

    def is_replayed(self, variant: Variant, place: int) -> bool:
        """Whether the rollout at `place` in its group begins behind turns, which come after the forced ones."""
        forced = self.asking + self.coding
        return not variant.is_clear and forced <= place < forced + self.replaying


def _beginning(encode: Encode, text: str, tails: Sequence[str]) -> tuple[int, ...]:
    """The ids that replies which start with `text` have in common: its last letters may be one token with the next."""
    starts = zip(*(encode(text + tail) for tail in tails), strict=False)
    shared = takewhile(lambda ids: len(set(ids)) == 1, starts)
    return tuple(ids[0] for ids in shared) or tuple(encode(text))


def compare_alike(advantages_B: torch.Tensor, episodes: Sequence[Episode], size: int) -> torch.Tensor:
    """Advantages (B,) in which those that were made to begin alike are centred among themselves, group by group."""
    if not any(episode.opening for episode in episodes):
        return advantages_B
    centred_B = advantages_B.clone()
    for first in range(0, len(episodes), size):
        group = [i for i in range(first, first + size) if not episodes[i].masked]
        for i in group:
            centred_B[i] -= advantages_B[[peer for peer in group if are_peers(episodes[i], episodes[peer])]].mean()
    return centred_B


def are_peers(episode: Episode, other: Episode) -> bool:
    """Whether an episode is compared with the other: one that was made to begin, with those that began so too.

    A free one is compared with all that began with a first reply, for how to begin was its own choice; those behind
    turns that were given had another task.
    """
    mine, theirs = _began(episode.opening), _began(other.opening)
    return theirs != "replayed" if mine is None else theirs == mine


def _began(opening: Opening | None) -> str | None:
    return None if opening is None else "replayed" if opening.replayed else str(opening.kind)

"""What an answer was worth, turn by turn: measures that need more than the episode, so no plain reward can give them.

A question is worth what its answer changes. Four ways to see that, from the dearest to the cheapest:

- `withheld`: the dialogue is played again from the turn that asked, with the answer withheld. Value: the pass rate of
  the dialogue with the answer, less that without; each side is a mean over `rollouts` (the episode itself is one). It
  is unbiased for what the answer is worth to this policy at this point; its variance is that of two means, p(1-p)/n
  each where tests pass all or none. It costs 2 * rollouts - 1 rollouts for each turn that was told something.
- `siblings`: the episode's pass rate less that of the episodes of its group that asked nothing. It costs nothing, and
  is the value of having asked at all, laid to the turns by the facts they were told; where all siblings ask it says
  nothing. Who asks may differ from who does not in more than the answer, so it is biased where they do.
- `answer_effect`: by how many nats a token the answer made the reply that followed likelier than it was with the
  answer withheld, under the policy: an estimate of the KL between the next replies from one sample. After InfoPO
  (arXiv 2603.00656). Two forward passes a turn. It sees that an answer changes what is said, not that it helps.
- `information_gain`: by how many nats a token the answer made the reference solution likelier, under the frozen model
  that RL starts from. After STaR-GATE (Andukuri et al. 2024, arXiv 2403.19154). Two forward passes a turn.

An answer that tells no fact is worth 0 by all of them. In place of a withheld answer the user says WITHHELD.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from clarify_rl.dialogue.chat import Chat
from clarify_rl.rl_sections import InformationSection
from clarify_rl.seeds import derive_seed
from clarify_rl.training.credit import turn_of_token
from clarify_rl.training.groups import in_groups
from clarify_rl.types import Answer, Episode, Exchange, Pool, Response, Score, Start

WITHHELD = "I have nothing to add to that."
MEASURES = {
    "withheld": "value_of_information",
    "siblings": "value_of_information",
    "answer_effect": "answer_effect",
    "information_gain": "information_gain",
}

Play = Callable[[Sequence[Start]], Sequence[Episode]]
Worths = tuple[float | None, ...]  # one for each turn of an episode; None: could not be measured


@dataclass(frozen=True)
class Continuation:
    """What follows a context, as token ids."""

    context: tuple[int, ...]
    token_ids: tuple[int, ...]


Likelihoods = Callable[[Sequence[Continuation]], list[float]]  # nats a token


@dataclass(frozen=True)
class Unscored:
    """A pool whose episodes get no scores: dialogues that are only played for their tests."""

    pool: Pool

    def respond(self, exchanges: Sequence[Exchange]) -> list[Response]:
        return self.pool.respond(exchanges)

    def score(self, episodes: Sequence[Episode]) -> list[tuple[Score, ...]]:
        return [() for _ in episodes]

    def describe(self) -> str:
        return self.pool.describe()

    def numbers(self) -> Mapping[str, float]:
        return self.pool.numbers()

    def close(self) -> None:
        """The pool stays open: it is another's."""


def told(episode: Episode) -> list[int]:
    """The turns whose answers told something that was asked for; none in an episode that could not be measured."""
    if not episode.measured:
        return []
    own = episode.opening.replayed if episode.opening else 0  # turns before it are not the policy's
    return [at for at, turn in enumerate(episode.turns) if at >= own and turn.answer and turn.answer.revealed]


def by_withholding(episodes: Sequence[Episode], play: Play, rollouts: int) -> list[Worths]:
    """What each answer is worth by playing on without it; see `withheld` above."""
    asked = [(number, place) for number, episode in enumerate(episodes) for place in told(episode)]
    whose = [
        (number, place, side, count)
        for number, place in asked
        for side in ("with", "without")
        for count in range(rollouts - (side == "with"))
    ]
    starts = [again(episodes[number], place, side, count) for number, place, side, count in whose]
    rates: dict[tuple[int, int, str], list[float]] = {}
    for number, place in asked:
        rates[number, place, "with"] = [episodes[number].pass_rate or 0.0]
    for (number, place, side, _), episode in zip(whose, play(starts) if starts else (), strict=True):
        if episode.pass_rate is not None:
            rates.setdefault((number, place, side), []).append(episode.pass_rate)
    worths: dict[tuple[int, int], float | None] = {}
    for number, place in asked:
        without = rates.get((number, place, "without"))
        worths[number, place] = fmean(rates[number, place, "with"]) - fmean(without) if without else None
    return _at_turns(episodes, worths)


def again(episode: Episode, place: int, side: str, count: int) -> Start:
    """The dialogue up to an answer, given or withheld."""
    turn, name = episode.turns[place], f"{episode.id}/turn {place} {side} its answer/{count}"
    if side == "without":
        turn = replace(turn, answer=Answer(WITHHELD))
    turns = (*episode.turns[:place], turn)
    return Start(episode.variant, name, derive_seed(episode.seed, name), turns=turns, price=episode.price)


def by_siblings(group: Sequence[Episode]) -> list[Worths]:
    """What having asked is worth against those of the group that did not; see `siblings` above."""
    silent = [episode.pass_rate for episode in group if episode.measured and not episode.questions]
    rates = [rate for rate in silent if rate is not None]
    worths: dict[tuple[int, int], float | None] = {}
    for number, episode in enumerate(group):
        facts = {place: len(turn.answer.revealed) for place, turn in enumerate(episode.turns) if turn.answer}
        for place in told(episode):
            share = facts[place] / sum(facts.values())
            known = bool(rates) and episode.pass_rate is not None
            worths[number, place] = share * ((episode.pass_rate or 0.0) - fmean(rates)) if known else None
    return _at_turns(group, worths)


def by_effect(episodes: Sequence[Episode], chat: Chat, likelihoods: Likelihoods) -> list[Worths]:
    """How much likelier each answer made the reply that followed it; see `answer_effect` above."""
    asked = _told_and_replied(episodes)
    pairs = [_followed(episodes[number], place, chat) for number, place in asked]
    found = likelihoods([continuation for pair in pairs for continuation in pair])
    effects = [given - withheld for given, withheld in zip(found[::2], found[1::2], strict=True)]
    return _at_turns(episodes, dict(zip(asked, effects, strict=True)))


def _told_and_replied(episodes: Sequence[Episode]) -> list[tuple[int, int]]:
    """The answers that told something and that a reply came after: numbers of episodes, with places of turns."""
    return [
        (number, place)
        for number, episode in enumerate(episodes)
        for place in told(episode)
        if place + 1 < len(episode.turns)
    ]


def _followed(episode: Episode, place: int, chat: Chat) -> tuple[Continuation, Continuation]:
    """The reply behind an answer, after the answer and after a withheld one."""
    spans = _spans(episode)
    start, end = spans[place + 1]
    reply = episode.completion_ids[start:end]
    before = (*episode.prompt_ids, *episode.completion_ids[: spans[place][1]])
    withheld = (*before, *chat.missing_end(episode.turns[place].reply.token_ids), *chat.user_turn_ids(WITHHELD))
    return Continuation((*episode.prompt_ids, *episode.completion_ids[:start]), reply), Continuation(withheld, reply)


def by_gain(episodes: Sequence[Episode], chat: Chat, likelihoods: Likelihoods) -> list[Worths]:
    """How much likelier each answer made the reference solution; see `information_gain` above."""
    asked = _told_and_replied(episodes)
    pairs = []
    for number, place in asked:
        episode = episodes[number]
        given, withheld = _followed(episode, place, chat)
        reference = chat.encode(chat.said(f"```python\n{episode.variant.problem.solution.strip()}\n```"))
        pairs += [Continuation(given.context, reference), Continuation(withheld.context, reference)]
    found = likelihoods(pairs)
    gains = [given - withheld for given, withheld in zip(found[::2], found[1::2], strict=True)]
    return _at_turns(episodes, dict(zip(asked, gains, strict=True)))


def _spans(episode: Episode) -> dict[int, tuple[int, int]]:
    """Where each turn's tokens of the policy begin and end in the completion."""
    spans: dict[int, tuple[int, int]] = {}
    for token, place in enumerate(turn_of_token(episode)):
        if place is not None:
            spans[place] = (spans.get(place, (token, 0))[0], token + 1)
    return spans


def _at_turns(episodes: Sequence[Episode], worths: Mapping[tuple[int, int], float | None]) -> list[Worths]:
    return [
        tuple(worths.get((number, place), 0.0) for place in range(len(episode.turns)))
        for number, episode in enumerate(episodes)
    ]


@torch.no_grad()
def likelihoods_of(model: PreTrainedModel, pad_id: int, batch_size: int, items: Sequence[Continuation]) -> list[float]:
    """The mean log-probability of each continuation's tokens, in nats a token; 0 for an empty one."""
    training, found = model.training, [0.0] * len(items)
    order = sorted(range(len(items)), key=lambda number: len(items[number].context) + len(items[number].token_ids))
    model.eval()
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        whole = [torch.tensor((*items[row].context, *items[row].token_ids)) for row in rows]
        ids = pad_sequence(whole, batch_first=True, padding_value=pad_id).to(model.device)
        mask = pad_sequence([torch.ones_like(row) for row in whole], batch_first=True).to(model.device)
        logprobs = model(input_ids=ids, attention_mask=mask).logits.float().log_softmax(-1)
        told_B_T = logprobs[:, :-1].gather(2, ids[:, 1:, None])[:, :, 0]
        for place, row in enumerate(rows):
            start, length = len(items[row].context) - 1, len(items[row].token_ids)
            found[row] = float(told_B_T[place, start : start + length].mean()) if length else 0.0
    model.train(training)
    return found


@dataclass(frozen=True)
class Information:
    """One of the measures as a score of episodes. `frozen` is the model that information_gain goes by."""

    options: InformationSection
    chat: Chat
    size: int
    pad_id: int
    batch_size: int
    frozen: PreTrainedModel | None = None

    @property
    def name(self) -> str:
        return MEASURES[self.options.measure]

    def score(self, episodes: Sequence[Episode], play: Play, model: PreTrainedModel) -> list[Episode]:
        """The episodes with one more score, which does not apply where it could not be measured."""
        likelihoods = partial(likelihoods_of, self.frozen or model, self.pad_id, self.batch_size)
        match self.options.measure:
            case "withheld":
                worths = by_withholding(episodes, play, self.options.rollouts)
            case "siblings":
                worths = [worth for group in in_groups(episodes, self.size) for worth in by_siblings(group)]
            case "answer_effect":
                worths = by_effect(episodes, self.chat, likelihoods)
            case "information_gain":
                worths = by_gain(episodes, self.chat, likelihoods)
        return [self._scored(episode, worth) for episode, worth in zip(episodes, worths, strict=True)]

    def _scored(self, episode: Episode, worths: Worths) -> Episode:
        known = tuple(worth for worth in worths if worth is not None)
        if len(known) < len(worths):
            score = Score(self.name, 0.0, 0.0, why="nothing to compare with", applies=False)
        else:
            why = f"{len(told(episode))} answers told something"
            score = Score(self.name, sum(known), self.options.weight, why, known)
        return replace(episode, scores=(*episode.scores, score))

"""First replies that are made to begin as a question or as code: whose tokens, which mask, compared with whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
import torch

from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import run_episodes
from clarify_rl.pool import LocalPool
from clarify_rl.records import from_record, to_record
from clarify_rl.training.openings import Openings, compare_alike
from clarify_rl.training.rollout_metrics import rollout_metrics
from clarify_rl.types import Episode, Opening, ReplyKind, Request, Sample, Score, Start, Stop
from tests.dialogues import ASC, ASK, CLEAR, DESC, LIMITS, SPEC, UNCLEAR, chat, encode, play, tokenizer
from tests.templates import KINDS, Kind

OPENINGS = Openings.encoded(encode, asking=2, coding=2)
WHICH = next(opening for opening in OPENINGS.questions if tokenizer().decode(opening.token_ids) == "Which")


@dataclass
class Continued:
    """Says the given texts, each behind what its request's context ends with."""

    texts: Sequence[str]
    logprobs: bool = True
    encode: object = encode
    end_id: int = 0
    seen: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        self.seen += requests
        return [self._sample(request) for request in requests]

    def _sample(self, request: Request) -> Sample:
        ids = (*self.encode(self.texts[request.turn]), self.end_id)  # type: ignore[operator] # a tokenizer's
        cut = ids[: request.max_new_tokens]
        return Sample(cut, (-1.0,) * len(cut) if self.logprobs else None, len(ids) <= request.max_new_tokens)


def episode_of(opening: Opening | None, texts: Sequence[str], **limits: int) -> tuple[Episode, list[Request]]:
    (end_id,) = chat().end_ids
    policy, pool = Continued(texts, end_id=end_id), LocalPool(SPEC)
    try:
        (made,) = run_episodes(
            [Start(UNCLEAR, "e", 0, opening=opening)], policy=policy, pool=pool, chat=chat(),
            limits=replace(LIMITS, **limits),
        )  # fmt: skip
    finally:
        pool.close()
    return made, policy.seen


def test_given_tokens_are_part_of_the_reply_and_masked() -> None:
    made, requests = episode_of(WHICH, [" order?", DESC])
    given = len(WHICH.token_ids)
    first = made.turns[0].reply
    assert (first.text, first.kind) == ("Which order?", ReplyKind.QUESTION)
    assert made.revealed == ("order",)
    assert made.solved
    assert made.completion_ids[:given] == first.token_ids[:given] == WHICH.token_ids
    assert made.policy_mask[: given + 1] == (0,) * given + (1,)
    assert made.logprobs is not None
    assert first.logprobs is not None
    assert made.logprobs[: given + 1] == first.logprobs[: given + 1] == (0.0,) * given + (-1.0,)
    assert len(made.logprobs) == len(made.policy_mask) == len(made.completion_ids)
    assert requests[0].context == (*made.prompt_ids, *WHICH.token_ids)
    whole = (*made.prompt_ids, *made.completion_ids)
    assert requests[1].context == whole[: len(requests[1].context)]
    assert made.opening == WHICH


def test_only_the_first_reply_is_made_to_begin_so() -> None:
    made, requests = episode_of(WHICH, [" order?", ASK, DESC])
    assert made.turns[1].reply.text == ASK
    assert sum(1 for bit in made.policy_mask if bit) == sum(len(turn.reply.token_ids) for turn in made.turns) - len(
        WHICH.token_ids
    )
    assert [request.turn for request in requests] == [0, 1, 2]


def test_code_that_was_made_to_begin_is_run() -> None:
    made, _ = episode_of(OPENINGS.code, [DESC.removeprefix("```python")])
    assert made.turns[0].reply.text == DESC
    assert (made.solved, made.asked) == (True, False)


def test_given_tokens_count_as_part_of_the_budget() -> None:
    made, requests = episode_of(WHICH, [DESC], turn_tokens=10)
    assert requests[0].max_new_tokens == 10 - len(WHICH.token_ids)
    assert len(made.completion_ids) == 10


def test_an_opening_that_would_fill_the_budget_is_left_out() -> None:
    made, _ = episode_of(WHICH, [DESC], turn_tokens=len(WHICH.token_ids))
    assert made.opening is None
    assert made.policy_mask == (1,) * len(WHICH.token_ids)


def test_the_record_keeps_the_opening() -> None:
    made, _ = episode_of(WHICH, [" order?", DESC])
    assert from_record(Episode, to_record(made)) == made
    old = {name: value for name, value in to_record(made).items() if name != "opening"}
    assert from_record(Episode, old).opening is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_openings_begin_replies_as_any_tokenizer_writes_them(kind: Kind) -> None:
    made = kind.tokenizer()
    plain = partial(made.encode, add_special_tokens=False)
    openings = Openings.encoded(plain, asking=1, coding=1)
    for opening, reply in [
        *((opening, f"{made.decode(opening.token_ids)} of them?") for opening in openings.questions),
        (openings.code, "```python\ndef f(x):\n    return x\n```"),
    ]:
        assert opening is not None
        assert tuple(plain(reply))[: len(opening.token_ids)] == opening.token_ids
        assert not set(opening.token_ids) & set(made.all_special_ids)
    words = [made.decode(opening.token_ids).strip() for opening in openings.questions]
    assert words == ["What", "Which", "Should", "How"]
    assert openings.code is not None
    assert made.decode(openings.code.token_ids).startswith("```python")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_an_opening_works_behind_any_template(kind: Kind) -> None:
    made, plain = kind.chat(), partial(kind.tokenizer().encode, add_special_tokens=False)
    opening = Openings.encoded(plain, asking=1, coding=1).questions[1]
    rest = "Which order?".removeprefix(made.decode(opening.token_ids))
    policy = Continued([rest, DESC], encode=plain, end_id=made.turn_end_id)
    pool = LocalPool(SPEC)
    try:
        (found,) = run_episodes(
            [Start(UNCLEAR, "e", 0, opening=opening)], policy=policy, pool=pool, chat=made,
            limits=replace(LIMITS, turn_tokens=200, total_tokens=600),
        )  # fmt: skip
    finally:
        pool.close()
    assert found.turns[0].reply.text == "Which order?"
    assert found.solved
    assert rendered(made, found)[: len(found.prompt_ids) + len(found.turns[0].reply.token_ids)] == (
        *found.prompt_ids,
        *found.completion_ids[: len(found.turns[0].reply.token_ids)],
    )


def rendered(made: Chat, episode: Episode) -> tuple[int, ...]:
    """The first exchange as the template writes it."""
    said = [
        {"role": "user", "content": made.first_message(episode.variant)},
        {"role": "assistant", "content": episode.turns[0].reply.text},
    ]
    return tuple(made.tokenizer.apply_chat_template(said, tokenize=True, return_dict=False))


def test_a_tokenizer_that_joins_words_still_has_openings() -> None:
    """Replies that begin alike may have no first token in common; the words' own tokens serve then."""
    ids: dict[str, int] = {}

    def whole(text: str) -> list[int]:
        return [ids.setdefault(text, len(ids))]

    made = Openings.encoded(whole, asking=1, coding=1)
    assert made.code is not None
    assert made.code.token_ids == tuple(whole("```python"))


def test_clear_variants_begin_as_the_policy_likes() -> None:
    assert [OPENINGS.opening(CLEAR, place, 0) for place in range(8)] == [None] * 8
    kinds = [opening and opening.kind for opening in (OPENINGS.opening(UNCLEAR, place, 0) for place in range(8))]
    assert kinds == [ReplyKind.QUESTION] * 2 + [ReplyKind.CODE] * 2 + [None] * 4
    assert {OPENINGS.opening(UNCLEAR, 0, seed) for seed in range(20)} == set(OPENINGS.questions)


def group(*members: tuple[Opening | None, float | None]) -> list[Episode]:
    return [
        Episode("e", UNCLEAR, 0, (), Stop.CODE, scores=(Score("r", reward),), opening=opening)
        for opening, reward in members
    ]


def test_forced_rollouts_are_compared_with_those_that_began_alike_and_free_ones_with_all() -> None:
    ask, code = OPENINGS.questions[0], OPENINGS.code
    episodes = group(
        (ask, 1.0), (WHICH, 0.5), (ask, None), (code, 0.0), (code, 0.0), (None, 0.0), (None, 1.0), (None, 0.5)
    )  # fmt: skip
    rewards = [1.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.5]
    mean = sum(rewards) / 7
    trl = torch.tensor([1 - mean, 0.5 - mean, 0.0, -mean, -mean, -mean, 1 - mean, 0.5 - mean]) / 0.4
    wanted = torch.tensor([0.25, -0.25, 0.0, 0.0, 0.0, -mean, 1 - mean, 0.5 - mean]) / 0.4
    both = compare_alike(torch.cat([trl, trl]), [*episodes, *episodes], 8)
    assert torch.allclose(both, torch.cat([wanted, wanted]), atol=1e-6)


def test_without_openings_advantages_stay_the_very_same() -> None:
    advantages = torch.randn(6)
    assert compare_alike(advantages, group(*[(None, 1.0)] * 6), 4) is advantages


def test_numbers_count_free_choices_only() -> None:
    free = play((UNCLEAR, [ASK, DESC]), (UNCLEAR, [ASC]))
    forced, _ = episode_of(WHICH, [" order?", DESC])
    coded, _ = episode_of(OPENINGS.code, [ASC.removeprefix("```python")])
    alone, with_forced = rollout_metrics(free), rollout_metrics([*free, forced, coded, forced])
    assert with_forced == {**alone, "rollout/episodes": 5.0}
    assert alone["episode/asked_unclear"] == 0.5

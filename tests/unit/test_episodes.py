"""The dialogue loop, with a scripted policy, the rule-based user and the real executor."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.pool import LocalPool
from clarify_rl.types import Answer, Episode, Reply, ReplyKind, Start, Stop, Variant, Verdict
from tests.dialogues import (
    ASC,
    ASK,
    CLEAR,
    CRASH,
    DESC,
    LIMITS,
    LOOP,
    SPEC,
    UNCLEAR,
    WRONG,
    chat,
    encode,
    play,
    scripted,
    tokenizer,
)

LONG = Variant("long", CLEAR.problem, "word " * 3000)


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    made = LocalPool(SPEC)
    yield made
    made.close()


def one(pool: LocalPool, variant: Variant, *replies: str, limits: DialogueLimits = LIMITS) -> Episode:
    (episode,) = play((variant, replies), pool=pool, limits=limits)
    return episode


def value(episode: Episode, name: str) -> float | None:
    return next(score.value for score in episode.scores if score.name == name)


def test_a_clear_problem_is_solved_at_once(pool: LocalPool) -> None:
    episode = one(pool, CLEAR, DESC)
    assert (episode.solved, episode.stop, episode.asked) == (True, Stop.CODE, False)
    assert episode.reward == 1.0


def test_asking_and_then_coding_solves_an_unclear_problem(pool: LocalPool) -> None:
    episode = one(pool, UNCLEAR, ASK, DESC)
    assert (episode.solved, episode.asked, episode.revealed) == (True, True, ("order",))
    assert episode.reward == pytest.approx(1.1)
    assert episode.turns[0].answer is not None
    assert episode.turns[0].answer.text == "Descending."


def test_guessing_the_wrong_way_is_measured_and_bad(pool: LocalPool) -> None:
    episode = one(pool, UNCLEAR, ASC)
    assert (episode.solved, episode.measured) == (False, True)
    assert value(episode, "pass_rate") == pytest.approx(2 / 3)


def test_a_question_that_reveals_nothing_costs_and_the_dialogue_goes_on(pool: LocalPool) -> None:
    episode = one(pool, CLEAR, "Where is the dog?", DESC)
    assert (episode.solved, episode.revealed, len(episode.outcomes)) == (True, (), 1)
    assert episode.reward == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (LOOP, Verdict.CPU_TIMEOUT),
        (CRASH, Verdict.ERROR),
        (WRONG, Verdict.WRONG),
        ("```python\ndef f(xs):\n    return tuple(sorted(xs, reverse=True))\n```", Verdict.WRONG),
        ("```python\ndef f(xs)\n```", Verdict.ERROR),
        ("```python\n```", Verdict.ERROR),
    ],
    ids=["loop", "crash", "wrong", "wrong type", "syntax error", "empty block"],
)
def test_bad_code_ends_the_episode_with_its_verdict(pool: LocalPool, reply: str, verdict: Verdict) -> None:
    episode = one(pool, CLEAR, reply)
    assert (episode.stop, episode.solved) == (Stop.CODE, False)
    assert episode.execution is not None
    assert episode.execution.verdict is verdict


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("", ReplyKind.EMPTY),
        ("I will do it.", ReplyKind.OTHER),
        ("def f(xs):\n    return xs", ReplyKind.BARE_CODE),
        ("word " * 200, ReplyKind.TRUNCATED),
    ],
)
def test_what_is_neither_a_question_nor_code_ends_the_episode(pool: LocalPool, reply: str, kind: ReplyKind) -> None:
    episode = one(pool, UNCLEAR, reply, DESC)
    assert (episode.stop, episode.malformed, episode.solved) == (Stop.MALFORMED, True, False)
    assert [turn.reply.kind for turn in episode.turns] == [kind]
    assert value(episode, "pass_rate") == 0.0


def test_a_reply_that_asks_and_codes_is_run_and_its_question_stays_unanswered(pool: LocalPool) -> None:
    episode = one(pool, UNCLEAR, f"{ASK}\n{DESC}")
    assert (episode.stop, episode.solved, episode.malformed) == (Stop.CODE, True, True)
    assert episode.turns[0].answer is None
    assert episode.reward == pytest.approx(0.9)


def test_one_question_too_many_ends_without_code(pool: LocalPool) -> None:
    episode = one(pool, UNCLEAR, ASK, ASK, ASK, DESC)
    assert (episode.stop, len(episode.turns), episode.solved) == (Stop.NO_CODE, 3, False)
    assert episode.turns[-1].answer is None
    assert value(episode, "needless_question") == -2.0


def test_without_questions_allowed_the_first_reply_must_be_code(pool: LocalPool) -> None:
    limits = replace(LIMITS, max_questions=0)
    assert one(pool, UNCLEAR, ASK, limits=limits).stop is Stop.NO_CODE
    assert one(pool, CLEAR, DESC, limits=limits).solved


def test_an_exhausted_budget_ends_on_the_policys_tokens(pool: LocalPool) -> None:
    stops = set()
    for total in range(1, 60):
        episode = one(pool, UNCLEAR, ASK, ASK, DESC, limits=replace(LIMITS, total_tokens=total))
        assert len(episode.completion_ids) <= total
        assert episode.policy_mask[-1] == 1
        stops.add(episode.stop)
    assert Stop.BUDGET in stops
    assert Stop.MALFORMED in stops


@pytest.mark.parametrize("more", [-2, 5, 25])
def test_what_the_models_context_cuts_off_is_unmeasured_and_not_the_policys_fault(pool: LocalPool, more: int) -> None:
    """In the middle of a question, before the user's answer, and in the middle of the code."""
    room = len(chat().prompt_ids(UNCLEAR)) + len(encode(ASK)) + more
    episode = one(pool, UNCLEAR, ASK, DESC, limits=replace(LIMITS, context_tokens=room))
    assert (episode.stop, episode.masked, episode.policy_mask[-1]) == (Stop.FAILED, True, 1)
    assert f"context of {room} tokens was full before the budget" in episode.failure
    assert len(episode.prompt_ids) + len(episode.completion_ids) <= room


def test_a_reply_longer_than_its_turn_is_cut_off_whatever_the_context_holds(pool: LocalPool) -> None:
    room = len(chat().prompt_ids(UNCLEAR)) + 200
    episode = one(pool, UNCLEAR, DESC, limits=replace(LIMITS, context_tokens=room, turn_tokens=4))
    assert (episode.stop, episode.masked, episode.turns[0].reply.kind) == (Stop.MALFORMED, False, ReplyKind.TRUNCATED)


THOUGHT = f"<think>Should I ask: {ASK}\n{WRONG}</think>\n\n"


def test_what_is_thought_is_neither_asked_nor_run_nor_told(pool: LocalPool) -> None:
    episode = one(pool, UNCLEAR, f"{THOUGHT}Which way round?", f"{THOUGHT}{DESC}")
    first, second = (turn.reply for turn in episode.turns)
    assert (first.text, first.questions) == ("Which way round?", ("Which way round?",))
    assert (second.text, episode.solved) == (DESC, True)
    assert first.thinking == f"Should I ask: {ASK}\n{WRONG}"
    assert chat().decode(first.token_ids).startswith(THOUGHT.strip())  # it is trained on like every other token


def test_thinking_without_an_end_is_a_reply_cut_off(pool: LocalPool) -> None:
    episode = one(pool, CLEAR, f"<think>{DESC}")
    assert (episode.stop, episode.turns[0].reply.kind) == (Stop.MALFORMED, ReplyKind.TRUNCATED)
    assert episode.turns[0].reply.code is None


def test_a_prompt_too_long_is_a_failure_of_its_own_episode(pool: LocalPool) -> None:
    first, failed, last = play((CLEAR, [DESC]), (LONG, [DESC]), (UNCLEAR, [ASK, DESC]), pool=pool)
    assert (first.solved, last.solved) == (True, True)
    assert (failed.stop, failed.measured, failed.solved, failed.reward) == (Stop.FAILED, False, None, None)
    assert "leaves no room in a context of 2048" in failed.failure
    assert failed.completion_ids == ()


def test_sampled_ids_are_kept_and_the_mask_is_zero_exactly_on_what_the_user_said(pool: LocalPool) -> None:
    replies = ("Who  are\tyou?", ASK, DESC)
    episode = one(pool, UNCLEAR, *replies)
    (end_id,) = chat().end_ids
    expected: list[int] = []
    mask: list[int] = []
    for turn, reply in zip(episode.turns, replies, strict=True):
        sampled = (*encode(reply), end_id)
        assert turn.reply.token_ids == sampled
        user = chat().user_turn_ids(turn.answer.text) if turn.answer else ()
        expected += [*sampled, *user]
        mask += [1] * len(sampled) + [0] * len(user)
        if turn.answer:
            assert (
                tokenizer().decode(user) == f"\n<|im_start|>user\n{turn.answer.text}<|im_end|>\n<|im_start|>assistant\n"
            )
    assert list(episode.completion_ids) == expected
    assert list(episode.policy_mask) == mask
    assert episode.prompt_ids == chat().prompt_ids(UNCLEAR)


def test_the_last_answer_carries_the_last_call(pool: LocalPool) -> None:
    calling = Chat(tokenizer(), last_call="Now write the code.")
    (episode,) = play((UNCLEAR, ["Who are you?", ASK, DESC]), pool=pool, using=calling)
    text = tokenizer().decode(episode.completion_ids)
    assert text.count("Now write the code.") == 1
    assert "Descending. Now write the code." in text
    assert episode.turns[1].answer is not None
    assert episode.turns[1].answer.text == "Descending."


MANY = ((CLEAR, [DESC]), (UNCLEAR, [ASK, DESC]), (LONG, [DESC]), (UNCLEAR, [ASK, "Why?", "Why?"]), (UNCLEAR, [""]))


def settled(episode: Episode) -> Episode:
    """The episode without what a clock measured."""
    execution = episode.execution and replace(episode.execution, cpu_s=0.0, wall_s=0.0)
    return replace(episode, execution=execution)


def test_lockstep_gives_the_same_episodes_and_always_asks_for_every_row(pool: LocalPool) -> None:
    scripts = {f"e{i}": replies for i, (_, replies) in enumerate(MANY)}
    free, locked = scripted(scripts), scripted(scripts)
    plain = play(*MANY, pool=pool, policy=free)
    together = play(*MANY, pool=pool, policy=locked, lockstep=True)
    assert list(map(settled, plain)) == list(map(settled, together))
    assert [len(call) for call in free.calls] == [4, 2, 1]
    assert [len(call) for call in locked.calls] == [5] * (LIMITS.max_questions + 1)


def test_lockstep_calls_even_when_every_episode_has_ended(pool: LocalPool) -> None:
    policy = scripted({"e0": [DESC]})
    play((CLEAR, [DESC]), pool=pool, policy=policy, lockstep=True)
    assert len(policy.calls) == LIMITS.max_questions + 1


def test_no_request_exceeds_the_context(pool: LocalPool) -> None:
    scripts = {f"e{i}": replies for i, (_, replies) in enumerate(MANY)}
    policy = scripted(scripts)
    play(*MANY, pool=pool, policy=policy, lockstep=True)
    for request in (request for call in policy.calls for request in call):
        assert len(request.context) >= 1
        assert len(request.context) + request.max_new_tokens <= LIMITS.context_tokens
        assert 1 <= request.max_new_tokens <= LIMITS.turn_tokens


FRAGILE = replace(SPEC, env="tests.dialogues:Fragile")


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("boom?", "environment tests.dialogues:Fragile raised RuntimeError: the user hung up ("),
        ("silence?", "environment tests.dialogues:Fragile returned neither an answer nor a stop"),
        ("give up?", "says that the episode failed, and gives no reason: Response.failure"),
        ("plainly?", "user of the environment answered with a str, not an Answer"),
        ("nothing?", "returned a NoneType, not a Response"),
    ],
)
def test_an_environment_that_fails_masks_its_episode_and_no_other(reply: str, failure: str) -> None:
    own = LocalPool(FRAGILE)
    try:
        good, bad, late = play((CLEAR, [DESC]), (CLEAR, [reply, DESC]), (UNCLEAR, [ASK, reply]), pool=own)
    finally:
        own.close()
    assert good.reward == 1.0
    for episode in (bad, late):
        assert (episode.stop, episode.measured, episode.solved, episode.reward) == (Stop.FAILED, False, None, None)
        assert failure in episode.failure
        assert episode.policy_mask[-1] == 1


def test_an_environment_that_talks_on_after_the_last_turn_ends_without_code() -> None:
    own = LocalPool(FRAGILE)
    try:
        (episode,) = play((CLEAR, ["talk on?"] * 9), pool=own)
    finally:
        own.close()
    assert (episode.stop, len(episode.turns), episode.policy_mask[-1]) == (Stop.NO_CODE, 3, 1)
    assert episode.turns[-1].answer is None


def test_the_same_seeds_give_the_same_episodes_in_the_same_order(pool: LocalPool) -> None:
    first, second = (play(*MANY, pool=pool, seed=7) for _ in range(2))
    assert list(map(settled, first)) == list(map(settled, second))
    assert [episode.id for episode in first] == [f"e{i}" for i in range(len(MANY))]
    assert [episode.variant for episode in first] == [variant for variant, _ in MANY]
    assert [episode.seed for episode in first] == [7 + i for i in range(len(MANY))]


def test_other_seeds_let_the_user_speak_in_other_words(pool: LocalPool) -> None:
    texts = {
        turn.answer.text
        for seed in range(12)
        for turn in play((CLEAR, ["Who are you?", DESC]), pool=pool, seed=seed)[0].turns
        if turn.answer
    }
    assert len(texts) > 1


def test_no_variants_are_no_episodes(pool: LocalPool) -> None:
    assert play(pool=pool) == []


# Episodes that go on from turns that were played before.


def test_an_episode_goes_on_from_its_turns_as_it_went_on_before(pool: LocalPool) -> None:
    (whole,) = play((UNCLEAR, [ASK, DESC]), pool=pool)
    start = Start(UNCLEAR, "e0", 0, turns=whole.turns[:1])
    (resumed,) = run_episodes([start], policy=scripted({"e0": [ASK, DESC]}), pool=pool, chat=chat(), limits=LIMITS)
    assert (resumed.completion_ids, resumed.turns, resumed.stop) == (whole.completion_ids, whole.turns, whole.stop)
    assert (resumed.revealed, resumed.reward) == (whole.revealed, whole.reward)


def test_nothing_learns_from_turns_that_were_played_before(pool: LocalPool) -> None:
    (whole,) = play((UNCLEAR, [ASK, DESC]), pool=pool)
    start = Start(UNCLEAR, "e0", 0, turns=whole.turns[:1])
    (resumed,) = run_episodes([start], policy=scripted({"e0": [ASK, DESC]}), pool=pool, chat=chat(), limits=LIMITS)
    reply = len(whole.turns[1].reply.token_ids)
    assert resumed.policy_mask == (0,) * (len(whole.policy_mask) - reply) + (1,) * reply


def test_another_answer_may_stand_in_a_turn_and_the_last_turn_comes_as_soon(pool: LocalPool) -> None:
    (whole,) = play((UNCLEAR, [ASK, ASK, DESC]), pool=pool)
    withheld = replace(whole.turns[0], answer=Answer("I have nothing to add on that."))
    policy = scripted({"e0": [ASK, ASK, ASK]})
    start = Start(UNCLEAR, "e0", 0, turns=(withheld, whole.turns[1]))
    (other,) = run_episodes([start], policy=policy, pool=pool, chat=chat(), limits=LIMITS)
    assert other.turns[0].answer == withheld.answer
    assert [[request.turn for request in call] for call in policy.calls] == [[2]]
    assert other.stop is Stop.NO_CODE


@pytest.mark.parametrize(
    ("change", "why"), [({"answer": None}, "no answer"), ({"reply": Reply(ASK, ReplyKind.QUESTION)}, "no token ids")]
)
def test_a_turn_that_cannot_be_taken_up_fails_its_own_episode(
    pool: LocalPool, change: dict[str, Any], why: str
) -> None:
    (whole,) = play((UNCLEAR, [ASK, DESC]), pool=pool)
    starts = [Start(UNCLEAR, "e0", 0, turns=(replace(whole.turns[0], **change),)), Start(UNCLEAR, "e1", 1)]
    policy = scripted({"e0": [DESC], "e1": [DESC]})
    broken, other = run_episodes(starts, policy=policy, pool=pool, chat=chat(), limits=LIMITS)
    assert broken.masked and f"turn 0 of those behind it has {why}" in broken.failure
    assert not other.failure

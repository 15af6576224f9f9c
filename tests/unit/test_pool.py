"""The pool in this process: what a reward or an environment does wrong stays its own episode's affair."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from clarify_rl.errors import ConfigError
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec, make_pool
from clarify_rl.types import Episode, Exchange, Reply, ReplyKind, Score, Stop
from tests.dialogues import ASK, CLEAR, DESC, SPEC, UNCLEAR, play

PLUGINS = Path(__file__).parents[1] / "plugins.py"


@pytest.fixture(scope="module")
def episode() -> Episode:
    return play((UNCLEAR, [ASK, DESC]))[0]


def score(episode: Episode, name: str, **options: object) -> Score:
    spec = replace(SPEC, rewards=(RewardSpec(f"{PLUGINS}:{name}", 0.5, options), RewardSpec("pass_rate")))
    with closing(LocalPool(spec)) as pool:
        ((odd, pass_rate),) = pool.score([episode])
    assert pass_rate.value == 1.0
    assert (odd.name, odd.weight) == (name, 0.5)
    return odd


def test_a_reward_from_a_users_file_is_found_and_weighed(episode: Episode) -> None:
    assert score(episode, "questions_asked").value == 1.0


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("raises", "KeyError: 'no such column'"),
        ("not_a_number", "not a finite number: nan."),
        ("infinite", "not a finite number: -inf. log of 0"),
        ("a_word", "ValueError: could not convert string to float: 'good'"),
        ("unknown", ""),
    ],
)
def test_a_reward_without_a_usable_number_is_unmeasured_and_says_why(episode: Episode, name: str, why: str) -> None:
    odd = score(episode, name)
    assert odd.value is None
    assert odd.why == why


def test_an_episode_with_an_unmeasured_score_has_no_reward(episode: Episode) -> None:
    scores = (Score("a", 1.0), Score("b", None, 0.5))
    assert replace(episode, scores=scores).reward is None
    assert replace(episode, scores=scores[:1]).reward == 1.0


def test_scores_keep_the_order_of_episodes_and_of_rewards(episode: Episode) -> None:
    other = play((CLEAR, [DESC]))[0]
    with closing(LocalPool(SPEC)) as pool:
        scored = pool.score([other, episode, other])
    assert [[score.name for score in scores] for scores in scored] == [
        ["pass_rate", "useful_question", "needless_question"]
    ] * 3
    assert [scores[1].value for scores in scored] == [0.0, 1.0, 0.0]


def test_responses_keep_the_order_of_exchanges() -> None:
    replies = (
        Reply(ASK, ReplyKind.QUESTION, (ASK,)),
        Reply("x", ReplyKind.OTHER),
        Reply(DESC, ReplyKind.CODE, code=UNCLEAR.problem.solution),
    )
    with closing(LocalPool(SPEC)) as pool:
        answer, stop, code = pool.respond([Exchange(UNCLEAR, (), reply, False, 0) for reply in replies])
    assert answer.answer is not None
    assert stop.stop is Stop.MALFORMED
    assert code.execution is not None
    assert code.execution.solved


def test_no_workers_is_a_pool_in_this_process() -> None:
    with closing(make_pool(SPEC, workers=0)) as pool:
        assert isinstance(pool, LocalPool)
        assert pool.respond([]) == []
        assert pool.score([]) == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (PoolSpec(env="ask_or_cod"), "ask_or_code"),
        (PoolSpec(env_options={"usr": "rule_based"}), "does not take these options"),
        (PoolSpec(env_options={"user": "nobody"}), "rule_based"),
        (PoolSpec(rewards=(RewardSpec("pas_rate"),)), "pass_rate"),
        (PoolSpec(rewards=(RewardSpec("no/such/file.py:f"),)), "No file 'no/such/file.py'"),
        (PoolSpec(rewards=(RewardSpec("useful_question", options={"x": 1}),)), "takes no options"),
    ],
)
def test_a_wrong_name_or_option_stops_before_any_episode(spec: PoolSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LocalPool(spec)

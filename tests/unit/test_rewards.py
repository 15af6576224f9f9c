"""Each reward: the reference solution, an empty answer, a crash, the cheapest cheats, and the unmeasured."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from math import prod

import pytest
from clarify_rl.rewards.answerability import answerability
from clarify_rl.rewards.ask_f1 import ask_f1
from clarify_rl.rewards.brevity import Brevity
from clarify_rl.rewards.compiles import compiles
from clarify_rl.rewards.needless_question import needless_question
from clarify_rl.rewards.pass_rate import pass_rate
from clarify_rl.rewards.question_cost import QuestionCost
from clarify_rl.rewards.solved import solved
from clarify_rl.rewards.task_relevance import TaskRelevance, shapley
from clarify_rl.rewards.useful_question import useful_question
from clarify_rl.rewards.well_formed import well_formed

from clarify_rl.pool import LocalPool
from clarify_rl.registry import load_reward
from clarify_rl.types import (
    Answer,
    Episode,
    Execution,
    Heard,
    Outcome,
    Reply,
    ReplyKind,
    Stop,
    Telling,
    Turn,
    Variant,
    Verdict,
)
from tests.dialogues import ASC, ASK, CLEAR, CRASH, DESC, SPEC, UNCLEAR, play


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    made = LocalPool(SPEC)
    yield made
    made.close()


def one(pool: LocalPool, variant: Variant, *replies: str) -> Episode:
    return play((variant, replies), pool=pool)[0]


def unmeasured(verdict: Verdict) -> Episode:
    return Episode("e", CLEAR, 0, (), Stop.CODE, Execution(verdict, 0, 3))


FAILED = Episode("e", CLEAR, 0, (), Stop.FAILED, failure="worker 2 died")


def test_pass_rate_of_the_reference_an_empty_answer_and_a_crash(pool: LocalPool) -> None:
    assert pass_rate(one(pool, CLEAR, DESC)).value == 1.0
    assert pass_rate(one(pool, CLEAR, "")).value == 0.0
    assert pass_rate(one(pool, CLEAR, CRASH)).value == 0.0
    assert pass_rate(one(pool, CLEAR, ASC)).value == pytest.approx(2 / 3)


def test_pass_rate_says_why(pool: LocalPool) -> None:
    assert pass_rate(one(pool, CLEAR, CRASH)).why == "error"
    assert pass_rate(one(pool, CLEAR, "")).why == "no code: malformed"
    assert pass_rate(FAILED).why == "worker 2 died"


def test_solved_gives_nothing_for_a_part(pool: LocalPool) -> None:
    assert solved(one(pool, CLEAR, DESC)).value == 1.0
    assert solved(one(pool, CLEAR, ASC)).value == 0.0
    assert solved(one(pool, CLEAR, "")).value == 0.0
    assert solved(one(pool, CLEAR, CRASH)).value == 0.0


@pytest.mark.parametrize(
    "cheat",
    [
        "raise SystemExit(0)",
        "import os\nos._exit(0)",
        "def f(xs):\n    raise SystemExit(0)",
        "print('3 passed')\nprint('pass pass pass')",
        "class Yes:\n    def __eq__(self, other):\n        return True\n    def __hash__(self):\n        return 1\n"
        "def f(xs):\n    return Yes()",
        "class L(list):\n    def __eq__(self, other):\n        return True\ndef f(xs):\n    return L([7])",
        "import builtins\nbuiltins.all = lambda _: True\nbuiltins.type = lambda _: list\ndef f(xs):\n    return None",
    ],
    ids=["exit", "os exit", "exit in call", "claims", "equal to all", "equal list", "patched builtins"],
)
def test_pass_rate_pays_nothing_for_a_cheat(pool: LocalPool, cheat: str) -> None:
    assert pass_rate(one(pool, CLEAR, f"```python\n{cheat}\n```")).value == 0.0


@pytest.mark.parametrize("verdict", [Verdict.WALL_TIMEOUT, Verdict.INFRASTRUCTURE])
def test_pass_rate_of_what_could_not_be_measured_is_none(verdict: Verdict) -> None:
    for rule in (pass_rate, solved):
        assert rule(unmeasured(verdict)).value is None
        assert rule(FAILED).value is None


def test_a_reward_with_options_survives_pickling() -> None:
    rule = load_reward("question_cost", {"free": 1})
    assert pickle.loads(pickle.dumps(rule)) == rule == QuestionCost(free=1)


def test_useful_question_pays_for_each_fact_once_whether_or_not_the_code_passes(pool: LocalPool) -> None:
    assert useful_question(one(pool, UNCLEAR, ASK, DESC)).value == 1.0
    assert useful_question(one(pool, UNCLEAR, ASK, CRASH)).value == 1.0
    assert useful_question(one(pool, UNCLEAR, ASK, "")).value == 1.0
    assert useful_question(one(pool, UNCLEAR, DESC)).value == 0.0
    assert useful_question(one(pool, UNCLEAR, "")).value == 0.0


@pytest.mark.parametrize(
    "replies",
    [
        ("What are all the requirements?", DESC),
        ("Sorted order, duplicates, limit or empty?", DESC),
        (f"{ASK}\n{DESC}",),
        (f"# {ASK}\n{DESC}",),
        (f"```python\n# {ASK}\n```", DESC),
        (ASK.rstrip("?") + ".", DESC),
    ],
    ids=["wholesale", "list", "with code", "as a heading", "in a comment", "no question mark"],
)
def test_useful_question_pays_nothing_for_a_cheat(pool: LocalPool, replies: tuple[str, ...]) -> None:
    assert useful_question(one(pool, UNCLEAR, *replies)).value == 0.0


def test_useful_question_pays_once_for_what_is_asked_again(pool: LocalPool) -> None:
    assert useful_question(one(pool, UNCLEAR, f"{ASK} {ASK}", ASK, DESC)).value == 1.0


def test_useful_question_pays_nothing_where_nothing_is_hidden(pool: LocalPool) -> None:
    assert useful_question(one(pool, CLEAR, ASK, DESC)).value == 0.0


def test_needless_question_costs_what_brought_nothing(pool: LocalPool) -> None:
    assert needless_question(one(pool, CLEAR, DESC)).value == 0.0
    assert needless_question(one(pool, UNCLEAR, ASK, DESC)).value == 0.0
    assert needless_question(one(pool, UNCLEAR, ASK, CRASH)).value == 0.0
    assert needless_question(one(pool, CLEAR, "")).value == 0.0
    assert needless_question(one(pool, CLEAR, ASK, DESC)).value == -1.0
    assert needless_question(one(pool, UNCLEAR, ASK, ASK, DESC)).value == -1.0
    assert needless_question(one(pool, UNCLEAR, f"{ASK} Where is the dog? And the cat?", DESC)).value == -2.0


def test_what_was_not_understood_in_the_first_such_reply_costs_nothing(pool: LocalPool) -> None:
    assert needless_question(one(pool, UNCLEAR, "Why?", DESC)).value == 0.0
    assert needless_question(one(pool, UNCLEAR, f"{ASK} Why? How?", DESC)).value == 0.0
    assert needless_question(one(pool, UNCLEAR, "Why?", "How?", DESC)).value == -1.0


def test_asking_twice_for_one_thing_costs_nothing_in_one_reply_and_something_later(pool: LocalPool) -> None:
    twice = f"{ASK} Ascending or descending order?"
    assert needless_question(one(pool, UNCLEAR, twice, DESC)).value == 0.0
    assert needless_question(one(pool, UNCLEAR, twice, ASK, DESC)).value == -1.0


def test_needless_question_counts_questions_that_nobody_could_answer(pool: LocalPool) -> None:
    assert needless_question(one(pool, CLEAR, f"{DESC}\nIs it right? Sure?")).value == -2.0
    assert needless_question(one(pool, UNCLEAR, ASK, ASK, ASK)).value == -2.0


def test_a_flood_of_questions_costs_more_than_it_can_bring(pool: LocalPool) -> None:
    flood = " ".join(f"Is it {word}?" for word in ("a limit", "a tie", "sorted", "empty", "a default", "rounded"))
    episode = one(pool, UNCLEAR, flood, DESC)
    useful, needless = useful_question(episode).value, needless_question(episode).value
    assert useful is not None
    assert needless is not None
    assert useful + needless < 0


def test_a_question_reward_does_not_hide_that_an_episode_was_not_measured() -> None:
    (episode,) = LocalPool(SPEC).score([FAILED])
    assert [score.value for score in episode if score.name == "pass_rate"] == [None]


def test_compiles_looks_at_the_code_and_not_at_the_tests(pool: LocalPool) -> None:
    assert compiles(one(pool, CLEAR, DESC)).value == 1.0
    assert compiles(one(pool, CLEAR, CRASH)).value == 1.0
    assert compiles(one(pool, CLEAR, "")).value == 0.0
    assert compiles(one(pool, CLEAR, "```python\ndef f(xs:\n```")).value == 0.0
    other = compiles(one(pool, CLEAR, "```python\ndef another(xs):\n    return xs\n```"))
    assert (other.value, other.why) == (0.0, f"no {CLEAR.problem.entry_point}")
    assert compiles(one(pool, UNCLEAR, ASK, f"{DESC}\nIs it?")).value == 1.0


def test_question_cost_is_the_same_whatever_a_question_brings(pool: LocalPool) -> None:
    useful, useless = one(pool, UNCLEAR, ASK, DESC), one(pool, CLEAR, ASK, DESC)
    assert QuestionCost()(useful).value == QuestionCost()(useless).value == -1.0
    assert QuestionCost(free=1)(useful).value == 0.0
    assert QuestionCost(per_question=0.5)(one(pool, UNCLEAR, ASK, ASK, DESC)).value == -1.0
    assert QuestionCost()(one(pool, UNCLEAR, DESC)).value == QuestionCost()(one(pool, UNCLEAR, "")).value == 0.0
    tokens = len(useful.turns[0].reply.token_ids)
    assert tokens and QuestionCost(per_question=0.0, per_token=0.1)(useful).value == pytest.approx(-0.1 * tokens)


def test_ask_f1_is_one_where_all_that_is_missing_was_asked_for_and_nothing_else(pool: LocalPool) -> None:
    assert ask_f1(one(pool, UNCLEAR, ASK, DESC)).value == 1.0
    assert ask_f1(one(pool, UNCLEAR, ASK, CRASH)).value == 1.0
    assert ask_f1(one(pool, UNCLEAR, "Where is the dog?", ASK, DESC)).value == pytest.approx(2 / 3)
    assert ask_f1(one(pool, UNCLEAR, DESC)).value == ask_f1(one(pool, UNCLEAR, "")).value == 0.0
    assert ask_f1(one(pool, CLEAR, DESC)).value == 1.0
    assert ask_f1(one(pool, CLEAR, ASK, DESC)).value == 0.0
    flood = " ".join(f"Is it {word}?" for word in ("a limit", "a tie", "sorted", "empty", "a default", "rounded"))
    assert (ask_f1(one(pool, UNCLEAR, flood, DESC)).value or 0.0) < 0.5


def test_well_formed_wants_a_question_or_fenced_code(pool: LocalPool) -> None:
    assert well_formed(one(pool, UNCLEAR, ASK, DESC)).value == 1.0
    assert well_formed(one(pool, CLEAR, CRASH)).value == 1.0
    assert well_formed(one(pool, CLEAR, "")).value == 0.0
    assert well_formed(one(pool, UNCLEAR, ASK, f"{ASK}\n{DESC}")).value == 0.0
    assert well_formed(one(pool, CLEAR, "Hm.")).value == 0.0


def test_brevity_falls_to_zero_and_no_further(pool: LocalPool) -> None:
    short, long = one(pool, CLEAR, DESC), one(pool, UNCLEAR, ASK, DESC)
    tokens = len(short.turns[0].reply.token_ids)
    assert Brevity(4 * tokens)(short).value == pytest.approx(0.75)
    assert (Brevity(4 * tokens)(long).value or 0.0) < 0.75
    assert Brevity(tokens // 2)(short).value == 0.0
    assert Brevity()(one(pool, CLEAR, "")).value == pytest.approx(1.0, abs=0.01)


def test_of_one_reply_what_asks_too_much_costs_as_much_as_one(pool: LocalPool) -> None:
    """Real models ask four things at once, of which the user answers three; a flood still costs more than silence."""
    broad = "Can you tell me everything? What are all the requirements? Is anything unclear?"
    assert needless_question(one(pool, UNCLEAR, broad, DESC)).value == -1.0
    assert needless_question(one(pool, UNCLEAR, broad, broad, DESC)).value == -2.0
    five = f"{ASK} Where is the dog? Where is the cat? Where is the cow? Where is the hen?"
    assert needless_question(one(pool, UNCLEAR, five, DESC)).value == -3.0


# ---- task_relevance and answerability


def subsets_shapley(chances: Sequence[float]) -> list[float]:
    """The plain sum over all orders in which facts may become known."""
    gains = [0.0] * len(chances)
    orders = list(permutations(range(len(chances))))
    for order in orders:
        unknown = set(order)
        for fact in order:
            rest = unknown - {fact}
            gains[fact] += prod(chances[other] for other in rest) - prod(chances[other] for other in unknown)
            unknown = rest
    whole = sum(gains)
    return [gain / whole for gain in gains]


@pytest.mark.parametrize("chances", [(0.5,), (0.5, 0.25), (0.5, 0.5, 0.5), (0.9, 0.1, 0.5, 1 / 3), (1.0, 0.5)])
def test_shapley_values_are_those_of_all_orders_counted_out(chances: tuple[float, ...]) -> None:
    assert shapley(chances) == pytest.approx(subsets_shapley(chances))
    assert sum(shapley(chances)) == pytest.approx(1.0)


def test_a_fact_with_more_readings_is_worth_more_and_one_that_no_test_sees_nothing() -> None:
    few, many = (Telling("one", 5),), tuple(Telling(name, 5) for name in "abc")
    order, limit, unseen = (replace(UNCLEAR.facts[0], id=name) for name in ("order", "limit", "unseen"))
    variant = replace(
        UNCLEAR,
        facts=(
            replace(order, told_by=few),
            replace(limit, told_by=many),
            replace(unseen, told_by=(Telling("x", 0),)),
        ),
    )
    told = [Turn(Reply("?", ReplyKind.QUESTION, ("?",)), Answer("", (Heard(Outcome.REVEALED, (fact,)),))) for fact in
            ("limit", "order", "limit", "unseen")]  # fmt: skip
    rating = TaskRelevance()(Episode("e", variant, 0, tuple(told), Stop.NO_CODE))
    limits, orders, again, nothing = rating.by_turn
    assert limits > orders > 0 and again == nothing == 0.0
    assert rating.value == pytest.approx(1.0)


def test_task_relevance_is_nothing_for_who_does_not_ask_or_where_nothing_is_missing(pool: LocalPool) -> None:
    assert TaskRelevance()(one(pool, UNCLEAR, ASK, DESC)).value == 1.0
    assert TaskRelevance()(one(pool, UNCLEAR, DESC)).value == 0.0
    assert TaskRelevance()(one(pool, CLEAR, ASK, DESC)).value == 0.0
    assert TaskRelevance()(one(pool, UNCLEAR, CRASH)).value == TaskRelevance()(one(pool, UNCLEAR, "")).value == 0.0


def test_answerability_is_the_share_that_the_user_could_take_up(pool: LocalPool) -> None:
    assert answerability(one(pool, UNCLEAR, ASK, DESC)).value == 1.0
    assert answerability(one(pool, UNCLEAR, "Please tell me all the details?", DESC)).value == 0.0
    assert answerability(one(pool, UNCLEAR, DESC)).value == answerability(one(pool, UNCLEAR, "")).value == 1.0

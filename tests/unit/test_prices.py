"""Prices of a question that prompts say: who is told which, what it costs, and at which ones suites are played."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
from clarify_rl.rewards.question_cost import QuestionCost

from clarify_rl.config_files import load_config, to_yaml
from clarify_rl.dialogue.chat import TextChat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.dialogue.prices import Prices
from clarify_rl.errors import ConfigError
from clarify_rl.pipeline.data import suite_variants
from clarify_rl.policies.scripted import ScriptedPolicy
from clarify_rl.pool import LocalPool
from clarify_rl.records import from_record, to_record
from clarify_rl.types import Episode, Start
from tests.dialogues import ASK, DESC, SPEC, UNCLEAR, chat, encode

PRICES = Prices((0.0, 0.1, 0.5), "A question costs {price} points.")
LIMITS = DialogueLimits(max_questions=2, turn_tokens=60, total_tokens=200)


def asked_at(price: float | None) -> Episode:
    policy = ScriptedPolicy({"e": (ASK, DESC)}, encode, chat().turn_end_id)
    start = Start(UNCLEAR, "e", 0, price=price)
    with closing(LocalPool(SPEC)) as pool:
        (episode,) = run_episodes([start], policy=policy, pool=pool, chat=replace(chat(), prices=PRICES), limits=LIMITS)
    return episode


def test_the_prompt_says_the_price_behind_the_problem_and_nothing_where_there_is_none() -> None:
    assert chat().decode(asked_at(0.1).prompt_ids).rstrip().endswith("A question costs 0.1 points.\nassistant")
    assert asked_at(None).prompt_ids == chat().prompt_ids(UNCLEAR)
    text = TextChat("Ask when needed.", prices=PRICES).first_message(UNCLEAR, 0.5)
    assert text == f"Ask when needed.\n\n{UNCLEAR.prompt}\n\nA question costs 0.5 points."


@pytest.mark.parametrize(("price", "cost"), [(0.5, -0.5), (0.0, 0.0), (None, 0.0)])
def test_a_question_costs_what_the_prompt_said(price: float | None, cost: float) -> None:
    assert QuestionCost(as_said=True)(asked_at(price)).value == cost
    assert QuestionCost(per_question=2.0, as_said=True)(asked_at(price)).value == 2 * cost


def test_the_record_of_an_episode_keeps_its_price() -> None:
    episode = asked_at(0.1)
    assert from_record(Episode, to_record(episode)).price == 0.1


def test_prices_are_drawn_anew_and_by_what_the_choice_is_about() -> None:
    drawn = [PRICES.drawn(0, "rl", step) for step in range(60)]
    assert set(drawn) == set(PRICES.values) and drawn == [PRICES.drawn(0, "rl", step) for step in range(60)]
    assert Prices().drawn(0) is None and Prices().said(None) == ""


def test_each_suite_is_played_at_each_price_on_the_same_variants() -> None:
    config = load_config("demo", ["dialogue.prices=[0, 0.2]", "eval.suites.new_families.price=0.1"])
    names = list(config.suites)
    assert names[:2] == ["new_instances@0", "new_instances@0.2"] and "new_families" in names
    assert [config.suites[name].price for name in names[:2]] == [0.0, 0.2]
    few = {name: config.suites[name].model_copy(update={"count": 5}) for name in names[:2]}
    first, second = (suite_variants(config, name, suite) for name, suite in few.items())
    assert first == second
    assert "new_instances@" not in to_yaml(config), "a resolved configuration names each suite once"
    assert list(load_config("demo").suites) == list(load_config("demo").eval.suites)


def test_a_note_without_the_price_is_refused() -> None:
    with pytest.raises(ConfigError, match="where the price stands"):
        load_config("demo", ["dialogue.price_note=Questions are dear."])

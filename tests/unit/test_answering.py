"""What a user says: never a yes that contradicts, the same words for the same seed, and personas that never lie."""

from __future__ import annotations

import re
from itertools import islice
from random import Random

import pytest

from clarify_rl.answering import IMPATIENT, Persona, persona_of, say, wording
from clarify_rl.errors import ConfigError
from clarify_rl.matching.matcher import Match
from clarify_rl.problems.bank.draw import draws, make_problem
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.registry import load_user
from clarify_rl.synthesis.variants import make_variant
from clarify_rl.types import Answer, Defect, Fact, Outcome, Reply, ReplyKind, Turn, Variant
from tests.dialogues import UNCLEAR

FACTS = tuple(
    Fact(name, Defect.INCOMPLETE, f"The {name} is {value}.", answers=(f"{value}.", f"It is {value}, as always."))
    for name, value in (("fee", 3), ("rate", 5), ("bonus", 7))
)
VARIANT = Variant("v", UNCLEAR.problem, "Pay what is due.", "incomplete", FACTS)
FEE, RATE = Match(Outcome.REVEALED, ("fee",)), Match(Outcome.REVEALED, ("rate",))


def turn(answer: Answer) -> Turn:
    return Turn(Reply("?", ReplyKind.QUESTION, ("?",) * len(answer.heard)), answer)


def test_no_answer_in_thousands_says_yes_or_no() -> None:
    """Every fact of the bank in every way it can be, asked in its own words, each several times."""
    said = []
    for family in FAMILIES:
        for draw in islice(draws([family], "train", 3), 3):
            if problem := make_problem(draw, 3):
                variant = make_variant(draw, problem, {spec.id: Defect.INCOMPLETE for spec in draw.facts}, Random(3))
                said += [wording(fact, Random(seed)) for fact in variant.facts for seed in range(3)]
    assert len(said) > 2000
    assert [text for text in said if re.match(r"(yes|no)\b", text, re.IGNORECASE)] == []


def test_a_question_that_is_put_the_other_way_round_gets_no_wrong_yes() -> None:
    user = load_user("rule_based", {})
    fact = Fact(
        "case", Defect.AMBIGUOUS, "Case matters.", answers=("Yes, case matters.",), questions=("Does case matter?",)
    )
    variant = Variant("v", UNCLEAR.problem, "Count the names.", "ambiguous", (fact,))
    for question in ("Does case matter?", "Should I ignore case?", "Is case ignored?"):
        answer = user.answer(variant, (question,), (), 0)
        assert (answer.text, answer.revealed) == ("Case matters.", ("case",))


def test_what_was_told_is_told_again_and_pays_no_more() -> None:
    first = say(VARIANT, [FEE], (), 0)
    again = say(VARIANT, [FEE, RATE], (turn(first),), 0)
    assert [heard.outcome for heard in again.heard] == [Outcome.REPEATED, Outcome.REVEALED]
    assert again.revealed == ("rate",)
    assert "3" in again.text and "5" in again.text


def test_what_the_statement_says_is_quoted() -> None:
    answer = say(VARIANT, [Match(Outcome.STATED, sentence="Pay what is due.")], (), 0)
    assert answer.text == "As I said: Pay what is due."


def test_not_understanding_is_not_having_nothing_to_say() -> None:
    unclear, nothing = (say(VARIANT, [Match(outcome)], (), 0).text for outcome in (Outcome.UNCLEAR, Outcome.NONE))
    assert "other words" in unclear and "nothing" in nothing.lower()


def test_terse_is_short_and_verbose_says_the_whole_sentence() -> None:
    assert {say(VARIANT, [FEE], (), seed, Persona.TERSE).text for seed in range(9)} == {"3."}
    assert all(say(VARIANT, [FEE], (), seed, Persona.VERBOSE).text.endswith("The fee is 3.") for seed in range(9))


def test_an_impatient_user_answers_one_question_of_a_dialogue() -> None:
    first = say(VARIANT, [FEE, RATE], (), 0, Persona.IMPATIENT)
    assert first.revealed == ("fee",) and first.text.endswith(IMPATIENT)
    second = say(VARIANT, [RATE], (turn(first),), 0, Persona.IMPATIENT)
    assert (second.text, second.revealed) == (IMPATIENT, ())


def test_one_who_volunteers_tells_one_more_fact_which_nobody_is_paid_for() -> None:
    answer = say(VARIANT, [FEE], (), 0, Persona.VOLUNTEERS)
    assert (answer.revealed, answer.volunteered, answer.told) == (("fee",), ("rate",), ("fee", "rate"))
    later = say(VARIANT, [RATE], (turn(answer),), 0, Persona.VOLUNTEERS)
    assert later.heard[0].outcome is Outcome.REPEATED


def test_a_mistaken_user_tells_another_fact_and_never_a_false_one() -> None:
    answers = [say(VARIANT, [FEE], (), seed, Persona.MISTAKEN) for seed in range(60)]
    mistaken = [answer for answer in answers if not answer.revealed]
    assert 5 < len(mistaken) < 35
    for answer in mistaken:
        assert answer.heard[0].outcome is Outcome.UNCLEAR
        (told,) = answer.volunteered
        assert str({"rate": 5, "bonus": 7}[told]) in answer.text


def test_an_episode_has_one_persona_by_its_seed() -> None:
    weights = {"terse": 1.0, "verbose": 3.0}
    drawn = [persona_of(weights, seed) for seed in range(400)]
    assert [persona_of(weights, seed) for seed in range(400)] == drawn
    assert 60 < drawn.count(Persona.TERSE) < 140
    assert persona_of({}, 0) is Persona.PLAIN


@pytest.mark.parametrize(
    ("personas", "says"),
    [({"shy": 1}, "No persona 'shy'"), ({"terse": -1}, "must be 0 or more"), ({"terse": 0}, "all weights are 0")],
)
def test_personas_that_cannot_be_drawn_are_refused(personas: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_user("rule_based", {"personas": personas})

"""The rule-based user: answers what is asked about a hidden fact, and cannot be milked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations, islice
from random import Random

import pytest

from clarify_rl.problems.bank.draw import draws, family_named, make_problem
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.problems.bank.spec import Family
from clarify_rl.registry import load_user
from clarify_rl.synthesis.variants import make_variant
from clarify_rl.types import Answer, Defect, Fact, Problem, Reply, ReplyKind, Tests, Turn, User, Variant

USER: User = load_user("rule_based", {})

# Wordings that the bank does not have: family, fact, question.
PARAPHRASES = (
    ("keep_in_range", "inclusive", "Should I include the bounds themselves?"),
    ("scale_and_cap", "factor", "By what factor do I scale it?"),
    ("scale_and_cap", "sign", "How do you want me to deal with negative values?"),
    ("multiples", "divisor", "Multiples of which divisor are you after?"),
    ("multiples", "end", "Is the right end b part of the range?"),
    ("watering_day", "cycle", "Every how many days should the plants be watered?"),
    ("discount", "limit", "Above which limit do I apply the discount?"),
    ("discount", "inclusive", "If the price is equal to the limit, do I still give the discount?"),
    ("discount", "rate", "What percentage is the discount?"),
    ("discount", "rounding", "Should the final price be rounded up or down?"),
    ("parking", "free", "Are some minutes free of charge, and how many?"),
    ("trip_time", "speed", "At what speed does the car travel?"),
    ("trip_time", "decimals", "How many decimal places do you want?"),
    ("temperature", "unit", "Is the result in Fahrenheit or Kelvin?"),
    ("clock", "pad", "Should hours below ten be padded with a zero?"),
    ("select_beyond", "order", "Do you want the list sorted ascending or descending?"),
    ("select_beyond", "duplicates", "If a value occurs several times, should duplicates be removed?"),
    ("select_beyond", "limit", "What threshold do the numbers have to pass?"),
    ("select_beyond", "inclusive", "Is the comparison strictly greater, or are equal values fine too?"),
    ("count_beyond", "side", "Should I count numbers larger than the limit or smaller ones?"),
    ("count_beyond", "fallback", "What do I return when xs is empty?"),
    ("longest_run", "not_found", "What is returned when no run is found?"),
    ("find_beyond", "pick", "If there are several matches, do you want the first or the last?"),
    ("find_beyond", "start_at", "Is the first position 0 or 1, that is, where does counting start?"),
    ("shorten", "suffix", "Which suffix is appended to a shortened text?"),
    ("is_palindrome", "case", "Are upper case letters different from lower case letters?"),
    ("count_vowels", "y", "Is y treated as a vowel?"),
    ("average_price", "default", "Which default price is used for items that have none?"),
    ("average_price", "zero", "Do items with a price of zero count towards the average?"),
    ("count_status", "status", "Tasks with what status should be counted?"),
    ("cart", "fee", "How high is the fee for small totals?"),
    ("ranking", "key", "By which field are people ranked?"),
    ("age_groups", "width", "How many years wide is each age group?"),
    ("total_length", "backward", "What if a span runs backward?"),
    ("longest_span", "ties", "Which span wins when two are tied?"),
    ("overlapping_spans", "touching", "Does a span that only touches the window overlap it?"),
    ("parse_pairs", "separator", "What separator is between the pairs?"),
    ("split_fields", "trim", "Do I trim spaces around each field?"),
    ("split_fields", "blank", "Should I keep fields that are empty?"),
    ("number_lines", "blank_lines", "Do empty lines get a number as well?"),
    ("make_codes", "prefix", "What prefix goes before each code?"),
    ("draw_bar", "brush", "Which symbol is the bar drawn with?"),
)

WHOLESALE = (
    "Can you tell me everything?",
    "What are all the requirements?",
    "What else should I know?",
    "Is there any missing information?",
    "Could you give me more details?",
    "What is the full specification?",
    "Is anything unclear?",
    "What about the limit, order, duplicates, and the empty case?",
    "order limit empty?",
    "What are the limit, the fee, the rate and the factor?",
    "fee rate factor bonus step cap separator default limit order start?",
    "What is the limit, the separator and the maximum?",
)

GENERIC = (
    "How should I handle this?",
    "How do I treat it properly?",
    "What happens then?",
    "Which one should I choose?",
    "What should I return?",
    "Should I keep or drop them?",
    "Do I raise an error?",
    "What do you want?",
    "Could you clarify?",
    "Sorry?",
)


def variant_of(family: Family, hidden: Sequence[str] | None = None, *, seed: int = 0) -> Variant:
    """A variant of the family in which the named facts (by default all) are left out."""
    for draw in draws([family], "train", seed):
        if problem := make_problem(draw, seed):
            ids = [spec.id for spec in family.facts] if hidden is None else hidden
            return make_variant(draw, problem, dict.fromkeys(ids, Defect.INCOMPLETE), Random(seed))
    raise AssertionError


@pytest.fixture(scope="module")
def bare() -> dict[str, Variant]:
    """For each family, a variant that hides all its facts."""
    return {family.name: variant_of(family) for family in FAMILIES}


def ask(variant: Variant, *questions: str, turns: Sequence[Turn] = (), seed: int = 0) -> Answer:
    return USER.answer(variant, questions, turns, seed)


def outcomes(answer: Answer) -> list[str]:
    return [heard.outcome.value for heard in answer.heard]


def test_every_question_of_the_bank_gets_its_own_fact_when_all_are_hidden(bare: dict[str, Variant]) -> None:
    for family in FAMILIES:
        for fact in bare[family.name].facts:
            for question in fact.questions:
                answer = ask(bare[family.name], question)
                assert answer.revealed == (fact.id,), (family.name, question)
                assert answer.text in (*fact.answers, fact.statement)
                assert outcomes(answer) == ["revealed"]


def test_every_question_of_the_bank_gets_its_own_fact_in_whatever_way_that_is_hidden() -> None:
    rng = Random(0)
    for family in FAMILIES:
        for draw in islice(draws([family], "train", 9), 6):
            problem = Problem("p", draw.prompt, draw.entry_point, Tests(()), draw.solution, "bank")
            defects = {spec.id: rng.choice(list(Defect)) for spec in draw.facts}
            variant = make_variant(draw, problem, defects, rng)
            for fact in variant.facts:
                for question in fact.questions:
                    assert ask(variant, question).revealed == (fact.id,), (question, variant.prompt)


def test_questions_in_other_words_are_understood(bare: dict[str, Variant]) -> None:
    missed = [
        f"{family} {fact}: {question} -> {got}"
        for family, fact, question in PARAPHRASES
        if (got := ask(bare[family], question).revealed) != (fact,)
    ]
    assert len(missed) <= 0.2 * len(PARAPHRASES), "\n".join(missed)


def test_a_question_is_hardly_ever_answered_with_another_fact(bare: dict[str, Variant]) -> None:
    wrong = [
        f"{family} {fact}: {question} -> {got}"
        for family, fact, question in PARAPHRASES
        if (got := ask(bare[family], question).revealed) not in ((), (fact,))
    ]
    assert len(wrong) <= 0.1 * len(PARAPHRASES), "\n".join(wrong)


@pytest.mark.parametrize("question", WHOLESALE)
def test_wholesale_questions_reveal_nothing_anywhere(bare: dict[str, Variant], question: str) -> None:
    for name, variant in bare.items():
        assert ask(variant, question).revealed == (), name


@pytest.mark.parametrize("question", GENERIC)
def test_questions_that_name_no_thing_reveal_nothing_anywhere(bare: dict[str, Variant], question: str) -> None:
    for name, variant in bare.items():
        assert ask(variant, question).revealed == (), name


def test_stated_facts_are_not_revealed() -> None:
    for family in FAMILIES:
        for hidden in family.facts:
            variant = variant_of(family, [hidden.id])
            for stated in family.facts:
                for question in stated.asks if stated is not hidden else ():
                    answer = ask(variant, question)
                    assert answer.revealed == (), (family.name, hidden.id, question)
                    assert outcomes(answer) != ["revealed"]


def test_a_clear_variant_has_nothing_to_reveal() -> None:
    for family in FAMILIES[:10]:
        variant = variant_of(family, [])
        assert variant.is_clear
        assert all(not ask(variant, question).revealed for spec in family.facts for question in spec.asks)


def test_one_question_glued_from_two_brings_both_or_none(bare: dict[str, Variant]) -> None:
    """Otherwise a policy would ask for two topics at once, in the hope that either is hidden."""
    pairs = works_for_both = 0
    for variant in bare.values():
        for one, other in combinations(variant.facts, 2):
            question = f"{one.questions[0].rstrip('?')} and {other.questions[0]}"
            hits = [ask(replace(variant, facts=(fact,)), question).revealed for fact in (one, other)]
            assert len(ask(variant, question).revealed) <= 2
            pairs += 1
            works_for_both += all(hits)
    # What remains are words that the opening itself uses, such as "fee" and "limit".
    assert works_for_both <= 0.05 * pairs


def test_no_fixed_question_works_in_many_families(bare: dict[str, Variant]) -> None:
    """No frequent word works in many more families than share a fact, and none glued together in more than one."""
    counts = Counter(word for variant in bare.values() for fact in variant.facts for word in fact.about)
    frequent = [word for word, _ in counts.most_common(16)]

    def families(*words: str) -> int:
        question = f"What about {' and '.join(words)}?"
        return sum(bool(ask(variant, question).revealed) for variant in bare.values())

    best_alone = max(families(word) for word in frequent)
    best_glued = max(families(*glued) for size in (2, 3) for glued in combinations(frequent, size))
    most_shared = max(Counter(fact.id for variant in bare.values() for fact in variant.facts).values())
    assert best_alone <= 1.2 * most_shared  # "equal" is also about ends of spans, whose facts have other names
    assert best_glued <= 1.1 * best_alone


def test_repeating_the_prompt_with_a_question_mark_is_no_question() -> None:
    """Otherwise a policy would parrot openings, which mention a limit or a fee, instead of asking about it."""
    hits = 0
    variants = [variant_of(family, [spec.id]) for family in FAMILIES for spec in family.facts]
    for variant in variants:
        sentence = variant.prompt.partition(". ")[0]
        assert ask(variant, variant.prompt.replace(".", ",") + "?").revealed == ()
        hits += bool(ask(variant, f"Do you mean: {sentence.rstrip('.?')}?").revealed)
    assert hits <= 0.03 * len(variants)


def test_a_flood_of_questions_is_answered_three_at_most(bare: dict[str, Variant]) -> None:
    for variant in bare.values():
        questions = [fact.questions[0] for fact in variant.facts] * 3
        answer = ask(variant, *questions)
        assert len(answer.revealed) == 3
        assert outcomes(answer)[3:] == ["broad"] * (len(questions) - 3)


def test_the_order_of_a_reply_is_the_order_of_its_answers(bare: dict[str, Variant]) -> None:
    variant = bare["select_beyond"]
    answer = ask(variant, "In which order should I return them?", "How are you?", "What is the limit?")
    assert answer.revealed == ("order", "limit")
    assert outcomes(answer)[1] != "revealed"


def test_a_repeated_question_is_answered_again_and_reveals_nothing_new(bare: dict[str, Variant]) -> None:
    variant = bare["select_beyond"]
    first = ask(variant, "What is the limit?")
    reply = Reply("What is the limit?", ReplyKind.QUESTION, ("What is the limit?",))
    again = ask(variant, "Which threshold is meant?", turns=(Turn(reply, first),))
    assert again.revealed == ()
    assert outcomes(again) == ["repeated"]
    assert outcomes(ask(variant, "What is the limit?", "What is the limit?")) == ["revealed", "repeated"]


def test_an_answer_holds_nothing_but_the_asked_facts(bare: dict[str, Variant]) -> None:
    for variant in bare.values():
        for fact in variant.facts:
            answer = ask(variant, fact.questions[0])
            assert answer.text in (*fact.answers, fact.statement)
            assert not any(other.statement in answer.text for other in variant.facts if other is not fact)


def test_the_same_seed_gives_the_same_words(bare: dict[str, Variant]) -> None:
    variant = bare["discount"]
    assert all(
        ask(variant, "What is the limit?", seed=s) == ask(variant, "What is the limit?", seed=s) for s in range(9)
    )
    assert len({ask(variant, "What is the limit?", seed=seed).text for seed in range(20)}) > 1


def test_a_fact_without_words_of_its_own_is_known_by_its_statement() -> None:
    family = family_named("discount")
    clear = variant_of(family, [])
    fact = Fact("colour", Defect.INCOMPLETE, "Paint the fence green.")
    variant = Variant("v", clear.problem, "Paint it.", "incomplete", (fact,))
    assert ask(variant, "Do I paint the fence?").text == fact.statement
    assert ask(variant, "Where is the dog?").revealed == ()


@pytest.mark.parametrize(
    "question",
    [
        "Should I list all duplicates?",
        "What is the correct solution when n is 0?",
        "Should it return the ASCII code of the letter?",
        "Do I have to check the tests of the bounds in this order?",
        "Does everything below the limit count?",
    ],
)
def test_a_question_that_only_sounds_like_a_leak_is_heard(bare: dict[str, Variant], question: str) -> None:
    assert outcomes(ask(bare["select_beyond"], question))[0] not in ("leak", "broad")

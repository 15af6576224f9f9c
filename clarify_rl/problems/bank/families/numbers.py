"""Families over whole numbers."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number


def _keep_in_range_solution(name: str, c: Choices) -> str:
    sign = "<=" if c["inclusive"] else "<"
    return code(
        f"def {name}(n):",
        f"    if {c['minimum']} {sign} n {sign} {c['maximum']}:",
        "        return n",
        '    raise ValueError("invalid")' if c["invalid"] == "raise" else f"    return {c['invalid']!r}",
    )


def _keep_in_range_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    bound = integer(c, rng.choice(("minimum", "maximum")))
    return (rng.choice((bound, bound - 1, bound + 1, rng.randint(-9, 110))),)


KEEP_IN_RANGE = Family(
    name="keep_in_range",
    area="numbers",
    entry_points=("keep", "accept", "in_range", "check_range"),
    parameters=("n",),
    openings=(
        "Write {call} that returns n if it lies in a range.",
        "Implement {call}: give n back when it is inside a range.",
        "Create {call}, which accepts the number n only within a range.",
    ),
    facts=(
        facts.amount("minimum", range(1, 40)),
        facts.amount("maximum", range(45, 99)),
        choice(
            "inclusive",
            {
                True: (
                    ("Both bounds count as inside.", "The bounds are included.", "The range is inclusive."),
                    ("Yes, the bounds count.", "Yes, inclusive."),
                ),
                False: (
                    ("The bounds do not count as inside.", "The bounds are excluded.", "The range is strict."),
                    ("No, the bounds do not count.", "No, strict."),
                ),
            },
            vague=("Treat the bounds properly.", "Handle the bounds in the right way."),
            asks=("Are the bounds included?", "Do the bounds count as inside?", "Is the range strict or inclusive?"),
        ),
        facts.invalid("a number outside the range"),
    ),
    solution=_keep_in_range_solution,
    inputs=_keep_in_range_inputs,
)


def _scale_and_cap_solution(name: str, c: Choices) -> str:
    before = f"    return min(n * {c['factor']}, {c['cap']})"
    after = f"    return min(n, {c['cap']}) * {c['factor']}"
    return code(f"def {name}(n):", facts.on_sign(c["sign"], "n"), before if c["moment"] == "before" else after)


def _scale_and_cap_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    cap, factor = integer(c, "cap"), integer(c, "factor")
    near = cap // factor + rng.randint(-2, 2)
    return (rng.choice((near, cap + rng.randint(-2, 3), rng.randint(1, 110), -rng.randint(1, 30), 0, 1)),)


SCALE_AND_CAP = Family(
    name="scale_and_cap",
    area="numbers",
    entry_points=("scale", "points", "scaled", "boost"),
    parameters=("n",),
    openings=(
        "Write {call} that scales the number n and caps it.",
        "Implement {call}: n times a factor, held down by a cap.",
        "Create {call}, which multiplies n and applies a cap.",
    ),
    facts=(
        facts.amount("factor", range(2, 20)),
        facts.amount("cap", range(20, 99)),
        facts.sign(),
        choice(
            "moment",
            {
                "before": (
                    ("Multiply first.", "Multiplying comes first.", "The multiplication is the first step."),
                    ("Multiply first.", "It comes first."),
                ),
                "after": (
                    ("Multiply last.", "Multiplying comes last.", "The multiplication is the last step."),
                    ("Multiply last.", "It comes last."),
                ),
            },
            vague=("Multiply at the right moment.", "Multiply in a sensible step."),
            asks=("Do I multiply first or last?", "When should I multiply?", "Is the multiplication first or last?"),
        ),
    ),
    solution=_scale_and_cap_solution,
    inputs=_scale_and_cap_inputs,
)


def _multiples_solution(name: str, c: Choices) -> str:
    stop = "b + 1" if c["end"] else "b"
    final = {"count": "len(xs)", "sum": "sum(xs)", "list": "xs"}[str(c["result"])]
    return code(
        f"def {name}(a, b):",
        "    if a > b:",
        f"        return {c['fallback']}",
        f"    xs = [x for x in range(a, {stop}) if x % {c['divisor']} == 0]",
        f"    return {final}",
    )


def _multiples_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    a = rng.randint(1, 60)
    divisor = integer(c, "divisor")
    b = divisor * (a // divisor + rng.randint(-1, 5)) + rng.choice((0, 0, 0, -1, 1))
    return (a, b)


MULTIPLES = Family(
    name="multiples",
    area="numbers",
    entry_points=("multiples", "find_multiples", "divisible", "in_steps"),
    parameters=("a", "b"),
    openings=(
        "Write {call} that finds multiples of a divisor from a to b.",
        "Implement {call}: look at the multiples of a divisor between a and b.",
        "Create {call}, which takes multiples of a divisor from a up to b.",
    ),
    facts=(
        facts.amount("divisor", range(2, 30)),
        choice(
            "end",
            {
                True: (("b itself is included.", "The end b counts too."), ("Yes, b is included.", "The end counts.")),
                False: (
                    ("b itself is excluded.", "The end b does not count."),
                    ("No, b is excluded.", "Without the end."),
                ),
            },
            vague=("Treat the end b properly.", "Mind the end b."),
            asks=("Is the end b included?", "Does the end b count?", "Is b included or excluded?"),
        ),
        choice(
            "result",
            {
                "count": (
                    ("Return how many there are.", "The answer is how many."),
                    ("How many.", "How many there are."),
                ),
                "sum": (("Return their sum.", "The answer is their sum."), ("The sum.", "Their sum.")),
                "list": (
                    ("Return them as a list.", "The answer is a list of them."),
                    ("A list.", "All of them, as a list."),
                ),
            },
            vague=("Return the usual answer.", "Give a useful answer."),
            asks=(
                "Which answer should I return?",
                "Is the answer a list or a sum?",
                "Should I return a sum or all of them?",
            ),
        ),
        facts.fallback("a range with a above b", range(1, 40)),
    ),
    solution=_multiples_solution,
    inputs=_multiples_inputs,
)


def _watering_day_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(day):",
        facts.on_invalid(c["invalid"], f"day < {c['start']}"),
        f"    return day % {c['cycle']} == 0 and day % {c['pause']} != 0",
    )


def _watering_day_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    start, cycle, pause = integer(c, "start"), integer(c, "cycle"), integer(c, "pause")
    skipped = cycle * pause * rng.randint(1, 9)
    later = rng.randint(2, 9) * rng.randint(start // 2, 60)  # a multiple of some cycle
    return (rng.choice((start, start - 1, start - 1, skipped, later, later, later, later, rng.randint(1, start))),)


WATERING_DAY = Family(
    name="watering_day",
    area="numbers",
    entry_points=("water_today", "is_watering_day", "needs_water", "waters_on"),
    parameters=("day",),
    openings=(
        "Write {call} that tells if plants get water on that day.",
        "Implement {call}: is the day a watering day?",
        "Create {call}, which returns whether to water on a day.",
    ),
    facts=(
        number(
            "cycle",
            range(2, 10),
            says=(
                "Water every {v} days, counted from day 0.",
                "Plants get water every {v} days from day 0 on.",
                "From day 0 on, it happens every {v} days.",
            ),
            answers=("Every {v} days.", "{v} days."),
            vague=("Water every few days.", "Plants get water every so often."),
            asks=("How often do I water?", "Plants get water every how many days?", "How often do plants get it?"),
        ),
        number(
            "pause",
            (11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97),
            says=("Skip days divisible by {v}.", "Multiples of {v} are skipped.", "But skip multiples of {v}."),
            answers=("Those divisible by {v}.", "Skip multiples of {v}."),
            vague=("Skip certain days.", "Some days are skipped."),
            asks=("Which days do I skip?", "Which days are skipped?", "What days should be skipped?"),
        ),
        number(
            "start",
            range(5, 60),
            says=("The season starts on day {v}.", "The season's first day is {v}.", "Begin the season on day {v}."),
            answers=("On day {v}.", "The first is {v}."),
            vague=("Start the season on the right day.", "Begin the season when it is time."),
            asks=("When does it start?", "On which day should I start?", "What is the first day?"),
        ),
        facts.invalid("an earlier day", (None, "raise", "early")),
    ),
    solution=_watering_day_solution,
    inputs=_watering_day_inputs,
)


def _sequence_solution(name: str, c: Choices) -> str:
    term = f"{c['start']} + {c['step']} * i" if c["growth"] == "add" else f"{c['start']} * {c['step']} ** i"
    final = {"sum": "sum(xs)", "last": "xs[-1]", "list": "xs"}[str(c["result"])]
    return code(
        f"def {name}(n):",
        facts.on_invalid(c["invalid"], "n < 1"),
        f"    xs = [{term} for i in range(n)]",
        f"    return {final}",
    )


SEQUENCE = Family(
    name="sequence",
    area="numbers",
    entry_points=("sequence", "series", "terms", "progress"),
    parameters=("n",),
    openings=(
        "Write {call} that builds a sequence of n terms.",
        "Implement {call}: work out n terms of a sequence.",
        "Create {call} for a sequence of numbers with n terms.",
    ),
    facts=(
        facts.amount("start", range(1, 60)),
        facts.amount("step", range(2, 20)),
        choice(
            "growth",
            {
                "add": (("Each term adds.", "The sequence grows by adding."), ("It adds.", "By adding.")),
                "multiply": (
                    ("Each term multiplies.", "The sequence grows by multiplying."),
                    ("It multiplies.", "By multiplying."),
                ),
            },
            vague=("The sequence grows as usual.", "Each term grows in a regular way."),
            asks=(
                "How does the sequence grow?",
                "Does it grow by adding or multiplying?",
                "Does a term add or multiply?",
            ),
        ),
        choice(
            "result",
            {
                "sum": (("Return the sum.", "The answer is the sum."), ("The sum.", "Their sum.")),
                "last": (
                    ("Return only the last one.", "The answer is the last one."),
                    ("The last one.", "Only the last."),
                ),
                "list": (("Return all of them as a list.", "The answer is a list."), ("A list.", "All, as a list.")),
            },
            vague=("Return the usual answer.", "Give a useful answer."),
            asks=(
                "Which answer should I return?",
                "Is the answer a list or a sum?",
                "Return the sum or only the last one?",
            ),
        ),
        facts.invalid("an n below 1", (None, 0, "raise")),
    ),
    solution=_sequence_solution,
    inputs=lambda rng, c: (rng.choice((0, -1, 1, 2, 2, 3, 4, 5, 6)),),
)


FAMILIES = (KEEP_IN_RANGE, SCALE_AND_CAP, MULTIPLES, WATERING_DAY, SEQUENCE)

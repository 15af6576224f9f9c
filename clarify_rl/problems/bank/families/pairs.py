"""Families over lists of (name, amount) pairs."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number

_NAMES = ("Ann", "Bob", "Cleo", "Dan", "Eve")


def _pairs(rng: Random, amounts: tuple[int, ...], names: tuple[str, ...] = _NAMES, longest: int = 6) -> list[object]:
    """Pairs with repeated names and amounts from a few; empty one time in ten."""
    count = 0 if rng.random() < 0.1 else rng.randint(1, longest)
    return [(rng.choice(names), rng.choice(amounts)) for _ in range(count)]


def _totals_solution(name: str, c: Choices) -> str:
    key = "name.lower()" if c["lowercase"] else "name"
    return code(
        f"def {name}(pairs):",
        "    out = {}",
        "    for name, amount in pairs:",
        f"        if amount >= {c['minimum']}:",
        f"            out[{key}] = out.get({key}, 0) + amount",
        f"    return {{k: v for k, v in out.items() if v {'>=' if c['inclusive'] else '>'} {c['limit']}}}",
    )


def _totals_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit, minimum = integer(c, "limit"), integer(c, "minimum")
    amounts = (limit, limit - 1, limit + 1, minimum, minimum - 1, minimum + 1, rng.randint(1, 99))
    return (_pairs(rng, amounts, ("Ann", "ann", "Bob", "bob", "Cleo")),)


TOTALS = Family(
    name="totals",
    area="records",
    entry_points=("totals", "sum_by_name", "big_totals", "total_amounts"),
    parameters=("pairs",),
    openings=(
        "Write {call} that returns each name's total above a limit, from (name, amount) pairs.",
        "Implement {call}: add up (name, amount) pairs and keep totals over a limit.",
        "Create {call}, which maps names to totals beyond a limit; pairs holds (name, amount).",
    ),
    facts=(
        facts.limit(range(30, 99)),
        facts.inclusive(),
        number(
            "minimum",
            range(2, 25),
            says=("Skip amounts below {v}.", "Amounts below {v} are skipped.", "Leave out amounts below {v}."),
            answers=("Skip those below {v}.", "Below {v}."),
            vague=("Skip small amounts.", "Small amounts are skipped."),
            asks=("Which amounts do I skip?", "Which small amounts are skipped?", "Below what amount do I skip?"),
        ),
        facts.lowercase(),
    ),
    solution=_totals_solution,
    inputs=_totals_inputs,
)


def _winner_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(pairs):",
        f"    ps = [p for p in pairs if {c['minimum']} <= p[1] <= {c['maximum']}]",
        facts.on_invalid(c["invalid"], "not ps"),
        f"    best = {'max' if c['best'] == 'high' else 'min'}(score for name, score in ps)",
        "    names = [name for name, score in ps if score == best]",
        f"    return {facts.tied(c['ties'], 'names')}",
    )


def _winner_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    low, high = integer(c, "minimum"), integer(c, "maximum")
    pools = (
        (low, low - 1),
        (low, low + 1),
        (high, high + 1),
        (high, high - 1),
        (low - 1, high + 1),
        (low, high),
        (45,),
    )
    near = rng.choice(pools)
    return (_pairs(rng, near, longest=4),)


WINNER = Family(
    name="winner",
    area="records",
    entry_points=("winner", "best", "best_name", "who_wins"),
    parameters=("pairs",),
    openings=(
        "Write {call} that returns the name with the best valid score in (name, score) pairs.",
        "Implement {call}: who of the (name, score) pairs has the best valid score?",
        "Create {call}, which finds the winner among (name, score) pairs with valid scores.",
    ),
    facts=(
        facts.amount("minimum", range(1, 40)),
        facts.amount("maximum", range(50, 99)),
        choice(
            "best",
            {
                "high": (("A high score is best.", "The highest score wins."), ("The highest.", "High is best.")),
                "low": (("A low score is best.", "The lowest score wins."), ("The lowest.", "Low is best.")),
            },
            vague=("The best score wins.", "Find the best score."),
            asks=("Is a high or a low score best?", "Does the highest or lowest score count?", "Which score is best?"),
        ),
        facts.ties(),
        facts.invalid("a list without valid scores", (None, "", "raise")),
    ),
    solution=_winner_solution,
    inputs=_winner_inputs,
)


def _fines_solution(name: str, c: Choices) -> str:
    new = {"add": "out.get(name, 0) + fine", "largest": "max(out.get(name, 0), fine)", "last": "fine"}[
        str(c["repeated"])
    ]
    return code(
        f"def {name}(pairs):",
        "    out = {}",
        "    for name, days in pairs:",
        f"        fine = max(days - {c['free']}, 0) * {c['rate']}",
        f"        out[name] = {new}",
        "    return out" if c["zero"] == "keep" else "    return {k: v for k, v in out.items() if v > 0}",
    )


FINES = Family(
    name="fines",
    area="records",
    entry_points=("fines", "late_fees", "charges", "who_pays"),
    parameters=("pairs",),
    openings=(
        "Write {call} that maps each name to its fine for late books; pairs holds (name, days).",
        "Implement {call}: fines by name from (name, days) pairs of loans.",
        "Create {call}, which returns what people pay for loans, given (name, days) pairs.",
    ),
    facts=(
        number(
            "free",
            range(5, 40),
            says=("The first {v} days are free.", "Deduct {v} free days.", "Free time is {v} days."),
            answers=("{v} days are free.", "{v} free days."),
            vague=("The first days are free.", "Deduct the free days."),
            asks=("How many days are free?", "How long is it free?", "How much free time do I deduct?"),
        ),
        number(
            "rate",
            range(2, 50),
            says=("A late day costs {v}.", "Each late day is {v}.", "Charge {v} a late day."),
            answers=("{v} a day.", "It costs {v}."),
            vague=("A late day costs the usual.", "Charge a fair sum a late day."),
            asks=("What does a late day cost?", "How much do I charge?", "What is the cost of a late day?"),
        ),
        choice(
            "zero",
            {
                "keep": (("Fines of zero stay.", "Keep names with fine 0."), ("They stay.", "Keep zero.")),
                "drop": (
                    ("Fines of zero are left out.", "Drop names with fine 0."),
                    ("They are left out.", "Drop zero."),
                ),
            },
            vague=("Mind fines of zero.", "Treat a fine of zero properly."),
            asks=("What about a fine of zero?", "Do fines of zero stay?", "Should I drop fines of zero?"),
        ),
        choice(
            "repeated",
            {
                "add": (("Add up repeated names.", "A repeated name gets the sum."), ("Add them up.", "The sum.")),
                "largest": (
                    ("Of repeated names take the largest.", "A repeated name gets the largest."),
                    ("Take the largest.", "The largest."),
                ),
                "last": (
                    ("Of repeated names take the last.", "A repeated name gets the last."),
                    ("Take the last.", "The last."),
                ),
            },
            vague=("Handle repeated names sensibly.", "Mind a repeated name."),
            asks=("What about repeated names?", "What does a repeated name get?", "How do I treat repeated names?"),
        ),
    ),
    solution=_fines_solution,
    inputs=lambda rng, c: (
        _pairs(rng, (integer(c, "free"), *(integer(c, "free") + rng.randint(-3, 6) for _ in range(4))), _NAMES[:3]),
    ),
)


def _raise_pay_solution(name: str, c: Choices) -> str:
    sign = "<=" if c["inclusive"] else "<"
    final = {"name": "sorted(ps)", "pay": "sorted(ps, key=lambda p: p[1])", "kept": "ps"}[str(c["order"])]
    return code(
        f"def {name}(pairs):",
        f"    ps = [(n, pay + {c['bonus']} if pay {sign} {c['limit']} else pay) for n, pay in pairs]",
        f"    return {final}",
    )


RAISE_PAY = Family(
    name="raise_pay",
    area="records",
    entry_points=("raise_pay", "with_bonus", "new_pay", "add_bonus"),
    parameters=("pairs",),
    openings=(
        "Write {call} that adds a bonus to pay under a limit; pairs holds (name, pay).",
        "Implement {call}: in (name, pay) pairs, pay below a limit gets a bonus.",
        "Create {call}, which returns (name, pay) pairs with a bonus for pay under a limit.",
    ),
    facts=(
        facts.limit(range(20, 80)),
        facts.inclusive(),
        facts.amount("bonus", range(2, 50)),
        choice(
            "order",
            {
                "name": (
                    ("Sort the result by name.", "The result is ordered by name."),
                    ("By name.", "Sorted by name."),
                ),
                "pay": (
                    ("Sort the result by new pay.", "The result is ordered by new pay."),
                    ("By pay.", "Sorted by new pay."),
                ),
                "kept": (
                    ("Keep the original order.", "Do not sort the result."),
                    ("In the original order.", "Not sorted."),
                ),
            },
            vague=("Return them in a good order.", "Mind the order of the result."),
            asks=(
                "In which order should I return them?",
                "Should the result be sorted, and how?",
                "What order is wanted?",
            ),
        ),
    ),
    solution=_raise_pay_solution,
    inputs=lambda rng, c: (
        _pairs(rng, tuple(integer(c, "limit") + d for d in (0, 0, -1, 1, 30, rng.randint(-19, 9)))),
    ),
)


def _restock_solution(name: str, c: Choices) -> str:
    sign = "<=" if c["inclusive"] else "<"
    final = {"dict": "out", "list": "list(out.items())", "total": "sum(out.values())"}[str(c["result"])]
    return code(
        f"def {name}(pairs):",
        f"    out = {{n: {c['target']} - stock for n, stock in pairs if stock {sign} {c['limit']}}}",
        f"    return {final}",
    )


def _restock_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    """Pairs in which no name comes twice, with stocks around the limit."""
    limit = integer(c, "limit")
    names = rng.sample(_NAMES, rng.randint(0, len(_NAMES)))
    return ([(name, limit + rng.choice((0, 0, -1, 1, rng.randint(-5, 5)))) for name in names],)


RESTOCK = Family(
    name="restock",
    area="records",
    entry_points=("restock", "to_order", "refill", "what_to_buy"),
    parameters=("pairs",),
    openings=(
        "Write {call} that tells how much to buy when stock is under a limit; pairs holds (name, stock), each name "
        "once.",
        "Implement {call}: refill goods below a limit to a target, given (name, stock) pairs of different names.",
        "Create {call}, which orders up to a target when stock in (name, stock) pairs, no name twice, is under a "
        "limit.",
    ),
    facts=(
        facts.limit(range(5, 40)),
        facts.inclusive(),
        facts.amount("target", range(45, 99)),
        choice(
            "result",
            {
                "dict": (
                    ("Return a dictionary by name.", "The answer maps name to count."),
                    ("A dictionary.", "A map by name."),
                ),
                "list": (
                    ("Return a list of pairs.", "The answer is a list of pairs."),
                    ("A list.", "Pairs in a list."),
                ),
                "total": (("Return only the total.", "The answer is the total."), ("The total.", "Only the total.")),
            },
            vague=("Return the usual answer.", "Give a useful answer."),
            asks=(
                "Which answer should I return?",
                "Is the answer a dictionary or a list?",
                "Should I return pairs or the total?",
            ),
        ),
    ),
    solution=_restock_solution,
    inputs=_restock_inputs,
)

FAMILIES = (TOTALS, WINNER, FINES, RAISE_PAY, RESTOCK)

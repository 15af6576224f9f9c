"""Families that turn a list of numbers into one number, or into a list of the same numbers changed."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.families.lists import around, beyond, numbers
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer


def _average_solution(name: str, c: Choices) -> str:
    sign = "<=" if c["inclusive"] else "<"
    return code(
        f"def {name}(xs):",
        f"    ys = [x for x in xs if x {sign} {c['limit']}]",
        "    if not ys:",
        f"        return {c['not_found']}",
        f"    return round(sum(ys) / len(ys), {c['decimals']})",
    )


def _average_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit = integer(c, "limit")
    xs = [limit - rng.choice((0, 0, 1, 2, 3, 9)) for _ in range(rng.choice((0, 1, 3, 6, 7, 7, 9)))]
    return (xs + [limit + rng.randint(0, 3) for _ in range(rng.randint(0, 3))],)


AVERAGE = Family(
    name="average_within",
    area="lists",
    entry_points=("average", "mean_of", "mean_within", "typical"),
    parameters=("xs",),
    openings=(
        "Write {call} that returns the rounded average of the numbers in xs within a limit.",
        "Implement {call}: the rounded mean of xs. Numbers beyond a limit are ignored.",
        "Create {call}, which averages the numbers of xs up to a limit and rounds the mean.",
    ),
    facts=(
        facts.limit(range(10, 70)),
        facts.inclusive(),
        facts.decimals((2, 3, 4)),
        facts.not_found(range(-30, 0)),
    ),
    solution=_average_solution,
    inputs=_average_inputs,
)


def _pairs_solution(name: str, c: Choices) -> str:
    rest = "xs[i + 1:i + 2]" if c["partners"] == "neighbours" else "xs[i + 1:]"
    value = {"sum": "x + y", "product": "x * y"}[str(c["measure"])]
    return code(
        f"def {name}(xs):",
        "    if len(xs) < 2:",
        f"        return {c['fallback']}",
        f"    pairs = [(x, y) for i, x in enumerate(xs) for y in {rest}]",
        f"    return len([x for x, y in pairs if {value} {beyond(c)}])",
    )


def _pairs_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit = integer(c, "limit")
    pool = [1, 1, limit - 1, limit, limit + 1, limit - 2, rng.randint(2, limit)]
    return ([rng.choice(pool) for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 5)))],)


PAIRS = Family(
    name="count_pairs",
    area="lists",
    entry_points=("count_pairs", "pairs_above", "good_pairs", "how_many_pairs"),
    parameters=("xs",),
    openings=(
        "Write {call} that counts the pairs in xs that get above a limit.",
        "Implement {call}: tell how many pairs from xs exceed a limit together.",
        "Create {call}, which counts pairs of items in xs that together pass a limit.",
    ),
    facts=(
        facts.limit(range(10, 70)),
        facts.inclusive(),
        choice(
            "partners",
            {
                "neighbours": (
                    ("Only neighbours make a pair.", "A pair consists of neighbours."),
                    ("Only neighbours.", "Neighbours in the list."),
                ),
                "any": (
                    ("Any two items make a pair.", "A pair consists of any two items."),
                    ("Any two items.", "No need to be neighbours."),
                ),
            },
            vague=("Suitable items make a pair.", "A pair consists of matching items."),
            asks=("Do only neighbours make a pair?", "Which items make a pair?", "Must a pair be neighbours?"),
        ),
        choice(
            "measure",
            {
                "sum": (
                    ("Add the two.", "The sum is compared with it.", "Look at the sum."),
                    ("Add them.", "Their sum."),
                ),
                "product": (
                    ("Multiply the two.", "The product is compared with it.", "Look at the product."),
                    ("Multiply them.", "Their product."),
                ),
            },
            vague=("Combine the two.", "Combine both in the usual way."),
            asks=("Is it the sum or the product?", "Do I add or multiply?", "Should I take the sum of both?"),
        ),
        facts.fallback("a list that is too short", range(10, 40)),
    ),
    solution=_pairs_solution,
    inputs=_pairs_inputs,
)


def _points_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(xs):",
        f"    hits = [x for x in xs if x {beyond(c)}]",
        f"    return min(len(hits) * {c['bonus']}, {c['cap']})",
    )


POINTS = Family(
    name="points_beyond",
    area="lists",
    entry_points=("points", "award", "total_bonus", "reward"),
    parameters=("xs",),
    openings=(
        "Write {call}. Each number in xs on one side of a limit earns a bonus. The total has a cap.",
        "Implement {call}: every number of xs beyond a limit earns a bonus, up to a cap.",
        "Create {call}, which pays a bonus for each number in xs beyond a limit, at most a cap.",
    ),
    facts=(
        facts.limit(range(10, 70)),
        facts.side(),
        facts.inclusive(),
        facts.amount("bonus", range(8, 30)),
        facts.amount("cap", range(30, 60)),
    ),
    solution=_points_solution,
    inputs=lambda rng, c: (around(rng, integer(c, "limit")) + around(rng, integer(c, "limit")),),
)


def _every_nth_solution(name: str, c: Choices) -> str:
    source = "xs" if c["origin"] == "front" else "xs[::-1]"
    return code(
        f"def {name}(xs):",
        f"    ys = {source}[{c['skip']}::{c['step']}]",
        f"    return sum(ys) + {c['bonus']}",
    )


EVERY_NTH = Family(
    name="sum_by_step",
    area="lists",
    entry_points=("sum_by_step", "stepwise", "sum_some", "stride_sum"),
    parameters=("xs",),
    openings=(
        "Write {call} that sums items of xs a step apart, after a skip, and adds a bonus.",
        "Implement {call}: walk xs with a step after an initial skip. Return the sum with a bonus.",
        "Create {call}, which first passes a skip, then sums xs at each step. A bonus is added.",
    ),
    facts=(
        facts.amount("step", range(2, 7)),
        facts.amount("skip", range(1, 6)),
        facts.amount("bonus", range(1, 90)),
        choice(
            "origin",
            {
                origin: (
                    (
                        f"Start from the {origin}.",
                        f"Walk from the {origin} of the list.",
                        f"The walk starts at the {origin}.",
                    ),
                    (f"From the {origin}.", f"At the {origin}."),
                )
                for origin in ("front", "back")
            },
            vague=("Start from the proper side.", "Walk through the list suitably."),
            asks=("Do I start from the front or the back?", "Where does the walk start?", "At which side do I start?"),
        ),
    ),
    solution=_every_nth_solution,
    inputs=lambda rng, c: (rng.choices(rng.sample(range(1, 30), 4), k=integer(c, "step") * 3 + rng.randint(0, 8)),),
)


def _replace_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(xs):",
        facts.on_empty(c["empty"], "not xs"),
        f"    return [{c['filler']} if x {beyond(c)} else x for x in xs]",
    )


REPLACE_BEYOND = Family(
    name="replace_beyond",
    area="lists",
    entry_points=("replace", "mask", "blank_out", "substitute"),
    parameters=("xs",),
    openings=(
        "Write {call} that replaces the numbers in xs on one side of a limit by a filler.",
        "Implement {call}: put a filler in place of each number of xs beyond a limit.",
        "Create {call}, which puts a filler for every number on the wrong side of a limit in xs.",
    ),
    facts=(
        facts.limit(range(10, 50)),
        facts.side(),
        facts.inclusive(),
        facts.amount("filler", range(60, 100)),
        facts.empty((None, "raise")),
    ),
    solution=_replace_solution,
    inputs=lambda rng, c: (around(rng, integer(c, "limit")),),
)


def _running_solution(name: str, c: Choices) -> str:
    sign = ">=" if c["inclusive"] else ">"
    return code(
        f"def {name}(xs):",
        "    total = 0",
        "    ys = []",
        "    for x in xs:",
        "        total += x",
        f"        if total {sign} {c['limit']}:",
        f"            total = {c['restart']}",
        "        ys.append(total)",
        f"    return {'ys' if c['form'] == 'all' else 'total'}",
    )


def _running_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit, restart = integer(c, "limit"), integer(c, "restart")
    ahead = [rng.choice((1, 2, limit - 1, limit, limit + 1, limit - restart)) for _ in range(rng.randint(1, 3))]
    return (ahead + [rng.choice((1, 2, 3)) for _ in range(rng.randint(0, 2))],)


RUNNING_TOTAL = Family(
    name="running_total",
    area="lists",
    entry_points=("running_total", "accumulate", "add_up", "totals"),
    parameters=("xs",),
    openings=(
        "Write {call} that keeps a running total of xs. Over a limit it falls to a restart value.",
        "Implement {call}: add up xs step by step. Past a limit, the total becomes a restart value.",
        "Create {call}, a running total of xs that drops to a restart value beyond a limit.",
    ),
    facts=(
        facts.limit(range(30, 80)),
        facts.inclusive(),
        facts.amount("restart", range(1, 20)),
        choice(
            "form",
            {
                "all": (
                    (
                        "Return the totals after each item.",
                        "The result lists each total.",
                        "Give each total, step by step.",
                    ),
                    ("The total after each item.", "Each total."),
                ),
                "last": (
                    ("Return only the final total.", "The result is the final total.", "Give just the final total."),
                    ("Only the final one.", "The final total."),
                ),
            },
            vague=("Return the wanted totals.", "The result is the usual total."),
            asks=("Do you want only the final total?", "Should I return each total?", "Is the final total enough?"),
        ),
    ),
    solution=_running_solution,
    inputs=_running_inputs,
)


def _combine_solution(name: str, c: Choices) -> str:
    source = "dict.fromkeys(xs + ys)" if c["duplicates"] == "drop" else "xs + ys"
    final = {"asc": "sorted(zs)", "desc": "sorted(zs, reverse=True)", "kept": "zs"}[str(c["order"])]
    return code(
        f"def {name}(xs, ys):",
        f"    zs = [x * {c['factor']} for x in {source}]",
        f"    return {final}[:{c['size']}]",
    )


COMBINE = Family(
    name="combine_lists",
    area="lists",
    entry_points=("combine", "merge_lists", "join_lists", "put_together"),
    parameters=("xs", "ys"),
    openings=(
        "Write {call} that joins two lists, scales by a factor and, as the last step, cuts the result to a size.",
        "Implement {call}: put xs and ys together, times a factor; in the end, cut what there is to a size.",
        "Create {call}, which joins xs and ys, multiplies by a factor and, after all else, cuts at a size.",
    ),
    facts=(
        facts.amount("factor", range(2, 60)),
        facts.order(),
        facts.duplicates(),
        facts.amount("size", range(3, 8)),
    ),
    solution=_combine_solution,
    inputs=lambda rng, c: (numbers(rng, 1, 20), numbers(rng, 1, 20)),
)


FAMILIES = (AVERAGE, PAIRS, POINTS, EVERY_NTH, REPLACE_BEYOND, RUNNING_TOTAL, COMBINE)

"""Families over lists of items or tasks, each a dictionary."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer

Record = dict[str, object]


def _count(rng: Random, longest: int = 6) -> int:
    """How many records: none, one time in eight."""
    return 0 if rng.random() < 0.125 else rng.randint(1, longest)


def _near(rng: Random, centre: int) -> int:
    """A number that is often the centre or its neighbour."""
    return rng.choice((centre, centre - 1, centre + 1, rng.randint(1, 99)))


def _average_solution(name: str, c: Choices) -> str:
    default = c["default"]
    return code(
        f"def {name}(items):",
        f'    xs = [item.get("price", {default}) for item in items]',
        "    xs = [x for x in xs if x > 0]" if c["zero"] == "skip" else None,
        "    if not xs:",
        f"        return {c['fallback']}",
        f"    return round(sum(xs) / len(xs), {c['decimals']})",
    )


def _average_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    items: list[Record] = []
    for _ in range(_count(rng, 9)):
        price: Record = {"price": rng.choice((0, rng.randint(1, 99), rng.randint(1, 99)))} if rng.random() < 0.8 else {}
        items.append({"item": rng.choice(("pen", "cup", "bag")), **price})
    return (items,)


AVERAGE = Family(
    name="average_price",
    area="records",
    entry_points=("average", "mean_price", "average_price", "typical_price"),
    parameters=("items",),
    openings=(
        'Write {call} that returns the average "price" of the items.',
        'Implement {call}: the mean "price" over a list of items.',
        'Create {call}, which averages the field "price" of items.',
    ),
    facts=(
        facts.default(range(1, 60)),
        facts.decimals(),
        choice(
            "zero",
            {
                "skip": (("Skip prices of zero.", "A price of zero is skipped."), ("Skip them.", "Zero is skipped.")),
                "count": (
                    ("Include prices of zero.", "A price of zero is included."),
                    ("Include them.", "Zero is included."),
                ),
            },
            vague=("Mind prices of zero.", "Treat a price of zero properly."),
            asks=("What about a price of zero?", "Do I skip prices of zero?", "Are prices of zero included?"),
        ),
        facts.fallback("an average of nothing", range(1, 60)),
    ),
    solution=_average_solution,
    inputs=_average_inputs,
)


def _count_status_solution(name: str, c: Choices) -> str:
    status = 't["status"].lower()' if c["case"] == "ignored" else 't["status"]'
    sign, limit, wanted = ">=" if c["inclusive"] else ">", c["limit"], c["status"]
    return code(
        f"def {name}(tasks):",
        f'    ts = [t for t in tasks if {status} == "{wanted}"]',
        f'    return len([t for t in ts if t["days"] {sign} {limit}])',
    )


def _count_status_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    status = str(c["status"])
    words = (status, status, status.title(), status.upper(), *_STATUS)
    return ([{"status": rng.choice(words), "days": _near(rng, integer(c, "limit"))} for _ in range(_count(rng))],)


_STATUS = ("open", "done", "late", "new", "paid", "sent", "lost", "closed")

COUNT_STATUS = Family(
    name="count_status",
    area="records",
    entry_points=("count_tasks", "how_many", "old_tasks", "count_old"),
    parameters=("tasks",),
    openings=(
        'Write {call} that counts tasks of one "status" with "days" above a limit.',
        'Implement {call}: how many tasks of a "status" have "days" over a limit?',
        'Create {call}, which counts by "status" the tasks with "days" beyond a limit.',
    ),
    facts=(
        facts.limit(range(3, 90)),
        facts.inclusive(),
        choice(
            "status",
            {
                word: (
                    (f"The status is '{word}'.", f"Look for status '{word}'.", f"Only status '{word}' is wanted."),
                    (f"'{word}'.", f"The status is '{word}'."),
                )
                for word in _STATUS
            },
            vague=("The status is the usual one.", "Look for the right status."),
            asks=("Which status is wanted?", "What is the status?", "Which status do I look for?"),
        ),
        facts.case(),
    ),
    solution=_count_status_solution,
    inputs=_count_status_inputs,
)


def _cart_solution(name: str, c: Choices) -> str:
    default = c["default"]
    return code(
        f"def {name}(items):",
        f'    total = sum(i["price"] * i.get("count", {default}) for i in items)',
        f"    if total {'<' if c['inclusive'] else '<='} {c['limit']}:",
        f"        total += {c['fee']}",
        "    return total",
    )


def _cart_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    total = integer(c, "limit") + rng.choice((0, 0, -1, 1, rng.randint(-9, 9)))
    first = rng.randint(0, total)
    items: list[Record] = [{"price": first, "count": 1}, {"price": total - first, "count": 1}]
    if rng.random() < 0.4:
        items = [{"price": rng.randint(1, 20)}, {"price": rng.randint(1, 9), "count": rng.randint(1, 5)}]
    return (items[: rng.choice((0, 1, 2, 2, 2, 2))],)


CART = Family(
    name="cart",
    area="records",
    entry_points=("cart", "total_cost", "checkout", "bill"),
    parameters=("items",),
    openings=(
        'Write {call} that adds up "price" times "count"; totals above a limit pay no fee.',
        'Implement {call}: the total of "price" times "count"; above a limit there is no fee.',
        'Create {call}, which sums "price" times "count" and adds a fee unless over a limit.',
    ),
    facts=(
        facts.limit(range(10, 99)),
        facts.inclusive(),
        facts.default(range(2, 10)),
        facts.amount("fee", range(1, 30)),
    ),
    solution=_cart_solution,
    inputs=_cart_inputs,
)


FAMILIES = (AVERAGE, COUNT_STATUS, CART)

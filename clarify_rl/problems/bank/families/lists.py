"""Families over lists of numbers."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer


def numbers(rng: Random, low: int, high: int, longest: int = 9) -> list[int]:
    """A list with repeats, often with equal neighbours; empty one time in eight."""
    if rng.random() < 0.125:
        return []
    pool = [rng.randint(low, high) for _ in range(rng.randint(1, longest))]
    return [rng.choice(pool) for _ in range(rng.randint(1, longest))]


def _near(rng: Random, centre: int) -> list[int]:
    """Numbers around `centre`, so that its neighbours and the centre itself come up."""
    return numbers(rng, centre - 3, centre + 6)


def around(rng: Random, centre: int) -> list[int]:
    """Numbers around `centre`; one time in three they differ from it by at most one."""
    reach = 1 if rng.random() < 0.34 else 5
    return numbers(rng, centre - reach, centre + reach)


def beyond(c: Choices) -> str:
    """The comparison that `side` and `inclusive` ask for; numbers above the limit where no side is given."""
    sign = "<" if c.get("side") == "below" else ">"
    return f"{sign}= {c['limit']}" if c["inclusive"] else f"{sign} {c['limit']}"


def _select_beyond_solution(name: str, c: Choices) -> str:
    source = "dict.fromkeys(xs)" if c["duplicates"] == "drop" else "xs"
    picked = f"[x for x in {source} if x {beyond(c)}]"
    final = {"asc": "sorted(ys)", "desc": "sorted(ys, reverse=True)", "kept": "ys"}[str(c["order"])]
    return code(f"def {name}(xs):", f"    ys = {picked}", f"    return {final}")


SELECT_BEYOND = Family(
    name="select_beyond",
    area="lists",
    entry_points=("select", "pick_large", "above", "big_ones"),
    parameters=("xs",),
    openings=(
        "Write {call} that returns the numbers in xs above a limit.",
        "Implement {call}: select the numbers of the list xs that exceed a limit.",
        "Create {call}, which keeps only the numbers in xs larger than a limit.",
    ),
    facts=(facts.limit(range(4, 60)), facts.inclusive(), facts.order(), facts.duplicates()),
    solution=_select_beyond_solution,
    inputs=lambda rng, c: (_near(rng, integer(c, "limit")),),
)


def _count_beyond_solution(name: str, c: Choices) -> str:
    source = "set(xs)" if c["duplicates"] == "drop" else "xs"
    return code(
        f"def {name}(xs):",
        "    if not xs:",
        f"        return {c['fallback']}",
        f"    return len([x for x in {source} if x {beyond(c)}])",
    )


COUNT_BEYOND = Family(
    name="count_beyond",
    area="lists",
    entry_points=("count_numbers", "how_many", "tally", "count_some"),
    parameters=("xs",),
    openings=(
        "Write {call} that counts the numbers in xs on one side of a limit.",
        "Implement {call}: tell how many numbers of xs lie beyond a limit.",
        "Create {call}, which counts the numbers of the list xs past a limit.",
    ),
    facts=(
        facts.limit(range(10, 70)),
        facts.side(),
        facts.inclusive(),
        facts.duplicates(),
        facts.fallback("an empty list", range(10, 40)),
    ),
    solution=_count_beyond_solution,
    inputs=lambda rng, c: (around(rng, integer(c, "limit")),),
)


def _ranked_solution(name: str, c: Choices) -> str:
    source = "set(xs)" if c["duplicates"] == "drop" else "xs"
    reverse = ", reverse=True" if c["end"] == "largest" else ""
    return code(
        f"def {name}(xs):",
        f"    ys = sorted({source}{reverse})",
        f"    if len(ys) < {c['rank']}:",
        f"        return {c['fallback']}",
        f"    return ys[{integer(c, 'rank') - 1}]",
    )


RANKED = Family(
    name="ranked_number",
    area="lists",
    entry_points=("ranked", "kth", "nth_number", "by_rank"),
    parameters=("xs",),
    openings=(
        "Write {call} that returns the number at a given rank in xs.",
        "Implement {call}: find the number of the list xs with a given rank.",
        "Create {call}, which ranks the numbers of xs and returns one of them.",
    ),
    facts=(
        facts.amount("rank", range(2, 8)),
        choice(
            "end",
            {
                end: (
                    (f"Start from the {end} number.", f"The {end} number comes first.", f"Begin with the {end}."),
                    (f"The {end} number.", f"Begin with the {end}."),
                )
                for end in ("largest", "smallest")
            },
            vague=("Begin with the best number.", "The best number comes first."),
            asks=(
                "Is the largest or the smallest first?",
                "Do I begin with the largest or the smallest?",
                "Which comes first, the smallest or the largest?",
            ),
        ),
        facts.duplicates(),
        facts.fallback("a list that is too short", range(10, 70)),
    ),
    solution=_ranked_solution,
    inputs=lambda rng, c: (numbers(rng, 1, 30, integer(c, "rank") + 4),),
)


def _differences_solution(name: str, c: Choices) -> str:
    n = c["step"]
    pairs = f"zip(xs, xs[{n}:])"
    change = {"later": "b - a", "earlier": "a - b", "absolute": "abs(a - b)"}[str(c["change"])]
    kept = "" if c["zeros"] == "keep" else " if a != b"
    return code(f"def {name}(xs):", f"    return [min({change}, {c['cap']}) for a, b in {pairs}{kept}]")


def _differences_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    cap = integer(c, "cap")
    steps = (0, 0, 1, cap - 1, cap, cap + 1, cap + 9)
    return ([rng.choice(steps) for _ in range(rng.randint(0, 4) + integer(c, "step"))],)


DIFFERENCES = Family(
    name="moving_differences",
    area="lists",
    entry_points=("differences", "changes", "deltas", "moves"),
    parameters=("xs",),
    openings=(
        "Write {call} that compares numbers in xs a fixed step apart. Each difference has a cap.",
        "Implement {call}: list the differences of numbers in xs one step apart, with a cap.",
        "Create {call}, which returns the capped differences of xs at a fixed step.",
    ),
    facts=(
        facts.amount("step", range(1, 7)),
        facts.amount("cap", range(5, 45)),
        choice(
            "change",
            {
                "later": (
                    ("Subtract the earlier number from the later.", "A rise gives a positive difference."),
                    ("Later minus earlier.", "A rise is positive."),
                ),
                "earlier": (
                    ("Subtract the later number from the earlier.", "A fall gives a positive difference."),
                    ("Earlier minus later.", "A fall is positive."),
                ),
                "absolute": (
                    ("Take absolute differences.", "Both a rise and a fall give a positive difference."),
                    ("Absolute differences.", "Both are positive."),
                ),
            },
            vague=("Subtract the numbers the right way round.", "Mind whether a rise or a fall is positive."),
            asks=("Is a rise or a fall positive?", "Do I subtract the earlier number?", "Is a fall positive?"),
        ),
        choice(
            "zeros",
            {
                "keep": (("Keep zeros in the result.", "A difference of zero stays."), ("Keep zeros.", "They stay.")),
                "drop": (
                    ("Drop zeros from the result.", "A difference of zero is dropped."),
                    ("Drop zeros.", "They are dropped."),
                ),
            },
            vague=("Treat zeros suitably.", "Think of a difference of zero."),
            asks=("Should I keep zeros?", "What about a difference of zero?", "Are zeros kept or dropped?"),
        ),
    ),
    solution=_differences_solution,
    inputs=_differences_inputs,
)


def _longest_run_solution(name: str, c: Choices) -> str:
    gain = "1" if c["measure"] == "length" else "x"
    return code(
        f"def {name}(xs):",
        "    best = run = 0",
        "    for x in xs:",
        f"        run = run + {gain} if x {beyond(c)} else 0",
        "        best = max(best, run)",
        f"    return best or {c['not_found']}",
    )


LONGEST_RUN = Family(
    name="longest_run",
    area="lists",
    entry_points=("best_run", "top_run", "strongest_run", "run_above"),
    parameters=("xs",),
    openings=(
        "Write {call} that finds the best run of positive numbers above a limit in xs.",
        "Implement {call}: look at runs of neighbours in xs above a limit. Return the best.",
        "Create {call}, which rates each unbroken run above a limit in xs and returns the top.",
    ),
    facts=(
        facts.limit(range(4, 60)),
        facts.inclusive(),
        choice(
            "measure",
            {
                "length": (
                    ("A run is rated by its length.", "Rate runs by length.", "The larger length is better."),
                    ("By length.", "By how long it is."),
                ),
                "sum": (
                    ("A run is rated by its sum.", "Rate runs by sum.", "The larger sum is better."),
                    ("By sum.", "By its sum."),
                ),
            },
            vague=("Rate runs in a fair way.", "A run is rated suitably."),
            asks=("Are runs rated by length or sum?", "Is it the length or the sum of a run?", "How are runs rated?"),
        ),
        facts.not_found(range(60)),
    ),
    solution=_longest_run_solution,
    inputs=lambda rng, c: (around(rng, integer(c, "limit") + 1),),
)


def _find_beyond_solution(name: str, c: Choices) -> str:
    numbered = "enumerate(xs)" if c["start_at"] == 0 else "enumerate(xs, 1)"
    source = numbered if c["pick"] == "first" else f"reversed(list({numbered}))"
    return code(
        f"def {name}(xs):",
        f"    for i, x in {source}:",
        f"        if x {beyond(c)}:",
        "            return i",
        f"    return {c['not_found']}",
    )


FIND_BEYOND = Family(
    name="find_beyond",
    area="lists",
    entry_points=("find_place", "locate", "position_above", "where_above"),
    parameters=("xs",),
    openings=(
        "Write {call} that finds the position of a number above a limit in xs.",
        "Implement {call}: give the position of a number in xs that exceeds a limit.",
        "Create {call}, which tells where in xs a number passes a limit.",
    ),
    facts=(
        facts.limit(range(4, 60)),
        facts.inclusive(),
        choice(
            "pick",
            {
                which: (
                    (f"Of several, take the {which}.", f"The {which} one is wanted.", f"Search for the {which} one."),
                    (f"The {which} one.", f"Take the {which}."),
                )
                for which in ("first", "last")
            },
            vague=("Of several, take the best one.", "Search for the proper one."),
            asks=("Of several, which is wanted?", "Is the first or the last wanted?", "Which of several do I take?"),
        ),
        facts.start_at(),
        facts.not_found(range(-9, 0)),
    ),
    solution=_find_beyond_solution,
    inputs=lambda rng, c: (around(rng, integer(c, "limit")),),
)


def _shift_solution(name: str, c: Choices) -> str:
    n, left = c["step"], c["direction"] == "left"
    filled = f"[{c['filler']}] * {n}"
    moved = f"(xs + {filled})[{n}:]" if left else f"({filled} + xs)[:len(xs)]"
    return code(f"def {name}(xs):", facts.on_empty(c["empty"], "not xs"), f"    return {moved}")


SHIFT_LIST = Family(
    name="shift_list",
    area="lists",
    entry_points=("shift", "move_along", "push", "slide"),
    parameters=("xs",),
    openings=(
        "Write {call} that moves the numbers in xs by a step. A filler takes the free places.",
        "Implement {call}: shift the list xs by a step. Free places get a filler.",
        "Create {call}, which slides xs by a step, keeps its length and puts a filler in.",
    ),
    facts=(
        facts.amount("step", range(1, 8)),
        facts.amount("filler", range(60)),
        choice(
            "direction",
            {
                "left": (
                    ("Numbers move to the left.", "Move towards the front.", "The direction is left."),
                    ("To the left.", "Left, to the front."),
                ),
                "right": (
                    ("Numbers move to the right.", "Move towards the back.", "The direction is right."),
                    ("To the right.", "Right, to the back."),
                ),
            },
            vague=("Move in the proper direction.", "The direction is the usual one."),
            asks=("In which direction?", "Is the direction left or right?", "Do I move to the front or the back?"),
        ),
        facts.empty((None, "raise")),
    ),
    solution=_shift_solution,
    inputs=lambda rng, c: (numbers(rng, 0, 60, integer(c, "step") + 4),),
)


def _chunk_solution(name: str, c: Choices) -> str:
    n = c["size"]
    kept = "" if c["leftover"] == "keep" else f" if len(p) == {n}"
    result = {"sum": "sum(p)", "largest": "max(p)"}[str(c["measure"])]
    return code(
        f"def {name}(xs):",
        f"    parts = [xs[i:i + {n}] for i in range(0, len(xs), {n})]",
        f"    return [min({result}, {c['cap']}) for p in parts{kept}]",
    )


CHUNK = Family(
    name="chunk_list",
    area="lists",
    entry_points=("chunks", "by_chunk", "group", "blocks"),
    parameters=("xs",),
    openings=(
        "Write {call} that cuts xs into chunks and returns one number for each. Each has a cap.",
        "Implement {call}: split xs into chunks of a fixed size, one number each, with a cap.",
        "Create {call}, which makes chunks of xs and gives a capped number for each.",
    ),
    facts=(
        facts.amount("size", range(2, 8)),
        facts.amount("cap", range(15, 65)),
        choice(
            "measure",
            {
                "sum": (
                    ("Add the numbers of a chunk.", "A chunk gives its sum.", "Take the sum of each chunk."),
                    ("Its sum.", "Add them."),
                ),
                "largest": (
                    ("Take the maximum of each chunk.", "A chunk gives its maximum.", "Find each chunk's maximum."),
                    ("Its maximum.", "The maximum."),
                ),
            },
            vague=("Combine the numbers of a chunk.", "A chunk gives one combined number."),
            asks=("Is it the sum or the maximum?", "How do I combine a chunk?", "Does a chunk give its sum?"),
        ),
        facts.leftover(),
    ),
    solution=_chunk_solution,
    inputs=lambda rng, c: (numbers(rng, 1, integer(c, "cap") + 3 if rng.random() < 0.5 else 12, 15),),
)

FAMILIES = (SELECT_BEYOND, COUNT_BEYOND, RANKED, DIFFERENCES, LONGEST_RUN, FIND_BEYOND, SHIFT_LIST, CHUNK)

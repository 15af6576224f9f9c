"""Families over intervals: `spans` is a list of (start, end) tuples of whole numbers."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, FactSpec, Family, choice, code, integer, number

Span = tuple[int, int]


def _chain(rng: Random, lengths: tuple[int, ...], gaps: tuple[int, ...], most: int = 5) -> list[Span]:
    """Spans of these lengths, one after the other with these gaps, shuffled."""
    spans: list[Span] = []
    start = rng.randint(0, 9)
    for _ in range(rng.randint(0, most)):
        end = start + rng.choice(lengths)
        spans.append((start, end))
        start = end + rng.choice(gaps)
    return rng.sample(spans, len(spans))


def _around_window(rng: Random, c: Choices) -> list[Span]:
    """Spans with an end on, or close to, the start or the end of a window."""
    spans: list[Span] = []
    for _ in range(rng.randint(0, 6)):
        edge = integer(c, rng.choice(("start", "end"))) + rng.choice((-2, -1, 0, 0, 1, 2))
        length = rng.choice((0, 1, 2, 4, 9))
        spans.append((edge, edge + length) if rng.random() < 0.5 else (edge - length, edge))
    return spans


def _ends() -> FactSpec:
    return choice(
        "ends",
        {
            True: (
                ("The end belongs to the span.", "Ends are part of spans.", "A span contains its end."),
                ("Yes, it belongs to it.", "Yes, the end is part of it."),
            ),
            False: (
                ("The end does not belong to the span.", "Ends are not part of spans.", "A span lacks its end."),
                ("No, it does not.", "No, the end is not part of it."),
            ),
        },
        vague=("Treat the end of a span properly.", "Mind the end of each span."),
        asks=("Does the end belong to the span?", "Is the end part of the span?", "Does a span contain its end?"),
    )


def _shortest(values: range, what: str = "spans") -> FactSpec:
    return number(
        "shortest",
        values,
        says=(f"Ignore {what} shorter than {{v}}.", f"Leave out {what} shorter than {{v}}."),
        answers=("Ignore spans shorter than {v}.", "Shorter than {v}."),
        vague=(f"Ignore {what} that are too short.", f"Leave out very short {what}."),
        asks=(f"Which {what} are too short?", f"Which {what} should I ignore?", "How short may a span be?"),
    )


def _join_solution(name: str, c: Choices) -> str:
    sign = "<=" if c["inclusive"] else "<"
    final = "ys" if c["order"] == "asc" else "ys[::-1]"
    return code(
        f"def {name}(spans):",
        "    ys = []",
        "    for a, b in sorted(spans):",
        f"        if ys and a - ys[-1][1] {sign} {c['limit']}:",
        "            ys[-1] = (ys[-1][0], max(b, ys[-1][1]))",
        "        else:",
        "            ys.append((a, b))",
        f"    return [(a, b) for a, b in {final} if b - a >= {c['shortest']}]",
    )


def _join_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    short, limit = integer(c, "shortest"), integer(c, "limit")
    lengths = (0, short - 1, short, short + 1, short + 4)
    return (_chain(rng, lengths, (-3, 0, limit - 1, limit, limit + 1, limit + 2)),)


JOIN_SPANS = Family(
    name="join_spans",
    area="intervals",
    entry_points=("join", "merge", "bridge", "combine"),
    parameters=("spans",),
    openings=(
        "Write {call} that joins spans, which are (start, end) tuples, with a small gap between them. A limit tells "
        "what is small.",
        "Implement {call}: merge the (start, end) tuples in spans whose gap is small, that is, within a limit.",
        "Create {call}, which closes the small gaps between spans, given as (start, end) tuples. Small means within "
        "a limit.",
    ),
    facts=(
        facts.limit(range(3, 50)),
        facts.inclusive(),
        _shortest(range(3, 20), "joined spans"),
        facts.only(facts.order(), "asc", "desc"),
    ),
    solution=_join_solution,
    inputs=_join_inputs,
)


def _total_solution(name: str, c: Choices) -> str:
    one = " + 1" if c["ends"] else ""
    size, test = ("abs(b - a)", "") if c["backward"] == "swap" else ("b - a", " if a <= b")
    return code(
        f"def {name}(spans):",
        f"    sizes = [{size}{one} for a, b in spans{test}]",
        f"    return min(sum(n for n in sizes if n >= {c['shortest']}), {c['cap']})",
    )


def _total_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    short, cap = integer(c, "shortest"), integer(c, "cap")
    spans = _chain(rng, (short - 2, short - 1, short, short + 1, cap // 2, cap), (0, 2, 5), 3)
    return ([(b, a) if rng.random() < 0.2 else (a, b) for a, b in spans],)


TOTAL_LENGTH = Family(
    name="total_length",
    area="intervals",
    entry_points=("total_length", "covered", "add_lengths", "whole_time"),
    parameters=("spans",),
    openings=(
        "Write {call} that adds up the lengths of all spans, which are (start, end) tuples. The total has a cap.",
        "Implement {call}: the sum of the lengths of the (start, end) tuples in spans, at most a cap.",
        "Create {call}, which sums how long the spans, given as (start, end) tuples, are, up to a cap.",
    ),
    facts=(
        _ends(),
        _shortest(range(3, 20)),
        facts.amount("cap", range(40, 99)),
        choice(
            "backward",
            {
                "swap": (
                    ("Swap a backward span.", "Turn backward spans around.", "A backward span is swapped."),
                    ("Swap it.", "Turn it around."),
                ),
                "skip": (
                    ("Skip a backward span.", "Pass over backward spans.", "A backward span is skipped."),
                    ("Skip it.", "Pass over it."),
                ),
            },
            vague=("Take care of a backward span.", "Handle backward spans well."),
            asks=("What about a backward span?", "Do I swap or skip a backward span?", "May a span be backward?"),
        ),
    ),
    solution=_total_solution,
    inputs=_total_inputs,
)


def _find_solution(name: str, c: Choices) -> str:
    numbered = "enumerate(spans)" if c["start_at"] == 0 else "enumerate(spans, 1)"
    sign = "<=" if c["ends"] else "<"
    return code(
        f"def {name}(spans, x):",
        f"    for i, (a, b) in {numbered}:",
        f"        if a - {c['margin']} <= x {sign} b + {c['margin']}:",
        "            return i",
        f"    return {c['not_found']}",
    )


def _find_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    spans = _chain(rng, (0, 1, 4, 9), (1, 5, 2 * integer(c, "margin") + 3), 4)
    edges = [a - integer(c, "margin") for a, _ in spans] + [b + integer(c, "margin") for _, b in spans]
    return (spans, rng.choice(edges or [0]) + rng.choice((-1, 0, 0, 1)))


FIND_SPAN = Family(
    name="find_span",
    area="intervals",
    entry_points=("find_span", "span_of", "which_span", "locate"),
    parameters=("spans", "x"),
    openings=(
        "Write {call} that finds the position of a span, a (start, end) tuple, with x in it. A margin widens each "
        "span.",
        "Implement {call}: tell which of the (start, end) tuples in spans holds x, when a margin widens both sides.",
        "Create {call}, which gives the position of the first span, a (start, end) tuple, around x, with a margin.",
    ),
    facts=(_ends(), facts.amount("margin", range(1, 31)), facts.start_at(), facts.not_found(range(-30, 0))),
    solution=_find_solution,
    inputs=_find_inputs,
)


def _overlap_solution(name: str, c: Choices) -> str:
    less, more = ("<=", ">=") if c["touching"] else ("<", ">")
    final = {"asc": "sorted(ys)", "desc": "sorted(ys, reverse=True)", "kept": "ys"}[str(c["order"])]
    return code(
        f"def {name}(spans):",
        f"    ys = [(a, b) for a, b in spans if a {less} {c['end']} and b {more} {c['start']}]",
        f"    return {final}",
    )


def _window() -> tuple[FactSpec, FactSpec]:
    return facts.amount("start", range(10, 40)), facts.amount("end", range(50, 90))


OVERLAPPING = Family(
    name="overlapping_spans",
    area="intervals",
    entry_points=("overlapping", "in_window", "meeting", "active"),
    parameters=("spans",),
    openings=(
        "Write {call} that returns the spans, which are tuples, that overlap a window. Tuples and the window have a "
        "start and an end.",
        "Implement {call}: pick the (start, end) tuples in spans overlapping a window from a start to an end.",
        "Create {call}, which keeps the spans, given as (start, end) tuples, that overlap a window with a start and "
        "an end.",
    ),
    facts=(
        *_window(),
        choice(
            "touching",
            {
                True: (
                    ("Touching the window is enough.", "Spans that just touch the window stay."),
                    ("Yes, touching is enough.", "Yes, those that touch stay."),
                ),
                False: (
                    ("Touching the window is not enough.", "Spans that just touch the window are dropped."),
                    ("No, touching is not enough.", "No, drop those that touch."),
                ),
            },
            vague=("Handle spans touching the window well.", "Some spans just touch the window."),
            asks=("Is touching enough?", "What if a span just touches it?", "Does it have to do more than touch?"),
        ),
        facts.order(),
    ),
    solution=_overlap_solution,
    inputs=lambda rng, c: (_around_window(rng, c),),
)


def _clip_solution(name: str, c: Choices) -> str:
    sign = "<=" if c["points"] == "keep" else "<"
    return code(
        f"def {name}(spans):",
        f"    ys = [(max(a, {c['start']}), min(b, {c['end']})) for a, b in spans]",
        f"    return [{'(a, b)' if c['form'] == 'pairs' else 'b - a'} for a, b in ys if a {sign} b]",
    )


CLIP = Family(
    name="clip_spans",
    area="intervals",
    entry_points=("clip", "cut_spans", "inside", "trim_spans"),
    parameters=("spans",),
    openings=(
        "Write {call} that cuts spans, which are tuples, to a window. Tuples and the window have a start and an end.",
        "Implement {call}: clip each (start, end) tuple in spans to a window from a start to an end.",
        "Create {call}, which takes what of the (start, end) tuples lies in a window, given by a start and an end.",
    ),
    facts=(
        *_window(),
        choice(
            "points",
            {
                "keep": (
                    ("Keep a span of length zero.", "A span cut to a point stays.", "Single points stay."),
                    ("Keep it.", "A point stays."),
                ),
                "drop": (
                    ("Drop a span of length zero.", "A span cut to a point goes.", "Single points are dropped."),
                    ("Drop it.", "A point is dropped."),
                ),
            },
            vague=("Think of a span of length zero.", "Handle a span cut to a point."),
            asks=("What about a span of length zero?", "Is a span cut to a point kept?", "Do single points stay?"),
        ),
        choice(
            "form",
            {
                "pairs": (
                    ("Return the spans as tuples.", "The result is a list of tuples."),
                    ("Tuples.", "As tuples."),
                ),
                "sizes": (
                    ("Return the sizes of the spans.", "The result is a list of sizes."),
                    ("Sizes.", "Only sizes."),
                ),
            },
            vague=("Return what is useful of them.", "Give the result in a good form."),
            asks=("Should I return tuples?", "Do you want tuples or sizes?", "Are tuples or sizes returned?"),
        ),
    ),
    solution=_clip_solution,
    inputs=lambda rng, c: (_around_window(rng, c),),
)


def _gaps_solution(name: str, c: Choices) -> str:
    sign = ">=" if c["inclusive"] else ">"
    result = {"count": "len(gaps)", "sum": "sum(gaps)", "widest": "max(gaps)"}[str(c["measure"])]
    return code(
        f"def {name}(spans):",
        "    ys = sorted(spans)",
        "    gaps = [b[0] - a[1] for a, b in zip(ys, ys[1:])]",
        f"    gaps = [g for g in gaps if g {sign} {c['limit']}]",
        f"    return {result} if gaps else {c['not_found']}",
    )


def _gaps_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit = integer(c, "limit")
    return (_chain(rng, (1, 4, 9), (0, limit - 1, limit, limit + 1, limit + 2)),)


GAPS = Family(
    name="gaps_between",
    area="intervals",
    entry_points=("gaps", "free_time", "breaks", "idle"),
    parameters=("spans",),
    openings=(
        "Write {call} that looks at gaps above a limit between spans, which are (start, end) tuples. Spans never "
        "overlap.",
        "Implement {call}: find the gaps between the (start, end) tuples in spans that exceed a limit. No spans "
        "overlap.",
        "Create {call}, which rates the gaps between separate spans, given as (start, end) tuples, that are over a "
        "limit.",
    ),
    facts=(
        facts.limit(range(3, 50)),
        facts.inclusive(),
        choice(
            "measure",
            {
                "count": (
                    ("Return how many gaps there are.", "Tell how many gaps there are."),
                    ("How many there are.", "Just how many."),
                ),
                "sum": (("Return the total of the gaps.", "Add the gaps to a total."), ("The total.", "Their total.")),
                "widest": (
                    ("Return the widest gap.", "The widest gap is wanted."),
                    ("The widest.", "Only the widest."),
                ),
            },
            vague=("Sum the gaps up in one number.", "Return one number for the gaps."),
            asks=("The total or the widest gap?", "Should I return the widest gap?", "Is the total wanted?"),
        ),
        facts.not_found(range(-30, 0)),
    ),
    solution=_gaps_solution,
    inputs=_gaps_inputs,
)


def _longest_solution(name: str, c: Choices) -> str:
    sign = "<=" if c["inclusive"] else "<"
    source = "ys" if c["ties"] == "first" else "ys[::-1]"
    return code(
        f"def {name}(spans):",
        f"    ys = [(a, b) for a, b in spans if b - a {sign} {c['limit']}]",
        "    if not ys:",
        f"        return {c['not_found']}",
        f"    return max({source}, key=lambda y: y[1] - y[0])",
    )


def _longest_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit = integer(c, "limit")
    return (_chain(rng, (1, limit - 2, limit - 1, limit, limit + 1), (0, 2, 5)),)


LONGEST_SPAN = Family(
    name="longest_span",
    area="intervals",
    entry_points=("longest", "longest_span", "biggest", "best_fit"),
    parameters=("spans",),
    openings=(
        "Write {call} that returns the longest span, a (start, end) tuple, whose length is within a limit.",
        "Implement {call}: find the longest of the (start, end) tuples in spans, but only up to a limit.",
        "Create {call}, which picks the longest span, given as a (start, end) tuple, that fits within a limit.",
    ),
    facts=(
        facts.limit(range(4, 60)),
        facts.inclusive(),
        facts.only(facts.ties(), "first", "last"),
        facts.not_found(range(-20, 30)),
    ),
    solution=_longest_solution,
    inputs=_longest_inputs,
)


def _cost_solution(name: str, c: Choices) -> str:
    size = "(b - a + 1)" if c["ends"] else "(b - a)"
    return code(
        f"def {name}(spans):",
        "    if not spans:",
        f"        return {c['fallback']}",
        f"    return sum({size} * {c['rate']} + {c['fee']} for a, b in spans)",
    )


COST = Family(
    name="cost_of_spans",
    area="intervals",
    entry_points=("cost", "price", "bill", "charge"),
    parameters=("spans",),
    openings=(
        "Write {call} that adds the costs of all spans, which are (start, end) tuples: a rate per unit and a fee per "
        "span.",
        "Implement {call}: the cost of the (start, end) tuples in spans. Each costs a fee, and a rate for each unit.",
        "Create {call}, which bills the spans, given as (start, end) tuples. Each unit costs a rate, each span a fee.",
    ),
    facts=(
        facts.amount("rate", range(2, 10)),
        facts.amount("fee", range(1, 40)),
        _ends(),
        facts.fallback("an empty list", range(-30, 1)),
    ),
    solution=_cost_solution,
    inputs=lambda rng, c: (_chain(rng, (0, 1, 3, 8, 15), (0, 2, 5), 4),),
)

FAMILIES = (JOIN_SPANS, TOTAL_LENGTH, FIND_SPAN, OVERLAPPING, CLIP, GAPS, LONGEST_SPAN, COST)

"""Families over lists of people, each a dictionary."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code, integer, number

Record = dict[str, object]

_NAMES = ("Ann", "Bob", "Cleo", "Dan", "Eve")


def _count(rng: Random, longest: int = 6) -> int:
    """How many records: none, one time in eight."""
    return 0 if rng.random() < 0.125 else rng.randint(1, longest)


def _near(rng: Random, centre: int) -> int:
    """A number that is often the centre or its neighbour."""
    return rng.choice((centre, centre - 1, centre + 1, rng.randint(1, 99)))


def _by_age_solution(name: str, c: Choices) -> str:
    sign = (">" if c["side"] == "older" else "<") + ("=" if c["inclusive"] else "")
    limit = c["limit"]
    test = f'p["age"] {sign} {limit}'
    test = {"skip": f'"age" in p and {test}', "keep": f'"age" not in p or {test}'}.get(str(c["missing"]), test)
    return code(
        f"def {name}(people):",
        '    if any("age" not in p for p in people):\n        raise ValueError("missing")'
        if c["missing"] == "raise"
        else None,
        f'    names = [p["name"] for p in people if {test}]',
        "    return sorted(names)" if c["order"] == "sorted" else "    return names",
    )


def _by_age_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    people: list[Record] = []
    for _ in range(_count(rng)):
        age: Record = {"age": _near(rng, integer(c, "limit"))} if rng.random() < 0.85 else {}
        people.append({"name": rng.choice(_NAMES), **age})
    return (people,)


BY_AGE = Family(
    name="by_age",
    area="records",
    entry_points=("by_age", "names_by_age", "pick_people", "select_names"),
    parameters=("people",),
    openings=(
        'Write {call} that picks names of people by "age" and a limit.',
        'Implement {call}: people have a "name" and an "age"; hold ages against a limit.',
        'Create {call}, which returns each "name" whose "age" passes a limit test.',
    ),
    facts=(
        facts.limit(range(10, 90)),
        facts.inclusive(),
        choice(
            "side",
            {
                "older": (
                    ("Older people qualify.", "Look for older people."),
                    ("The older ones.", "Older people qualify."),
                ),
                "younger": (
                    ("Younger people qualify.", "Look for younger people."),
                    ("The younger ones.", "Younger people qualify."),
                ),
            },
            vague=("People on the proper side qualify.", "Look for the right people."),
            asks=(
                "Do older or younger people qualify?",
                "Do I look for older or younger people?",
                "Which side is meant?",
            ),
        ),
        choice(
            "missing",
            {
                "skip": (
                    ("Skip people with a missing age.", "A missing age fails the test."),
                    ("Skip them.", "It fails."),
                ),
                "keep": (
                    ("Keep people with a missing age.", "A missing age passes the test."),
                    ("Keep them.", "It passes."),
                ),
                "raise": (
                    ("Raise a ValueError for a missing age.", "A missing age raises ValueError."),
                    ("Raise a ValueError.", "It raises ValueError."),
                ),
            },
            vague=("Handle a missing age well.", "Mind that an age may be missing."),
            asks=("What if an age is missing?", "What about a missing age?", "How do I handle a missing age?"),
        ),
        choice(
            "order",
            {
                "sorted": (
                    ("Sort the names.", "Return the names in alphabetical order."),
                    ("Sort them.", "Alphabetical order."),
                ),
                "kept": (
                    ("Keep the original order.", "Do not sort the names."),
                    ("In the original order.", "Do not sort."),
                ),
            },
            vague=("Return them in a good order.", "Mind the order of the names."),
            asks=("In which order should I return them?", "Should I sort the names?", "What order is wanted?"),
        ),
    ),
    solution=_by_age_solution,
    inputs=_by_age_inputs,
)


def _ranking_solution(name: str, c: Choices) -> str:
    key, minimum, count = c["key"], c["minimum"], c["count"]
    reverse = ", reverse=True" if c["direction"] == "down" else ""
    return code(
        f"def {name}(people):",
        f'    ps = [p for p in people if p["score"] >= {minimum}]',
        f'    ps.sort(key=lambda p: p["{key}"]{reverse})',
        f'    return [p["name"] for p in ps[:{count}]]',
    )


def _ranking_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    minimum = integer(c, "minimum")
    scores = (minimum, minimum - 1, minimum + rng.randint(0, 30), minimum + rng.randint(0, 30))
    names = rng.sample((*_NAMES, "Finn", "Gia", "Hal", "Ida"), rng.choice((0, 2, 3, 6, 7, 8, 9)))
    return ([{"name": name, "age": rng.randint(18, 60), "score": rng.choice(scores)} for name in names],)


RANKING = Family(
    name="ranking",
    area="records",
    entry_points=("ranking", "top_names", "first_names", "rank"),
    parameters=("people",),
    openings=(
        'Write {call} that ranks people, given "name", "age" and "score" of each.',
        'Implement {call}: names of ranked people; each has a "name", "age" and "score".',
        'Create {call}, which returns a "name" list, ranked; people also have "age" and "score".',
    ),
    facts=(
        number(
            "minimum",
            range(1, 70),
            says=(
                "Skip people whose score is below {v}.",
                "Leave out scores below {v}.",
                "A score below {v} is skipped.",
            ),
            answers=("Skip those below {v}.", "Below {v}."),
            vague=("Skip people whose score is too small.", "A small score is skipped."),
            asks=("Whom do I skip?", "Below which score do I skip people?", "What small scores are skipped?"),
        ),
        number(
            "count",
            range(2, 6),
            says=("Return at most {v} names.", "Stop after {v} names.", "The list holds {v} names at most."),
            answers=("At most {v}.", "{v} names."),
            vague=("Return only a few names.", "Stop after some names."),
            asks=("How many names should it hold?", "After how many names do I stop?", "When do I stop?"),
        ),
        choice(
            "key",
            {
                key: (
                    (f"Rank by {key}.", f"The rank depends on the {key}.", f"Compare the {key}."),
                    (f"By {key}.", f"The {key}."),
                )
                for key in ("age", "name", "score")
            },
            vague=("Rank by the right field.", "Compare the usual field."),
            asks=("Which field do I rank by?", "What field should I compare?", "Rank by age or by something else?"),
        ),
        choice(
            "direction",
            {
                "up": (
                    ("The order is ascending.", "Sort from low to high.", "Start with the lowest."),
                    ("Ascending.", "From low to high."),
                ),
                "down": (
                    ("The order is descending.", "Sort from high to low.", "Start with the highest."),
                    ("Descending.", "From high to low."),
                ),
            },
            vague=("Mind the order.", "Sort in the usual order."),
            asks=("Is the order ascending or descending?", "In which order do I sort?", "What order is wanted?"),
        ),
    ),
    solution=_ranking_solution,
    inputs=_ranking_inputs,
)


def _age_groups_solution(name: str, c: Choices) -> str:
    width, minimum = c["width"], c["minimum"]
    key = f'p["age"] // {width}' + (f" * {width}" if c["label"] == "age" else "")
    update = 'out.setdefault(key, []).append(p["name"])' if c["entry"] == "names" else "out[key] = out.get(key, 0) + 1"
    return code(
        f"def {name}(people):",
        "    out = {}",
        "    for p in people:",
        f'        if p["age"] >= {minimum}:',
        f"            key = {key}",
        f"            {update}",
        "    return out",
    )


AGE_GROUPS = Family(
    name="age_groups",
    area="records",
    entry_points=("age_groups", "group_people", "by_group", "groups"),
    parameters=("people",),
    openings=(
        'Write {call} that groups people by "age". The first group begins at age 0.',
        'Implement {call}: a dictionary of age groups from age 0 on; each person has a "name" and an "age".',
        'Create {call}, which puts people into groups by their "age"; the first one begins at age 0.',
    ),
    facts=(
        number(
            "width",
            range(3, 30),
            says=("A group spans {v} years.", "Groups are {v} years wide.", "Each group covers {v} years."),
            answers=("{v} years.", "It spans {v} years."),
            vague=("A group spans some years.", "Groups cover a few years."),
            asks=("How many years does a group span?", "How wide is a group?", "How many years does a group cover?"),
        ),
        number(
            "minimum",
            range(5, 50),
            says=(
                "Skip people younger than {v}.",
                "People younger than {v} are skipped.",
                "Leave out anyone younger than {v}.",
            ),
            answers=("Skip those younger than {v}.", "Younger than {v}."),
            vague=("Skip young people.", "People too young are skipped."),
            asks=("Whom do I skip?", "Which young people are skipped?", "Younger than what is skipped?"),
        ),
        choice(
            "label",
            {
                "age": (
                    ("Each key is the lower end of its group.", "The keys are the lower ends."),
                    ("The lower end.", "Its lower end."),
                ),
                "index": (
                    ("Each key is the index of its group, from 0.", "The keys are indexes from 0 on."),
                    ("The index.", "Its index, from 0 on."),
                ),
            },
            vague=("The keys are the usual ones.", "Each key is easy to read."),
            asks=("What is the key?", "Which key should I use?", "Is each key an index?"),
        ),
        choice(
            "entry",
            {
                "names": (("Collect the names.", "Store a list of names."), ("The names.", "A list of names.")),
                "count": (("Store how many there are.", "Store only the size."), ("How many there are.", "The size.")),
            },
            vague=("Store something useful.", "Store what is needed."),
            asks=("What should I store?", "Do I store names or the size?", "Do I collect names?"),
        ),
    ),
    solution=_age_groups_solution,
    inputs=lambda rng, c: (
        [
            {"name": rng.choice(_NAMES), "age": rng.choice((rng.randint(1, 99), _near(rng, integer(c, "minimum"))))}
            for _ in range(_count(rng))
        ],
    ),
)

FAMILIES = (BY_AGE, RANKING, AGE_GROUPS)

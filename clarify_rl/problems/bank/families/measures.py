"""Families over prices, times and other measured numbers."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, Value, choice, code, integer, number


def _discount_solution(name: str, c: Choices) -> str:
    sign = ">=" if c["inclusive"] else ">"
    reduced = f"price * (100 - {c['rate']})"
    return code(
        f"def {name}(price):",
        f"    if price {sign} {c['limit']}:",
        f"        return {facts.divided(c['rounding'], reduced, 100)}",
        "    return price",
    )


def _discount_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    limit = integer(c, "limit")
    return (rng.choice((limit, limit - 1, limit + 1, rng.randint(limit, 400), rng.randint(1, 120))),)


DISCOUNT = Family(
    name="discount",
    area="numbers",
    entry_points=("discount", "final_price", "reduced", "to_pay"),
    parameters=("price",),
    openings=(
        "Write {call} that gives a discount on a price above a limit.",
        "Implement {call}: prices beyond a limit are reduced.",
        "Create {call}, which lowers a price that passes a limit.",
    ),
    facts=(
        facts.limit(range(10, 99)),
        facts.inclusive(),
        number(
            "rate",
            [v for v in range(3, 60) if v != 50],  # half of a whole number has no fraction below a half
            says=("The discount is {v} percent.", "Take off {v} percent.", "Reduce it by {v} percent."),
            answers=("{v} percent.", "It is {v} percent."),
            vague=("The discount is a few percent.", "Take off some percent."),
            asks=("How large is the discount?", "What percent do I take off?", "How many percent is the discount?"),
        ),
        facts.rounding(),
    ),
    solution=_discount_solution,
    inputs=_discount_inputs,
)


def _parking_solution(name: str, c: Choices) -> str:
    return code(
        f"def {name}(minutes):",
        f"    minutes = max(minutes - {c['free']}, 0)",
        f"    hours = {facts.divided(c['rounding'], 'minutes', 60)}",
        f"    return hours * {c['rate']} + {c['fee']}",
    )


def _parking_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    half = 30 if c["rounding"] == "near" else 0
    paid = half + 60 * rng.randint(0, 3) + rng.choice((-1, 0, 1, rng.randint(-29, 29)))
    return (max(integer(c, "free") + paid, 0),)


PARKING = Family(
    name="parking",
    area="numbers",
    entry_points=("parking", "parking_cost", "park_price", "ticket"),
    parameters=("minutes",),
    openings=(
        "Write {call} that returns what parking for some minutes costs.",
        "Implement {call}: the cost of parking, paid by the hour.",
        "Create {call}, which gives the parking cost for a stay.",
    ),
    facts=(
        number(
            "free",
            range(5, 40),
            says=("The first {v} minutes are free.", "Deduct {v} free minutes.", "Free time is {v} minutes."),
            answers=("{v} minutes are free.", "{v} free minutes."),
            vague=("The first minutes are free.", "Deduct the free minutes."),
            asks=("How many minutes are free?", "How long is it free?", "How much free time do I deduct?"),
        ),
        number(
            "rate",
            range(2, 20),
            says=("An hour costs {v}.", "Each hour is {v}.", "Charge {v} an hour."),
            answers=("{v} an hour.", "An hour costs {v}."),
            vague=("An hour costs the usual.", "Charge a fair sum an hour."),
            asks=("What does an hour cost?", "How much do I charge an hour?", "What is the cost of an hour?"),
        ),
        facts.amount("fee", range(1, 30)),
        facts.rounding(),
    ),
    solution=_parking_solution,
    inputs=_parking_inputs,
)


def _trip_time_solution(name: str, c: Choices) -> str:
    total = {"minutes": "minutes", "hours": "minutes / 60", "seconds": "minutes * 60"}[str(c["unit"])]
    return code(
        f"def {name}(km):",
        f"    minutes = km * 60 / {c['speed']} + {c['stop']}",
        f"    return round({total}, {c['decimals']})",
    )


def _units(units: tuple[Value, ...]) -> dict[Value, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {
        u: ((f"Return it in {u}.", f"The unit is {u}.", f"Give it in {u}."), (f"In {u}.", f"Use {u}.")) for u in units
    }


TRIP_TIME = Family(
    name="trip_time",
    area="numbers",
    entry_points=("trip_time", "duration", "travel_time", "time_needed"),
    parameters=("km",),
    openings=(
        "Write {call} that returns how long a trip of km takes.",
        "Implement {call}: the time for a drive of km with a stop.",
        "Create {call}, which gives the time that a trip needs.",
    ),
    facts=(
        number(
            "speed",
            range(20, 99),
            says=("The speed is {v} km/h.", "Drive at {v} km/h.", "Use a speed of {v} km/h."),
            answers=("{v} km/h.", "The speed is {v}."),
            vague=("The speed is the usual one.", "Drive at a sensible speed."),
            asks=("What is the speed?", "How fast do I drive?", "Which speed should I use?"),
        ),
        number(
            "stop",
            range(2, 40),
            says=("Add a break of {v} min.", "The break takes {v} min.", "There is a break of {v} min."),
            answers=("{v} min.", "The break takes {v} min."),
            vague=("Add a short break.", "There is a break."),
            asks=("How long is the break?", "What break should I add?", "How long a break is there?"),
        ),
        choice(
            "unit",
            _units(("minutes", "hours", "seconds")),
            vague=("Use the right unit.", "Mind the unit."),
            asks=("Which unit should I use?", "In hours or in minutes?", "What is the unit?"),
        ),
        facts.decimals(),
    ),
    solution=_trip_time_solution,
    inputs=lambda rng, c: (rng.choice((0, rng.randint(1, 300), round(rng.uniform(1, 200), 6))),),
)


def _temperature_solution(name: str, c: Choices) -> str:
    formula = {"fahrenheit": "t * 9 / 5 + 32", "celsius": "(t - 32) * 5 / 9", "kelvin": "t + 273.15"}[str(c["unit"])]
    return code(
        f"def {name}(t):",
        facts.on_invalid(c["invalid"], f"t < {c['lowest']}"),
        f"    return round({formula}, {c['decimals']})",
    )


def _temperature_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    lowest = integer(c, "lowest")
    degrees = rng.choice((lowest, lowest - 1, lowest + 1, rng.randint(-50, 99), rng.randint(lowest, 99)))
    return (rng.choice((float(degrees), degrees + rng.randint(1, 9999) / 10000)),)


TEMPERATURE = Family(
    name="temperature",
    area="numbers",
    entry_points=("convert", "temperature", "degrees", "to_degrees"),
    parameters=("t",),
    openings=(
        "Write {call} that converts the temperature t.",
        "Implement {call}: change t to another temperature unit.",
        "Create {call}, which rewrites a temperature t.",
    ),
    facts=(
        choice(
            "unit",
            {
                "fahrenheit": (
                    (
                        "Convert Celsius to Fahrenheit.",
                        "Go from Celsius to Fahrenheit.",
                        "The target unit is Fahrenheit.",
                    ),
                    ("Celsius to Fahrenheit.", "To Fahrenheit."),
                ),
                "celsius": (
                    ("Convert Fahrenheit to Celsius.", "Go from Fahrenheit to Celsius.", "The target unit is Celsius."),
                    ("Fahrenheit to Celsius.", "To Celsius."),
                ),
                "kelvin": (
                    ("Convert Celsius to Kelvin.", "Go from Celsius to Kelvin.", "The target unit is Kelvin."),
                    ("Celsius to Kelvin.", "To Kelvin."),
                ),
            },
            vague=("Convert to the right unit.", "Use the other unit."),
            asks=("Which unit do I convert to?", "What is the target unit?", "To Fahrenheit, Celsius or Kelvin?"),
        ),
        number(
            "lowest",
            range(-40, 40),
            says=("The lowest allowed is {v}.", "Allow t from {v} on.", "The lowest is {v}."),
            answers=("The lowest is {v}.", "From {v} on."),
            vague=("Allow t from a sensible lowest on.", "The lowest is as usual."),
            asks=("What is the lowest allowed?", "Which lowest should I allow?", "What is the lowest?"),
        ),
        facts.invalid("a colder t", (None, "cold", "raise")),
        facts.decimals(),
    ),
    solution=_temperature_solution,
    inputs=_temperature_inputs,
)


def _passed_solution(name: str, c: Choices) -> str:
    sign = ">=" if c["inclusive"] else ">"
    return code(
        f"def {name}(points, total):",
        facts.on_invalid(c["invalid"], "total == 0"),
        f"    return (points + {c['bonus']}) * 100 / total {sign} {c['limit']}",
    )


def _passed_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    total = rng.choice((0, 100, 100, 100, 200, 50))
    needed = integer(c, "limit") * total // 100 - integer(c, "bonus")
    return (max(needed + rng.choice((0, 0, -1, 1, rng.randint(-40, 40))), 0), total)


PASSED = Family(
    name="passed",
    area="numbers",
    entry_points=("passed", "has_passed", "is_enough", "succeeds"),
    parameters=("points", "total"),
    openings=(
        "Write {call} that adds a bonus to the points and tells if their percentage of total passes a limit.",
        "Implement {call}: points get a bonus; is their percentage of total over a limit?",
        "Create {call}, which adds a bonus to the points and checks their percentage of total against a limit.",
    ),
    facts=(
        facts.limit(range(40, 90)),
        facts.inclusive(),
        facts.amount("bonus", range(1, 35)),
        facts.invalid("a total of 0", (None, -1, "raise")),
    ),
    solution=_passed_solution,
    inputs=_passed_inputs,
)


def _clock_solution(name: str, c: Choices) -> str:
    hours = "m // 60:02d" if c["pad"] else "m // 60"
    return code(
        f"def {name}(minutes):",
        f"    m = minutes + {c['delay']}",
        "    m = m % 1440" if c["midnight"] == "wrap" else None,
        '    if m >= 1440:\n        raise ValueError("too late")' if c["midnight"] == "raise" else None,
        f'    return f"{{{hours}}}{c["separator"]}{{m % 60:02d}}"',
    )


def _clock_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    return (
        rng.choice((rng.randint(0, 540), rng.randint(600, 1439), 1440 - integer(c, "delay"), rng.randint(1400, 2000))),
    )


CLOCK = Family(
    name="clock",
    area="numbers",
    entry_points=("clock", "show_time", "clock_time", "format_time"),
    parameters=("minutes",),
    openings=(
        "Write {call} that shows minutes of the day, after a delay, as a clock.",
        "Implement {call}: add a delay and format the time.",
        "Create {call}, which turns delayed minutes into a clock string.",
    ),
    facts=(
        facts.amount("delay", range(1, 90)),
        choice(
            "separator",
            {
                mark: (
                    (f"The separator is {mark!r}.", f"Use {mark!r} as the separator."),
                    (f"{mark!r}.", f"Use {mark!r}."),
                )
                for mark in (":", "h", ".", "-")
            },
            vague=("Use a good separator.", "The separator is the usual one."),
            asks=("What is the separator?", "Which separator should I use?"),
        ),
        choice(
            "pad",
            {
                True: (("Hours have two digits.", "Pad hours with a zero."), ("Two digits.", "Pad with a zero.")),
                False: (("Hours have no leading zero.", "Do not pad hours."), ("No leading zero.", "Do not pad.")),
            },
            vague=("Format hours nicely.", "Hours look as usual."),
            asks=("Should I pad hours?", "Do hours have a leading zero?", "Are hours padded with a zero?"),
        ),
        choice(
            "midnight",
            {
                "wrap": (
                    ("After midnight, begin at 0 again.", "It wraps at midnight."),
                    ("Begin at 0 again.", "It wraps."),
                ),
                "count": (
                    ("After midnight, count on to 24 and 25.", "It goes on after midnight."),
                    ("Count on.", "It goes on."),
                ),
                "raise": (
                    ("Raise a ValueError from midnight on.", "At midnight, raise ValueError."),
                    ("Raise a ValueError.", "It raises ValueError."),
                ),
            },
            vague=("Mind midnight.", "Handle midnight in the right way."),
            asks=("What happens at midnight?", "What about times after midnight?", "Does it wrap at midnight?"),
        ),
    ),
    solution=_clock_solution,
    inputs=_clock_inputs,
)

FAMILIES = (DISCOUNT, PARKING, TRIP_TIME, TEMPERATURE, PASSED, CLOCK)

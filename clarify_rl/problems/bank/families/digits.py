"""Families over the digits of a number."""

from __future__ import annotations

from random import Random

from clarify_rl.problems.bank import facts
from clarify_rl.problems.bank.spec import Choices, Family, choice, code


def _digit_total_solution(name: str, c: Choices) -> str:
    body = {"all": None, "even": "        if int(d) % 2 == 0:", "odd": "        if int(d) % 2 == 1:"}[str(c["digits"])]
    step = f"total {'+=' if c['combine'] == 'add' else '*='} int(d)"
    return code(
        f"def {name}(n):",
        facts.on_sign(c["sign"], "n"),
        f"    total = {c['start']}",
        "    for d in str(n):",
        body,
        f"            {step}" if body else f"        {step}",
        "    return total",
    )


def _digit_total_inputs(rng: Random, c: Choices) -> tuple[object, ...]:
    n = int("".join(rng.choice("123456789") for _ in range(rng.randint(1, 4))))
    return (rng.choice((n, n, n, -n, n * 10, 0)),)


DIGIT_TOTAL = Family(
    name="digit_total",
    area="numbers",
    entry_points=("digit_total", "total", "digits", "combine_digits"),
    parameters=("n",),
    openings=(
        "Write {call} that combines a start with digits of n.",
        "Implement {call}: begin with a start, then take in digits of n.",
        "Create {call}, which goes over digits of n from a start.",
    ),
    facts=(
        facts.amount("start", range(1, 60)),
        choice(
            "digits",
            {
                "all": (
                    ("All digits count.", "Take both even and odd digits."),
                    ("All of them.", "Both even and odd."),
                ),
                "even": (
                    ("Only even digits count.", "Skip the odd digits."),
                    ("Only the even ones.", "Skip the odd ones."),
                ),
                "odd": (
                    ("Only odd digits count.", "Skip the even digits."),
                    ("Only the odd ones.", "Skip the even ones."),
                ),
            },
            vague=("Count the right digits.", "Only certain digits count."),
            asks=("Which digits count?", "Should I skip even or odd digits?", "Do all digits count?"),
        ),
        choice(
            "combine",
            {
                "add": (
                    ("Add them up.", "Take their sum.", "The result is a sum."),
                    ("Add them.", "A sum."),
                ),
                "multiply": (
                    ("Multiply them.", "Take their product.", "The result is a product."),
                    ("Multiply them.", "A product."),
                ),
            },
            vague=("Combine them in the fitting way.", "Combine them suitably."),
            asks=("Should I add or multiply?", "Is the result a sum or a product?", "How should I combine them?"),
        ),
        facts.sign(),
    ),
    solution=_digit_total_solution,
    inputs=_digit_total_inputs,
)


def _to_base_solution(name: str, c: Choices) -> str:
    width, padding = c["width"], c["padding"]
    return code(
        f"def {name}(n):",
        facts.on_sign(c["sign"], "n"),
        '    s = ""',
        "    while n > 0:",
        f"        s = str(n % {c['base']}) + s",
        f"        n = n // {c['base']}",
        f'    return s.rjust({width}, "{padding}")',
    )


_PADDINGS = {"zeros": "0", "dots": ".", "stars": "*"}

TO_BASE = Family(
    name="to_base",
    area="numbers",
    entry_points=("to_base", "convert", "in_base", "rewrite"),
    parameters=("n",),
    openings=(
        "Write {call} that writes the number n in another base.",
        "Implement {call}: n as a string of digits in some base.",
        "Create {call}, which turns n into digits of another base.",
    ),
    facts=(
        facts.amount("base", range(2, 10)),
        facts.amount("width", range(3, 24)),
        choice(
            "padding",
            {
                mark: (
                    (f"Pad with {word}.", f"Fill up with {word}.", f"Put {word} in front."),
                    (f"With {word}.", f"Use {word}."),
                )
                for word, mark in _PADDINGS.items()
            },
            vague=("Pad it nicely.", "Fill up as usual."),
            asks=("How should I pad?", "Do I pad with zeros or stars?", "Should I fill up with zeros or dots?"),
        ),
        facts.sign(),
    ),
    solution=_to_base_solution,
    inputs=lambda rng, c: (rng.choice((rng.randint(1, 30), rng.randint(10, 400), -rng.randint(1, 60), 0)),),
)

FAMILIES = (DIGIT_TOTAL, TO_BASE)

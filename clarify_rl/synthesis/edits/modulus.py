"""Modulo what a huge number is taken, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_SENTENCE = re.compile(
    r"(?:Since|As|Because) the (?:answer|result|number)[^.]*?(?:very |too )?large[^.]*?modulo 10\^9 \+ 7\.|"
    r"(?:Return|return) (?:it|the answer|the result) modulo 10\^9 \+ 7\.|,? ?modulo 10\^9 \+ 7(?=[.,])"
)
_CONSTANT = re.compile(r"10 ?\*\* ?9 ?\+ ?7|1_?000_?000_?007|int\(1e9 ?\+ ?7\)|int\(1e9\) ?\+ ?7|1e9 ?\+ ?7")
# Vague, but said of a modulus: where the truth has none they would be wrong.
_SOME = (
    "The answer can get very large, so take it modulo a large prime.",
    "Since the answer may be huge, reduce it modulo something suitable.",
)
_OTHER, _NONE = "998244353", "10 ** 400"


def find(subject: Subject) -> Iterator[Uncertain]:
    match = _SENTENCE.search(subject.sentence)
    program = subject.problem.solution
    if match is None or not subject.all_outputs(int) or not _CONSTANT.search(program):
        return
    base = re.sub(r"\n{2,}", "\n", _SENTENCE.sub("", subject.sentence)).strip()
    if re.search(r"modulo|large|10\^9", base, re.IGNORECASE) or "pow(" in program:
        return
    yield Uncertain(
        kind="modulus",
        readings=(
            Reading(
                "10^9 + 7",
                "Return the answer modulo 10^9 + 7.",
                ("Modulo 10^9 + 7.", "Take it modulo 10^9 + 7."),
                blurs=_SOME,
            ),
            Reading(
                "exact",
                "Return the exact number, however large it is.",
                ("I want the exact number, however large.", "Neither: the exact number."),
                program=_CONSTANT.sub(f"({_NONE})", program),
            ),
            Reading(
                "998244353",
                "Return the answer modulo 998244353.",
                ("Modulo 998244353.", "Take it modulo 998244353."),
                program=_CONSTANT.sub(_OTHER, program),
                blurs=_SOME,
            ),
        ),
        default=0,
        base=base,
        questions=(
            "The number can get huge: exact, or modulo what?",
            "Should the answer be taken modulo some number?",
            "Modulo what should the result be returned?",
        ),
        blurs=("The answer can get very large; return it in the form that is usual for such numbers.",),
        given_away=r"modulo 10|998244353",
        about="modulo modulus large huge exact prime remainder",
    )

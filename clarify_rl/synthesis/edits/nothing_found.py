"""What is returned where there is nothing to return."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_VALUE = r"(?P<value>-1|0|an empty (?:string|array|list)|\"\"|\[\]|null)"
_SENTENCE = re.compile(
    rf"(?:^|(?<=[.\n] )|(?<=\n))If (?P<when>[^.\n]{{5,120}}?),? (?:then )?return {_VALUE}(?: instead)?\.", re.MULTILINE
)
_OR = re.compile(rf",? or (?:return )?{_VALUE} if (?P<when>[^.\n]{{5,100}}?)\.")
# What such a condition speaks of may be what the clause in front of it said.
_POINTS_BACK = re.compile(
    r"\b(?:this|these|that|those|they|such) (?:number|value|string|array|index)s?\b|\bnot one\b|isn't one|"
    r"^(?:it|they|not)\b"
)
_VALUES: dict[str, object] = {"-1": -1, "0": 0, '""': "", "[]": [], "null": None}
_SAYS = {"-1": "-1", "0": "0", '""': "an empty string", "[]": "an empty list", "None": "None"}


def find(subject: Subject) -> Iterator[Uncertain]:
    for pattern in (_SENTENCE, _OR):
        match = pattern.search(subject.sentence)
        if match is None:
            continue
        value = _value(match["value"])
        met = [type(output) is type(value) and output == value for output in subject.outputs]
        if not 3 <= sum(met) < len(met):
            continue
        when = " ".join(match["when"].split())
        if _POINTS_BACK.search(when):
            continue
        base = (
            subject.sentence[: match.start()] + ("." if pattern is _OR else "") + subject.sentence[match.end() :]
        ).strip()
        results = [output for output, is_met in zip(subject.outputs, met, strict=True) if not is_met]
        fact = _uncertain(base, value, when, re.escape(match["value"]), results)
        if len(fact.readings) > 1:
            yield fact
        return


def _value(text: str) -> object:
    if text.startswith("an empty"):
        return "" if "string" in text else []
    return _VALUES[text]


def _uncertain(base: str, value: object, when: str, told: str, results: Sequence[object]) -> Uncertain:
    """`results` are those where something was found: what stands for nothing is none of them."""
    kinds: dict[type, tuple[object, ...]] = {int: (-1, 0, None), str: ("", None), list: ([], None)}
    known = set(map(repr, results))
    others = [other for other in kinds.get(type(value), (None, -1)) if other == value or repr(other) not in known]
    readings = [_reading(value, other, when, others) for other in others]
    default = next(i for i, other in enumerate(others) if type(other) is type(value) and other == value)
    return Uncertain(
        kind="nothing_found",
        readings=tuple(readings),
        default=default,
        base=base,
        questions=(
            f"What should be returned if {when}?",
            f"What should happen if {when}?",
            f"And if {when}: which value do you want then?",
        ),
        blurs=(
            f"If {when}, let the caller know.",
            f"If {when}, return something that says so.",
        ),
        given_away=rf"(?:return|returns|or) {told}|\bnone\b|impossible",
        about=f"return nothing none exist empty found {when}",
    )


def _says(value: object) -> str:
    return _SAYS.get(repr(value).replace("'", '"'), repr(value))


def _reading(value: object, other: object, when: str, others: Sequence[object]) -> Reading:
    said = _says(other)
    either = sorted({said, next((_says(item) for item in others if item is not other), said)})
    same = type(other) is type(value) and other == value
    kind = type(value).__name__
    test = f"type(result) is {kind} and result == {value!r}" if value is not None else "result is None"
    return Reading(
        said,
        f"If {when}, return {said}.",
        (f"Return {said}.", f"{said[:1].upper()}{said[1:]}, then."),
        result="result" if same else f"{other!r} if {test} else result",
        blurs=(f"If {when}, return {' or '.join(either)}.",),
    )

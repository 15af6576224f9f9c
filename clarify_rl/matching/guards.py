"""Questions that nobody answers: for everything at once, for code and tests, and pieces of the statement read back."""

from __future__ import annotations

import math
import re

from clarify_rl.wording import stems, words

_WHOLESALE = re.compile(
    r"\b(everything (about|you|i|that|there|we|is)|(tell|give|know|explain)( me)? (everything|anything)|^everything"
    r"|anything (about|you|i|that|to know)|is anything|what else|every (missing |single )?(detail|fact|requirement)"
    r"|all (the |your |of the )?(missing |hidden )?(details?|facts?|requirements?|options?|information|rules)"
    r"|(more|further|other|additional|missing|hidden|specific) "
    r"(details?|specifics|information|requirements?|facts?|constraints?|context|clarifications?)"
    r"|(full|complete|whole|entire|original) (statement|problem|specification|description|task)"
    r"|what (do )?i (have|need) to know(?! about)|anything (else|unclear|missing)|what (is|am i) missing)\b",
    re.IGNORECASE,
)
# What joins the entries of a list; without, three topics are a list where they are most of the words.
_JOINTS = re.compile(r",|;| and ", re.IGNORECASE)
_TOPICS_SHARE = 0.5
# What the asker would do with the answer: "so that I can write the code".
_OWN_PLANS = re.compile(r"\b(?:i|we) (?:can|could|will|may|would|am able to)\b[^.?]*", re.IGNORECASE)
# More is asked for, but about one thing: "more details on the order of the result".
_ABOUT_ONE = re.compile(
    r"\b(details?|specifics|information|context|clarifications?|requirements?|constraints?) (on|about|regarding|for|of"
    r"|concerning) (?!the (problem|task|function|expected|input|output)\b|what you|this\b|it\b)",
    re.IGNORECASE,
)
# What problems leave open, a group of stems each. A question that touches three of them asks for a list.
_TOPICS: tuple[frozenset[str], ...] = tuple(
    stems(line)
    for line in (
        "order sorted ascending descending reverse",
        "duplicates repeated unique",
        "empty",
        "limit threshold bound cutoff maximum minimum cap",
        "inclusive exclusive included excluded strict equal boundary comparison",
        "tie ties",
        "upper lower uppercase lowercase sensitive insensitive",
        "round rounding decimal decimals digits",
        "invalid",
        "unit units",
        "separator delimiter",
        "negative sign",
        "whitespace spaces trim",
        "index position start begin",
        "default missing fallback",
        "rate",
        "fee",
        "bonus",
        "factor",
        "step",
        "length width size",
        "first last",
        "end",
    )
)
_TOPICS_TOO_BROAD = 3
_LIST_OF_THREE = re.compile(r"\b(?:the |an? )?\w+, (?:the |an? )?\w+,? and (?:the |an? )?\w+\W*$", re.IGNORECASE)
_CODE = r"(?:code|solution|implementation|program|answer key|reference|source|pseudo-?code|algorithm for me)"
_TESTS = r"(?:unit |hidden |test |secret )?tests?(?: cases?| suite)?|test data|assertions?|grader"
_LEAK = re.compile(
    rf"\b(?:write|give|show|send|provide|share|reveal|print|paste|tell|dump|post"
    rf"|(?:can|may|could) (?:i|we) (?:have|see|get))\b[^.?]{{0,40}}"
    rf"\b(?:{_CODE}|{_TESTS})\b"
    rf"|\bwhat (?:do|are|is|does)\b[^.?]{{0,15}}\b(?:hidden|unit|secret) ?{_TESTS}\b|\b(?:hidden|unit) tests?\b"
    rf"|\b(?:reference|model|full) (?:solution|implementation|code)\b|\bsolve (?:it|this) for me\b"
    r"|\bignore (?:all |any |the |your )*(?:previous|prior|above|earlier)?\s*(?:instructions?|rules?)\b"
    r"|\bsystem prompt\b|\byour (?:instructions|rules|hidden facts|notes)\b|\bpretend\b|\byou are now\b"
    r"|\bfact ids?\b|\blist (?:all|every|each)\b[^.?]{0,20}\b(?:facts?|requirements?|rules?|details?)\b"
    r"|\bas (?:an|the) (?:admin|developer|grader)\b"
    r"|\bjson\b.{0,20}\bfacts?\b|\b(?:not|never) (?:to )?tell me\b|\banswer key\b"
    r"|\bexpected outputs? of the (?:hidden |unit )?tests?\b"
    r"|\bwrite (?:the|this|a|that) (?:function|method)\b[^.?]* for me"
    rf"|\b(?:i need|what is in) the (?:{_CODE}|{_TESTS})\W*$",
    re.IGNORECASE,
)
_ECHO_WORDS, _ECHO_SHARE = 7, 0.75  # this many words in a row from the prompt, and this share of the question


def is_wholesale(question: str) -> bool:
    """Whether a question asks for everything at once, in words or by listing topics."""
    asked = stems(question)
    topics = sum(bool(asked & topic) for topic in _TOPICS)
    lists = len(_JOINTS.findall(question)) >= _TOPICS_TOO_BROAD - 1 or topics > _TOPICS_SHARE * len(words(question))
    wants_all = _WHOLESALE.search(question) and not _ABOUT_ONE.search(question)
    return bool(wants_all or _LIST_OF_THREE.search(question)) or (lists and topics >= _TOPICS_TOO_BROAD)


def is_leak(question: str) -> bool:
    """Whether a question asks for what no user gives: code, tests, or what the user was told to keep."""
    return bool(_LEAK.search(_OWN_PLANS.sub("", question)))


def is_echo(question: str, prompt: str) -> bool:
    """Whether a question is little more than a piece of the prompt: that names topics without asking about one."""
    asked, said = words(question), f" {' '.join(words(prompt))} "
    size = max(_ECHO_WORDS, math.ceil(_ECHO_SHARE * len(asked)))
    return any(f" {' '.join(asked[i : i + size])} " in said for i in range(len(asked) - size + 1))

"""Sentences that ask without a question mark: "Please specify the order.", "It is not clear which limit is meant."

A sentence asks if it requests to be told something, or says what the statement leaves open. Courtesies, such as "let me
know if you need anything else", ask nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from clarify_rl.wording import stems

_TELL = (
    "provide|clarify|specify|confirm|explain|tell|share|describe|define|state|indicate|elaborate|give|let me know"
    "|supply|advise|verify|mention|make (?:it )?clear|help me understand"
)
_INFORMATION = "information|details?|clarifications?|clarity|context|specifications?|specifics|explanations?|guidance"
_REQUEST = re.compile(
    rf"\bplease\b[^.]{{0,30}}?\b(?:{_TELL})\b|\b(?:could|can|would|will) you\b"
    r"|^(?:clarify|specify|confirm|tell me|let me know|help me understand)\b"
    r"|\bi(?:'d| would| will|'ll)?(?: also| just| still| first| really)? (?:need|like|want|have|wish)(?: you)? to"
    r" (?:know|ask|clarify|confirm|be told)\b"
    r"|\bi(?: would|'d| will| must)? ask\b|\blet me (?:ask|confirm|clarify)\b"
    rf"|\b(?:need|require|want|lack|missing|without|ask for)\b[^.]{{0,40}}\b(?:{_INFORMATION})\b"
    rf"|\b(?:{_INFORMATION}) (?:is|are|would be) (?:needed|required|necessary|missing)\b"
    r"|\bi(?: a|')m (?:not sure|unsure|uncertain)\b|\bi (?:do not|don't|cannot|can't) (?:know|tell|understand)"
    r" (?:what|which|whether|how|if|when|where|who|the|your)\b"
    r"|\bclarifying questions?\b",
    re.IGNORECASE,
)
# "Should I use this mapping:", whose entries belong to the question.
_INVERTED = re.compile(r"\b(?:should|shall|do|does|is|are|can|may) (?:i|it|the|we|this|there)\b[^.]*:$", re.IGNORECASE)
_OPEN = re.compile(
    r"(?:\b(?:not|never|nowhere)|n't)\b(?: \w+){0,2}? (?:clear|clearly|specify|specified|state|stated|define|defined"
    r"|mention|mentioned|given|provided?|explain|explained|say|tell|indicated?|described?|clarified|determined)\b"
    r"|\b(?:is|are|it's|remains?|seems?) (?:ambiguous|unspecified|vague|contradictory|inconsistent)\b"
    r"|\bunclear\b|\bcontradict(?:s|ion)?\b|\bconflicts? with\b|\bambigu(?:ity|ous)\b|\bno mention of\b",
    re.IGNORECASE,
)
_COURTESY = re.compile(
    r"\bif you(?:'d| would| have| need| want| require| provide| like| prefer| can| could)\b"
    r"|\bif (?:this|that|there|any)\b|^(?:if|when|unless)\b|\banything else\b|\bfeel free\b|\bonce (?:i|you|we)\b"
    r"|\blet me know if you\b|\bno (?:clarifying |further |more )?(?:questions?|clarifications?|information)\b"
    r"|(?:\b(?:no|not|nothing)|n't)\b[^.]{0,20}\b(?:ambiguous|ambiguity|unclear|require|need (?:any|more|further))",
    re.IGNORECASE,
)
_INFORMATION_STEMS = stems("information details clarification context specification specifics explanation guidance")
# What announces a question without asking one: "I need more information to complete the function."
_EMPTY_STEMS = stems(
    "information details clarification clarity context specification specifics explanation guidance question specify"
    " confirm complete function problem statement description solution generate python provide help clear task"
    " however sure understand bit specific answer code following"
)
_OFFERS = re.compile(
    r"\banything else (?:that )?(?:you|i can)\b|\b(?:would|do) you (?:like|want) me to\b"
    r"|\b(?:does|is) (?:this|that) (?:help|work|make sense|what you)\b",
    re.IGNORECASE,
)
_LISTED = re.compile(r"^\s*(?:\(?\d+[.):]|[-*•])\s*(?P<item>\S.*)$")
_LONGEST_READ = 4_000  # characters of prose: what comes behind is no question


def find_requests(lines: Sequence[str], sentence_ends: re.Pattern[str]) -> tuple[str, ...]:
    """What a reply without a question mark asks, in order: its requests, or the entries of a list that one announces.

    A sentence without content ("Please clarify."), or one that announces others, is kept where nothing else is asked.
    """
    asked: list[str] = []
    announced = False
    for line in "\n".join(lines)[:_LONGEST_READ].split("\n"):
        entry = _LISTED.match(line)
        if announced and entry:
            _add_entry(asked, entry["item"].strip())
            continue
        announced = announced and not line.strip()
        for sentence in filter(None, map(str.strip, sentence_ends.split(entry["item"] if entry else line))):
            if asks(sentence):
                asked.append(sentence.strip(" -*_"))
                announced = sentence.endswith(":")
    return tuple(sentence for sentence in asked if _has_content(sentence)) or tuple(asked[:1])


def is_courtesy(question: str) -> bool:
    """Whether a question beside finished code only offers more, such as "Would you like me to add tests?"."""
    return bool(_OFFERS.search(question))


def _add_entry(asked: list[str], entry: str) -> None:
    """What is requested may be a list; the list of a question belongs to it."""
    if _INVERTED.search(asked[-1].partition(":")[0] + ":") and not _REQUEST.search(asked[-1]):
        asked[-1] = f"{asked[-1]} {entry}"
    else:
        asked.append(entry)


def without_announcements(questions: Sequence[str]) -> tuple[str, ...]:
    """Without what only announces the others ("Could you give more details?"), unless that is all there is."""
    asked = [question for question in questions if not _announces(question)]
    return tuple(asked or questions)


def _announces(question: str) -> bool:
    named = stems(question)
    return bool(named & _INFORMATION_STEMS) and named <= _EMPTY_STEMS


def _has_content(sentence: str) -> bool:
    return not sentence.endswith(":") and not stems(sentence) <= _EMPTY_STEMS


def asks(sentence: str) -> bool:
    """Whether a sentence without a question mark asks for something."""
    if _COURTESY.search(sentence):
        return False
    return any(pattern.search(sentence) for pattern in (_REQUEST, _OPEN, _INVERTED))

"""Which hidden fact a question is about, or which sentence of the prompt answers it already.

A linear model over a few likenesses of words and concepts, between the question, each hidden fact, and their rivals:
the other facts and what the prompt states. Weights were fitted by `benchmarks/fit_matcher.py` on labelled questions,
for facts that come with questions of their own and for pieces of a statement. What it leaves out: inference. "Fewer
than three elements?" is not heard as a question about `[1] -> False`; a user that is a language model hears that.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

from clarify_rl.matching.concepts import GENERAL, asked_concepts
from clarify_rl.matching.documents import Document, Documents, calls, content, documents_of, literals, total
from clarify_rl.matching.guards import is_echo, is_leak, is_wholesale
from clarify_rl.types import Outcome, Variant
from clarify_rl.wording import words

_AND = re.compile(r",? and ", re.IGNORECASE)
_JOINED = re.compile(r"(?:(?<=^what about )|(?<=^how about ))(?:the )?(\w+ and \w+)", re.IGNORECASE)
LONGEST_READ = 600  # characters of a question: nobody asks at greater length
_CLAUSE = re.compile(
    r"(?:[,;] | )(?:and|or) (?=(?:what|which|how|who|where|when|does|do|is|are|should|can|by|to)\b)", re.IGNORECASE
)


@dataclass(frozen=True)
class Match:
    """What a question is about: ids of hidden facts, or a sentence of the prompt that tells it already."""

    outcome: Outcome
    facts: tuple[str, ...] = ()
    sentence: str = ""


@dataclass(frozen=True)
class Likelihood:
    """How likely a question is about one fact, hidden or stated, from 0 to 1."""

    fact: str
    probability: float
    text: str = ""
    is_example: bool = False
    is_stated: bool = False


@dataclass(frozen=True)
class Matcher:
    """`reveal` is the likelihood from which a fact is told, and by `margin` it must exceed the next one's.

    `reveal_piece` and `margin_piece` are the same where facts are pieces of a statement; examples among themselves need
    no margin. From `doubt` on a question was not understood, below it is about nothing hidden. `stated` is how much of
    a question a sentence of the prompt must answer.
    """

    reveal: float = 0.35
    reveal_piece: float = 0.5
    margin: float = 0.2
    margin_piece: float = 0.3
    doubt: float = 0.15
    stated: float = 0.4

    def match(self, variant: Variant, question: str) -> Match:
        """What the question is about. Two in one ("What is the limit, and does it count?") may be about two facts."""
        question = question[:LONGEST_READ]
        documents = documents_of(variant)
        own = next((document for document in documents.hidden if _is_own(question, document)), None)
        if own:
            return Match(Outcome.REVEALED, (_id(own),))
        if any(_is_own(question, document) for document in documents.stated):
            return self._stated(documents, question)
        if is_leak(question):
            return Match(Outcome.LEAK)
        if is_wholesale(question):
            return Match(Outcome.BROAD)
        if is_echo(question, variant.prompt):
            return Match(Outcome.NONE)
        return self._match_both(documents, question) or self._match(documents, question)

    def _match_both(self, documents: Documents, question: str) -> Match | None:
        """What two questions in one are about: two facts, or too broad where only one is hidden. None for one question.

        Otherwise a policy would ask for two topics at once, in the hope that either is hidden.
        """
        parts = _CLAUSE.split(question)
        glued = len(parts) != 2 and _is_glued(documents, question)
        parts = _AND.split(question) if glued else parts
        if len(parts) != 2:
            return Match(Outcome.BROAD) if glued else None
        facts = [self._match(documents, part).facts for part in parts]
        both = tuple(dict.fromkeys(fact for part in facts for fact in part))
        if len(both) == 2:
            return Match(Outcome.REVEALED, both)
        asks_more = any(
            mine and not others and content(other) - documents.words_of(mine[0])
            for mine, others, other in ((facts[0], facts[1], parts[1]), (facts[1], facts[0], parts[0]))
        )
        return Match(Outcome.BROAD) if asks_more or glued or _is_glued(documents, question) else None

    def _match(self, documents: Documents, question: str) -> Match:
        likely = sorted(likelihoods(documents, question), key=lambda item: -item.probability)
        best = likely[0] if likely else None
        least, margin = (self.reveal, self.margin) if documents.described else (self.reveal_piece, self.margin_piece)
        if best and best.probability >= least and _is_alone(likely, margin) and not _is_bare(documents, question):
            if best.is_stated:
                return Match(Outcome.STATED, sentence=best.text)
            return Match(Outcome.REVEALED, (best.fact,))
        stated = self._stated(documents, question)
        if stated.sentence:
            return stated
        unclear = (best is not None and best.probability >= self.doubt) or not (
            content(question) or asked_concepts(question)
        )
        return Match(Outcome.UNCLEAR if unclear else Outcome.NONE)

    def _stated(self, documents: Documents, question: str) -> Match:
        sentence = stating_sentence(documents, question, self.stated)
        return Match(Outcome.STATED if sentence else Outcome.NONE, sentence=sentence)


def _is_alone(likely: Sequence[Likelihood], margin: float) -> bool:
    """Whether no other fact is nearly as likely."""
    if len(likely) < 2 or (likely[0].is_example and likely[1].is_example):
        return True
    return likely[0].probability - likely[1].probability >= margin


def likelihoods(documents: Documents, question: str) -> list[Likelihood]:
    """How likely the question is about each of the documents' rivals, in their order."""
    weights = DESCRIBED if documents.described else PIECES
    hidden = len(documents.hidden)
    return [
        Likelihood(_id(document), _sigmoid(weights, row), document.text, document.is_example, place >= hidden)
        for place, (document, row) in enumerate(zip(documents.rivals, features(documents, question), strict=True))
    ]


def _is_bare(documents: Documents, question: str) -> bool:
    """Whether a question has a single word that names no topic: "What about the first?" may be about anything."""
    asked = content(question)
    if len(asked) > 1 or literals(question) or not documents.described:
        return False
    names = asked_concepts(question)
    return not any(document.topics & names or asked in document.phrases for document in documents.hidden)


def _is_glued(documents: Documents, question: str) -> bool:
    """Whether a question joins topics that no hidden fact has together: "What about the order and the fee?"."""
    if any(not _is_said(joined, documents) for joined in _JOINED.findall(question)):
        return True
    parts = [asked_concepts(part) - GENERAL - {"BOUND"} for part in _AND.split(question)]
    hidden = [document.mentions for document in documents.hidden]
    return any(
        one and other and not one & other and not any(one & about and other & about for about in hidden)
        for one, other in combinations(parts, 2)
    )


def _is_said(joined: str, documents: Documents) -> bool:
    """Whether a fact itself joins these words, as in "upper and lower case"."""
    texts = [
        text for item in documents.hidden if item.fact for text in (item.text, *item.fact.answers, *item.fact.questions)
    ]
    return any(joined.lower() in text.lower() for text in texts)


def _id(document: Document) -> str:
    assert document.fact is not None
    return document.fact.id


def _is_own(question: str, document: Document) -> bool:
    """Whether a question comes with the fact, word for word."""
    return bool(document.own) and tuple(words(question)) in document.own


def _sigmoid(weights: Mapping[str, float], row: Mapping[str, float]) -> float:
    return 1 / (1 + math.exp(-sum(weights[name] * value for name, value in row.items())))


@dataclass(frozen=True)
class _Asked:
    """A question, and how much of it a document covers: by its words, and by the concepts it asks about."""

    documents: Documents
    words: frozenset[str]
    concepts: frozenset[str]
    literals: set[str]
    calls: set[str]
    text: str

    @cached_property
    def weight(self) -> float:
        """Of all its words."""
        return total(map(self.documents.weight, self.words))

    @cached_property
    def topics(self) -> frozenset[str]:
        """The concepts that tell what it is about."""
        return self.concepts - GENERAL

    @cached_property
    def concept_weight(self) -> float:
        """Of all its topics."""
        return total(map(self.documents.concept_weight, self.topics))

    def share(self, stems: frozenset[str]) -> float:
        return sum(map(self.documents.weight, self.words & stems)) / (self.weight + 1)

    def concept_share(self, names: frozenset[str]) -> float:
        return sum(map(self.documents.concept_weight, self.topics & names)) / (self.concept_weight + 0.5)

    def holds(self, phrase: frozenset[str]) -> float:
        """How much of a phrase the question holds, 0 to 1."""
        weigh = self.documents.weight
        return sum(map(weigh, self.words & phrase)) / total(map(weigh, phrase))

    def covers(self, document: Document) -> float:
        """How much of the question a document answers, 0 to 1."""
        return (self.share(document.words) + self.concept_share(document.topics)) / 2

    def likeness(self, stems: frozenset[str]) -> float:
        """Weighted Jaccard: 1 for the same words."""
        weigh = self.documents.weight
        return sum(map(weigh, self.words & stems)) / total(map(weigh, self.words | stems))


def _read(documents: Documents, question: str) -> _Asked:
    return _Asked(
        documents, content(question), asked_concepts(question), literals(question), calls(question), question.lower()
    )


def stating_sentence(documents: Documents, question: str, least: float) -> str:
    """The sentence of the prompt that answers most of the question, at least the share `least`; else ""."""
    asked = _read(documents, question)
    best, most = "", least
    for document in documents.stated:
        answered = 1.0 if _is_own(question, document) else asked.covers(document)
        if answered >= most:
            best, most = document.text, answered
    return best


def features(documents: Documents, question: str) -> list[dict[str, float]]:
    """What the likelihood of each rival is computed from, by name: mostly shares of the question, 0 to 1."""
    asked = _read(documents, question)
    stated_words = max((asked.share(document.words) for document in documents.sentences), default=0.0)
    stated_topics = max((asked.concept_share(document.mentions) for document in documents.sentences), default=0.0)
    stated_literals = max((_named(asked, document) for document in documents.sentences), default=0.0)
    rivals = documents.rivals
    shares = [asked.share(document.words) for document in rivals]
    on_topic = [asked.concept_share(document.topics) for document in rivals]
    rows: list[dict[str, float]] = []
    for place, document in enumerate(rivals):
        other_topics = max(on_topic[:place] + on_topic[place + 1 :], default=0.0)
        rows.append(
            {
                "bias": 1.0,
                "words": shares[place],
                "topic": on_topic[place],
                "mentions": asked.concept_share(document.mentions),
                "alone_on_topic": float(on_topic[place] > 0 and not other_topics and not stated_topics),
                "own_questions": max((asked.likeness(own) for own in document.questions), default=0.0),
                "phrase": max((asked.share(phrase) for phrase in document.phrases), default=0.0),
                "whole_phrase": max((asked.holds(phrase) for phrase in document.phrases), default=0.0),
                "literals": _named(asked, document),
                "stated_words": stated_words,
                "stated_topics": stated_topics,
                "stated_literals": stated_literals,
                "other_words": max(shares[:place] + shares[place + 1 :], default=0.0),
                "other_topics": other_topics,
                **_of_piece(asked, document),
            }
        )
    return rows


def _named(asked: _Asked, document: Document) -> float:
    return len(asked.literals & document.literals) / len(asked.literals) if asked.literals else 0.0


def _of_piece(asked: _Asked, document: Document) -> dict[str, float]:
    """Features that tell pieces of a statement apart: what changed, examples, signatures, definitions, the purpose."""
    purpose, contradiction = "PURPOSE" in asked.concepts, "CONTRADICTION" in asked.concepts
    is_sentence = not (document.is_example or document.is_signature)
    defines = purpose or "what is" in asked.text
    same_call = bool(asked.calls & document.calls)
    only_shared = not asked.words & document.changed and bool(document.vague)
    return {
        "vague_words": asked.share(document.vague),
        "changed_words": asked.share(document.changed),
        "added_words": asked.share(document.vague - document.shared),
        "only_shared_words": only_shared * asked.share(document.shared),
        "left_out_words": (not document.vague) * asked.share(document.words),
        "is_example": float(document.is_example),
        "asks_example": float(document.is_example and "EXAMPLE" in asked.concepts),
        "same_call": float(document.is_example and same_call),
        "other_call": float(document.is_example and bool(asked.calls - {""}) and not same_call),
        "is_signature": float(document.is_signature),
        "asks_name": float(document.is_signature and "NAME" in asked.concepts),
        "asks_purpose": float(purpose and document.is_first and is_sentence),
        "doubts_example": float(contradiction and document.is_example),
        "doubts_changed": float(contradiction and bool(document.vague)),
        "defines": defines * asked.share(document.subject),
    }


DESCRIBED: Mapping[str, float] = {
    "bias": -2.29,
    "words": 2.51,
    "topic": 3.85,
    "mentions": 1.67,
    "alone_on_topic": 1.76,
    "own_questions": 0.98,
    "phrase": 1.23,
    "whole_phrase": 1.43,
    "literals": 1.81,
    "stated_words": 0.14,
    "stated_topics": 0.50,
    "stated_literals": -0.62,
    "other_words": -3.18,
    "other_topics": -2.23,
    "vague_words": 0.11,
    "changed_words": -0.58,
    "added_words": 0.55,
    "only_shared_words": -0.44,
    "left_out_words": 1.51,
    "is_example": 0.00,
    "asks_example": 0.00,
    "same_call": 0.00,
    "other_call": 0.00,
    "is_signature": 0.00,
    "asks_name": 0.00,
    "asks_purpose": 0.07,
    "doubts_example": 0.00,
    "doubts_changed": 0.87,
    "defines": 0.01,
}
PIECES: Mapping[str, float] = {
    "bias": -1.52,
    "words": 2.29,
    "topic": 1.36,
    "mentions": 0.20,
    "alone_on_topic": 1.12,
    "own_questions": 0.00,
    "phrase": 0.00,
    "whole_phrase": 0.00,
    "literals": 2.65,
    "stated_words": 0.39,
    "stated_topics": 0.84,
    "stated_literals": -0.81,
    "other_words": -0.16,
    "other_topics": -1.26,
    "vague_words": 1.43,
    "changed_words": 0.95,
    "added_words": 1.16,
    "only_shared_words": -1.45,
    "left_out_words": 0.02,
    "is_example": -1.08,
    "asks_example": 2.86,
    "same_call": 1.57,
    "other_call": -3.05,
    "is_signature": -1.53,
    "asks_name": 1.16,
    "asks_purpose": 1.86,
    "doubts_example": 0.98,
    "doubts_changed": 0.83,
    "defines": 0.66,
}

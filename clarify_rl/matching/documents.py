"""A variant as the matcher reads it: its hidden facts, and the sentences of the prompt, as words and concepts.

Sentences that are shown are rivals of the facts that are hidden: a question that fits one of them better asks for what
the statement says already. The vague sentence in a fact's place is no rival, it belongs to the fact.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from importlib.resources import files

from clarify_rl.matching.concepts import GENERAL, concepts, topics
from clarify_rl.problems.hidden_facts import read_statement
from clarify_rl.types import Fact, Variant
from clarify_rl.wording import GENERIC, stems, words

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_LITERAL = re.compile(r"-?\d+(?:\.\d+)?|'[^']*'|\"[^\"]*\"|\[[^\]]*\]")
_CALL = re.compile(r"\w+\(([^()]*)\)")
_IS_EXAMPLE = re.compile(r"=>|->|==")
_COURTESIES = stems(
    "please tell sorry question questions clarify specify explain confirm thank thanks exactly mean hello"
)
_SAME = 0.9  # likeness from which a sentence of the prompt is the one that stands in a fact's place


@dataclass(frozen=True)
class Document:
    """A hidden fact, or a sentence of the prompt.

    `words` are stems, `topics` the concepts it is about, `mentions` all that occur in it; `questions` the stems of each
    question that comes with a fact, `own` its words in order, `phrases` the stems of other ways to ask about it. Of a
    fact, `changed` are the stems that its vague sentence lost or added, `vague` those of that sentence, `shared` those
    of both; `subject` the stems before "is", where it defines something.
    """

    text: str
    words: frozenset[str]
    topics: frozenset[str]
    mentions: frozenset[str]
    literals: frozenset[str] = frozenset()
    fact: Fact | None = None
    questions: tuple[frozenset[str], ...] = ()
    own: frozenset[tuple[str, ...]] = frozenset()
    phrases: tuple[frozenset[str], ...] = ()
    changed: frozenset[str] = frozenset()
    vague: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()
    subject: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()
    is_example: bool = False
    is_signature: bool = False
    is_first: bool = False


@dataclass(frozen=True)
class Documents:
    """All of one variant. `weight` of a word, and of a concept, falls with the number of documents that have it."""

    hidden: tuple[Document, ...]
    stated: tuple[Document, ...]
    word_counts: Counter[str] = field(repr=False, hash=False)
    concept_counts: Counter[str] = field(repr=False, hash=False)

    @cached_property
    def rivals(self) -> tuple[Document, ...]:
        """What a question may be about: the hidden facts, then those that the source knows to be stated."""
        return (*self.hidden, *(document for document in self.stated if document.fact is not None))

    @cached_property
    def sentences(self) -> tuple[Document, ...]:
        """What else the prompt says."""
        return tuple(document for document in self.stated if document.fact is None)

    @cached_property
    def described(self) -> bool:
        """Whether the facts come with questions of their own; else they are pieces of a statement."""
        return any(document.questions for document in (*self.hidden, *self.stated))

    def words_of(self, fact_id: str) -> frozenset[str]:
        """The stems of the hidden fact with this id."""
        return next(item.words for item in self.hidden if item.fact is not None and item.fact.id == fact_id)

    def weight(self, word: str) -> float:
        return self._weight(self.word_counts[word])

    def concept_weight(self, concept: str) -> float:
        return self._weight(self.concept_counts[concept])

    def _weight(self, documents: int) -> float:
        return math.log(1 + (len(self.hidden) + len(self.stated)) / (documents or _OF_NONE))


_OF_NONE = 0.7  # in place of the count of a word that no document has


def documents_of(variant: Variant) -> Documents:
    """The variant's documents, cached by what it shows and hides."""
    return _documents(variant.prompt, variant.facts, variant.stated, variant.problem.family)


@lru_cache(maxsize=2048)
def _documents(prompt: str, facts: tuple[Fact, ...], told: tuple[Fact, ...], family: str) -> Documents:
    hidden = tuple(_of_fact(fact, family, first=place == 0) for place, fact in enumerate(facts))
    # What stands in a fact's place may be several sentences: of a contradiction, both.
    replacing = [text for fact in facts for text in (fact.replaced_by, *sentences_of(fact.replaced_by)) if text]
    known = [*replacing, *(fact.statement for fact in told)]
    sentences = [text for text in sentences_of(prompt) if not any(_is_same(text, other) for other in known)]
    stated = (
        *(
            Document(text, content(text), about := concepts(text) - GENERAL, about, frozenset(literals(text)))
            for text in sentences
        ),
        *(_of_fact(fact, family, first=False) for fact in told),
    )
    both = (*hidden, *stated)
    return Documents(
        hidden,
        stated,
        Counter(word for document in both for word in document.words),
        Counter(name for document in both for name in document.topics | (document.mentions - GENERAL)),
    )


def _of_fact(fact: Fact, family: str, *, first: bool) -> Document:
    texts = (fact.statement, *fact.answers, *fact.questions, fact.replaced_by)
    phrases = [content(phrase) for phrase in asked_as(family, fact.id)]
    is_example = fact.id.startswith("example") or (not fact.questions and bool(_IS_EXAMPLE.search(fact.statement)))
    statement, vague = content(fact.statement), content(fact.replaced_by)
    subject, is_said, _ = fact.statement.partition(" is ")
    about = topics(fact.id) or concepts(" ".join(fact.questions) or fact.statement) - GENERAL
    return Document(
        text=fact.statement,
        words=frozenset().union(*map(content, texts), *phrases, fact.about),
        topics=about | {"EXAMPLE"} if is_example else about,
        mentions=frozenset[str]().union(*map(concepts, texts)),
        literals=frozenset(literals(f"{fact.statement} {fact.replaced_by}")),
        fact=fact,
        questions=tuple(content(question) for question in fact.questions),
        own=frozenset(tuple(words(question)) for question in fact.questions),
        phrases=tuple(filter(None, phrases)),
        changed=statement ^ vague if vague else statement,
        vague=vague,
        shared=statement & vague,
        subject=content(" ".join(words(subject)[:6])) if is_said else frozenset(),
        calls=frozenset(calls(fact.statement)),
        is_example=is_example,
        is_signature=fact.id in ("signature", "name"),
        is_first=first,
    )


@cache
def _wordings() -> dict[str, tuple[str, ...]]:
    lines = (files(__package__) / "asked_as.txt").read_text(encoding="utf-8").splitlines()
    entries = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name: tuple(phrase.strip() for phrase in phrases.split(";")) for name, _, phrases in entries}


def asked_as(family: str, fact: str) -> tuple[str, ...]:
    """Phrases that people use when they ask about a fact of this name, with those of its family of the bank first."""
    return (*_wordings().get(f"{family}.{fact}", ()), *_wordings().get(fact, ()))


def sentences_of(prompt: str) -> list[str]:
    """The sentences and examples of a prompt, whether it is prose or code with a docstring."""
    if re.search(r"^def ", prompt, re.MULTILINE):
        return [piece.text for piece in read_statement(prompt).pieces]
    return [text.strip() for text in _SENTENCE_END.split(prompt) if text.strip()]


def _is_same(sentence: str, other: str) -> bool:
    return sentence == other or difflib.SequenceMatcher(None, sentence, other).quick_ratio() > _SAME


def content(text: str) -> frozenset[str]:
    """Stems of the words that say what a text is about."""
    return stems(text) - GENERIC - _COURTESIES


def literals(text: str) -> set[str]:
    """Numbers, quoted texts and lists that a text names."""
    return {literal.strip("'\"") for literal in _LITERAL.findall(text)}


def calls(text: str) -> set[str]:
    """The arguments of each call in a text, without spaces."""
    return {re.sub(r"\s", "", arguments) for arguments in _CALL.findall(text)}


def total(weigh: Iterable[float]) -> float:
    """A sum that nothing divides by zero."""
    return sum(weigh) or 1e-9

"""Labelled questions: what a person would take each to be about, and how well a user agrees."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clarify_rl.errors import DataError
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.records import from_record
from clarify_rl.types import Fact, Problem, Tests, Variant


@dataclass(frozen=True)
class Pair:
    """A question about a variant. `accept` are the facts that a person would tell, none where nothing is due."""

    id: str
    variant: Variant
    question: str
    accept: tuple[str, ...]
    source: str = ""
    style: str = ""


@dataclass(frozen=True)
class Rates:
    """How a user did: `answered` and `wrong` of the `answerable` questions, `false` of those where nothing was due."""

    answerable: int
    answered: int
    wrong: int
    others: int
    false: int

    @property
    def recall(self) -> float | None:
        return self.answered / self.answerable if self.answerable else None

    @property
    def wrong_rate(self) -> float | None:
        return self.wrong / self.answerable if self.answerable else None

    @property
    def false_rate(self) -> float | None:
        return self.false / self.others if self.others else None

    @staticmethod
    def together(parts: Iterable[Rates]) -> Rates:
        """The rates of several sets as one."""
        whole = list(parts)
        return Rates(
            sum(part.answerable for part in whole),
            sum(part.answered for part in whole),
            sum(part.wrong for part in whole),
            sum(part.others for part in whole),
            sum(part.false for part in whole),
        )

    def __str__(self) -> str:
        shown = [f"{rate:.1%}" if rate is not None else "-" for rate in (self.recall, self.wrong_rate, self.false_rate)]
        return (
            f"recall {shown[0]}, wrong fact {shown[1]} of {self.answerable}; "
            f"revealed where nothing was due {shown[2]} of {self.others}"
        )


def judge(revealed: Callable[[Pair], Sequence[str]], pairs: Sequence[Pair]) -> Rates:
    """The rates of a user, given by the facts that it tells for each pair. Any accepted fact answers a question."""
    answered = wrong = false = 0
    for pair in pairs:
        facts = revealed(pair)
        is_answered = bool(set(facts) & set(pair.accept))
        answered += is_answered
        wrong += bool(pair.accept and facts and not is_answered)
        false += bool(facts and not pair.accept)
    answerable = sum(bool(pair.accept) for pair in pairs)
    return Rates(answerable, answered, wrong, len(pairs) - answerable, false)


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a JSONL file. DataError names the line of a row that is none.

    A row has `prompt`, `facts` (each with id, statement, and what else a Fact has), `question` and `accept`; `id`,
    `variant_id`, `source` and `style` are shown.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    pairs = [_pair(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not pairs:
        raise DataError(f"{path} has no pairs. {_FORM}")
    return pairs


def _stated(family: str, prompt: str, hidden: set[str]) -> tuple[Fact, ...]:
    """What a variant of the bank states, as the bank's own variants say it; a row holds the hidden facts only."""
    specs = next((known.facts for known in FAMILIES if known.name == family), ())
    return tuple(
        Fact(spec.id, None, sentence, questions=spec.asks)
        for spec in specs
        if spec.id not in hidden
        for sentence in [said for option in spec.options for said in option.says if said in prompt][:1]
    )


_FORM = 'A row looks like {"prompt": ..., "facts": [{"id": ..., "statement": ...}], "question": ..., "accept": [ids]}.'


def _pair(line: str, where: str) -> Pair:
    try:
        row: Mapping[str, Any] = json.loads(line)  # Any: JSON
        facts = tuple(from_record(Fact, {"defect": None, **fact}) for fact in row["facts"])
        accept = tuple(map(str, row["accept"]))
        prompt, question = str(row["prompt"]), str(row["question"])
    except (ValueError, KeyError, TypeError, DataError) as error:
        raise DataError(f"{where} is no pair: {type(error).__name__}: {error}. {_FORM}") from error
    unknown = set(accept) - {fact.id for fact in facts}
    if unknown:
        raise DataError(f"{where}: accept names {', '.join(sorted(unknown))}, which are no facts of the row.")
    name = str(row.get("variant_id") or where)
    family = name.split("/")[1] if name.startswith("bank/") else ""
    problem = Problem(name, prompt, "", Tests(()), "", str(row.get("source", "")), family)
    kind = "unclear" if facts else "clear"
    variant = Variant(name, problem, prompt, kind, facts, _stated(family, prompt, {fact.id for fact in facts}))
    return Pair(
        str(row.get("id") or where), variant, question, accept, str(row.get("source", "")), str(row.get("style", ""))
    )

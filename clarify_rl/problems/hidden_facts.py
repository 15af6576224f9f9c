"""What a rewritten statement hides of its original: the sentences and examples that it lost or changed, as Facts.

A simplification: pieces are compared as text, so a piece that only changed its wording counts as hidden too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from clarify_rl.types import Defect, Fact
from clarify_rl.wording import stems, words

_EXAMPLE = "For example, "
LONG = 120
SIMILAR = 0.6

_HEADING = re.compile(
    r"(\[input/output\] samples|(for )?examples?( \d+)?|notes?|constraints?|task|explanation)\s*:?", re.IGNORECASE
)
_CALL = re.compile(r"[*\-\s]*(for\s+|assert\s+)?\w+\(.*\)\s*(=|-+>|➞|→|#|:|returns?\b|should\b)")
_INPUT = re.compile(r"(sample )?input\s*:|for \w+ = .*\b(output|result)\b", re.IGNORECASE)
_FILLER = re.compile(r"[^a-z<>=≤≥]*|(have fun|good luck|enjoy)\b.*", re.IGNORECASE)
_BULLET = re.compile(r"([*\-•]|\(?\d+[.)])\s")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!^\d[.])\s+(?=[\"'`(]?[A-Z\d])")
_ABOUT_EXAMPLES = stems("example sample output expected inconsistent contradict mismatch description docstring correct")
_ABOUT_NAME = stems("name named called signature")
_ABOUT_PARAMETERS = stems("signature parameter argument type annotation")


@dataclass(frozen=True)
class Piece:
    """A sentence or an example of a statement."""

    kind: Literal["sentence", "example"]
    text: str


@dataclass(frozen=True)
class Statement:
    """A prompt taken apart: the line that defines the function to write, and the pieces of its docstring."""

    signature: str
    pieces: tuple[Piece, ...]


def hidden_facts(original: str, variant: str, entry_point: str, defect: Defect | None) -> tuple[Fact, ...]:
    """The sentences of `original` that `variant` lost or changed, all its lost examples as one fact, its signature.

    What says nothing ("1.", "Have fun :)") is no fact, and a function that only lost its name hides just that.
    """
    complete, shown = read_statement(original), read_statement(variant)
    kept = {_canonical(piece.text, entry_point) for piece in shown.pieces}
    whole = ". ".join(_canonical(piece.text, entry_point) for piece in shown.pieces if piece.kind == "sentence")
    known = {_canonical(piece.text, entry_point) for piece in complete.pieces}
    changed = [piece.text for piece in shown.pieces if _canonical(piece.text, entry_point) not in known]
    lost = [
        _piece_fact(f"{piece.kind}-{number}", piece, changed, defect)
        for number, piece in enumerate(complete.pieces, start=1)
        if _canonical(piece.text, entry_point) not in kept
        and not (piece.kind == "sentence" and _is_clause(_canonical(piece.text, entry_point), whole))
    ]
    examples = [fact for fact in lost if fact.id.startswith("example")]
    sentences = [fact for fact in lost if not fact.id.startswith("example")]
    return (*sentences, *_together(examples), *_signature_facts(complete.signature, shown.signature, defect))


def _is_clause(text: str, whole: str) -> bool:
    """Whether a text stands in another between punctuation: a long sentence is cut otherwise when its end was lost."""
    return bool(re.search(rf"(^|[.,;:]\s){re.escape(text)}([.,;:]|$)", whole))


def _together(examples: Sequence[Fact]) -> tuple[Fact, ...]:
    """The lost examples as one fact: they illustrate one thing, and who asks for an example is shown them all."""
    if len(examples) < 2:
        return tuple(examples)
    texts = [fact.statement.removeprefix(_EXAMPLE) for fact in examples]
    shown = dict.fromkeys(fact.replaced_by for fact in examples if fact.replaced_by)
    about = frozenset(stem for fact in examples for stem in fact.about)
    return (
        Fact("examples", examples[0].defect, _EXAMPLE + "; ".join(texts), "; ".join(shown), about=tuple(sorted(about))),
    )


def read_statement(prompt: str) -> Statement:
    """The last function that a prompt defines and what its docstring says; helpers defined before it are left out."""
    lines = prompt.splitlines()
    start = max((index for index, line in enumerate(lines) if line.startswith("def ")), default=-1)
    body = [re.sub(r'"""|\'\'\'', "", line).strip() for line in lines[start + 1 :]]
    signature = " ".join(lines[start].split()) if start >= 0 else ""
    return Statement(signature, tuple(_rows_together(_pieces(_blocks(body)))))


def _rows_together(pieces: Iterable[Piece]) -> list[Piece]:
    """Rows of a table, which have no word, belong to the sentence before them."""
    together: list[Piece] = []
    for piece in pieces:
        if together and piece.kind == together[-1].kind == "sentence" and not re.search(r"[A-Za-z]{2}", piece.text):
            together[-1] = Piece("sentence", f"{together[-1].text}; {piece.text}")
        else:
            together.append(piece)
    return together


def _blocks(lines: Iterable[str]) -> list[list[str]]:
    """Lines that belong together: a paragraph, a bullet, or one example with its result."""
    blocks: list[list[str]] = [[]]
    for line in lines:
        block = blocks[-1]
        if not line or _HEADING.fullmatch(line):
            blocks.append([])
        elif _starts_block(line) or (block and _is_complete(block)):
            blocks.append([line])
        else:
            block.append(line)
    return [block for block in blocks if block]


def _starts_block(line: str) -> bool:
    return bool(line.startswith(">>>") or _CALL.match(line) or _INPUT.match(line) or _BULLET.match(line))


def _is_complete(block: Sequence[str]) -> bool:
    """Whether a block takes no more lines: a call with its result on the line, or a doctest with its result below."""
    if block[0].startswith(">>>"):
        return len(block) == 2
    return bool(_CALL.match(block[0]))


def _pieces(blocks: Iterable[Sequence[str]]) -> list[Piece]:
    pieces: list[Piece] = []
    for block in blocks:
        if block[0].startswith(">>>") or _CALL.match(block[0]) or _INPUT.match(block[0]):
            pieces.append(Piece("example", _example_text(block)))
        else:
            pieces.extend(Piece("sentence", text) for text in _sentences("\n".join(block)))
    return pieces


def _example_text(block: Sequence[str]) -> str:
    """One line for an example: `>>> f(1)` and `2` become `f(1) -> 2`."""
    if block[0].startswith(">>>"):
        return " -> ".join([block[0].removeprefix(">>>").strip(), *block[1:]])
    return " ".join(block)


def _sentences(paragraph: str) -> list[str]:
    """Sentences; a long one is cut at clauses that end a line, so that no answer gives the whole statement away."""
    texts: list[str] = []
    for sentence in _SENTENCE_END.split(paragraph):
        parts = re.split(r"(?<=[,;:])\n", sentence) if len(sentence) > LONG else [sentence]
        for part in parts:
            texts.extend(part.splitlines() if len(part) > 2 * LONG else [part])
    return [" ".join(text.split()) for text in texts if words(text) and not _FILLER.fullmatch(text.strip())]


def _canonical(text: str, entry_point: str) -> str:
    """Text without the differences that hide nothing: the function's name, spaces and closing punctuation."""
    text = re.sub(rf"\b{re.escape(entry_point)}\b", "candidate", text)
    return " ".join(text.split()).strip(".,;: ")


def _piece_fact(fact_id: str, piece: Piece, changed: Sequence[str], defect: Defect | None) -> Fact:
    near = difflib.get_close_matches(piece.text, changed, n=1, cutoff=SIMILAR)
    about = stems(piece.text) | stems(near[0] if near else "")
    if piece.kind == "example":
        about |= _ABOUT_EXAMPLES | (stems("empty") if re.search(r"\[\]|\(\)|\{\}|''|\"\"", piece.text) else frozenset())
    about = about or _ABOUT_EXAMPLES
    statement = f"{_EXAMPLE}{piece.text}" if piece.kind == "example" else piece.text
    return Fact(fact_id, defect, statement, near[0] if near else "", about=tuple(sorted(about)))


def _signature_facts(original: str, variant: str, defect: Defect | None) -> tuple[Fact, ...]:
    if original == variant:
        return ()
    name = _name(original)
    if original == variant.replace(f"def {_name(variant)}(", f"def {name}(", 1):
        return (Fact("name", defect, f"The function is called {name}.", variant, about=tuple(sorted(_ABOUT_NAME))),)
    lost = set(words(_parameters(original))) - set(words(_parameters(variant)))
    about = _ABOUT_NAME | (_ABOUT_PARAMETERS | stems(" ".join(lost)) if lost else frozenset())
    return (Fact("signature", defect, f"The signature is `{original}`.", variant, about=tuple(sorted(about))),)


def _name(signature: str) -> str:
    return signature.removeprefix("def ").partition("(")[0].strip()


def _parameters(signature: str) -> str:
    return signature.partition("(")[2]

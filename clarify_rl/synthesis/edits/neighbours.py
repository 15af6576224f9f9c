"""Which cells of a grid are next to each other: four of them, or those across a corner too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from clarify_rl import syntax
from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_SIDES = r"(?:up|down|left|right|north|south|east|west)"
_PHRASE = re.compile(
    rf",? ?\((?:i\.e\.,? ?)?(?:horizontal(?:ly)? or vertical(?:ly)?|{_SIDES}(?:,? (?:or |and )?{_SIDES}){{3}})\.?\)|"
    r",? ?(?:and )?(?:horizontally (?:or|and) vertically|vertically (?:or|and) horizontally)|"
    rf" (?:in|to) (?:one of )?(?:the |all |any of the )?(?:four|4) (?:cardinal |possible |different )?directions"
    rf"(?: \([^)]*\)|: {_SIDES}(?:,? (?:or |and )?{_SIDES}){{3}})?|"
    rf" {_SIDES}(?:,? (?:or |and )?{_SIDES}){{3}}|"
    r"\b4-?directional(?:ly)?(?: |-)?",
    re.IGNORECASE,
)
_TOLD = (
    rf"\b(four|4)\b.{{0,15}}\bdirection|\b(horizontal|vertical|diagonal|cardinal)\w*|\b{_SIDES},|\bdirections?\b|"
    r"\bcorners?\b|\bsides?\b|\bedges?\b|\b[48]-"
)
# What a sentence ends in once its directions are gone.
_DANGLING = re.compile(
    r"\b(?:to the|only move|can (?:walk|move|go)|cells are neighboring|walking one space)[.,]|manhattan", re.IGNORECASE
)
_STEPS_SAID = re.compile(r"\b(?:adjacent|neighbou?r\w*|connected|walk\w*|mov(?:e|es|ing)|swim)\b", re.IGNORECASE)
# A bound, an estimate of distances, or a look at two neighbours that holds for four steps only.
_COUNTS_ON_FOUR = re.compile(r"\babs\(|\breturn [2-9]\b|\[0\]\[1\]|\[1\]\[0\]")
_FOUR = {(0, 1), (1, 0), (0, -1), (-1, 0)}
_EIGHT = tuple((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0))
# Five numbers whose neighbouring pairs are the four steps, and nine for all eight.
_STEPS = {(-1, 0, 1, 0, -1), (0, 1, 0, -1, 0), (1, 0, -1, 0, 1), (0, -1, 0, 1, 0)}
_ALL_STEPS = (-1, -1, 0, -1, 1, 1, 0, 1, -1)


def find(subject: Subject) -> Iterator[Uncertain]:
    base = re.sub(r" +(?=[.,])| (?= )", "", _PHRASE.sub("", subject.sentence).replace("()", ""))
    if (
        base == subject.sentence
        or re.search(_TOLD, base, re.IGNORECASE)
        or _DANGLING.search(base)
        or not _STEPS_SAID.search(base)
    ):
        return
    eight = with_eight(subject.problem.solution)
    if eight is None or _COUNTS_ON_FOUR.search(subject.problem.solution):
        return
    yield Uncertain(
        kind="neighbours",
        readings=(
            Reading(
                "four",
                "Only cells that share a side are next to each other.",
                ("Only those that share a side.", "No, a corner is not enough: up, down, left and right only."),
            ),
            Reading(
                "eight",
                "Cells that share a side or a corner are next to each other.",
                ("Those across a corner count too.", "Yes, all eight cells around one are next to it."),
                program=eight,
            ),
        ),
        default=0,
        base=base,
        questions=(
            "Which cells are next to each other: only those that share a side, or diagonal ones too?",
            "Do diagonal neighbours count?",
            "Can one go from a cell to another diagonally?",
        ),
        blurs=(
            "Cells are next to each other as usual.",
            "Cells that touch are next to each other.",
        ),
        given_away=_TOLD,
        about="neighbours next adjacent diagonal diagonally side corner four eight directions connected",
    )


def with_eight(program: str) -> str | None:
    """The program with eight steps in place of four; None where its steps are not written as one list."""
    tree = syntax.parse(program)
    pairwise = any(isinstance(node, ast.Name) and node.id == "pairwise" for node in ast.walk(tree))
    lists = [node for node in ast.walk(tree) if isinstance(node, ast.Tuple | ast.List)]
    steps = [node for node in lists if _value(node) in _STEPS and pairwise]
    pairs = [node for node in lists if (value := _value(node)) and len(value) == len(_FOUR) and set(value) == _FOUR]
    if len(steps) + len(pairs) != 1:
        return None
    new = ast.parse(repr(_ALL_STEPS if steps else _EIGHT), mode="eval").body
    assert isinstance(new, ast.Tuple)
    (steps or pairs)[0].elts = new.elts
    return ast.unparse(tree)


def _value(node: ast.Tuple | ast.List) -> tuple[object, ...]:
    """What a list of numbers, or of pairs of numbers, stands for; () for any other."""
    try:
        value = ast.literal_eval(node)
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    except ValueError:
        return ()

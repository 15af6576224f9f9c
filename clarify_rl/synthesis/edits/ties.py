"""Which of several comes first, or is returned, where the problem's own measure finds them equal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from clarify_rl import syntax
from clarify_rl.synthesis.facts import Reading, Subject, Uncertain

_TOLD = r"\b(ties?|tied|equal(ly)?|same|if (?:there are )?(?:several|multiple|more than one)|stable|lexicograph\w*)\b"
_PICKS = re.compile(r"\b(maximum|minimum|longest|shortest|largest|smallest|highest|lowest|most|least)\b", re.IGNORECASE)
_SORTS = re.compile(r"\b(sort\w*|arrange|rearrange|order)\b", re.IGNORECASE)
_ADDED = 6  # inputs in which something is equal


def find(subject: Subject) -> Iterator[Uncertain]:
    last = _last_first(subject.problem.solution, subject.parameters)
    if last is None or re.search(_TOLD, subject.sentence, re.IGNORECASE):
        return
    program, picks = last
    if not (_PICKS if picks else _SORTS).search(subject.sentence):
        return
    yield _picking(subject, program) if picks else _sorting(subject, program)


def _picking(subject: Subject, program: str) -> Uncertain:
    either = ("If several share it, return the first or the last of them.",)
    return Uncertain(
        kind="ties",
        readings=(
            Reading(
                "first",
                "If several share it, return the first of them.",
                ("The first of them.", "Then return the one that comes first."),
                blurs=either,
            ),
            Reading(
                "last",
                "If several share it, return the last of them.",
                ("The last of them.", "Then return the one that comes last."),
                program=program,
                blurs=either,
            ),
        ),
        default=0,
        base=subject.sentence,
        questions=(
            "Which one should be returned if several share it?",
            "What about ties: the first or the last of them?",
            "If two are equally good, which of them do you want?",
        ),
        blurs=("If several share it, return the right one of them.", "Break ties in a sensible way."),
        given_away=_TOLD,
        about="ties tie several share equal first last",
        inputs=_with_ties(subject),
    )


def _sorting(subject: Subject, program: str) -> Uncertain:
    either = ("Where items are equal in this, keep them in the order of the input, or turn it round.",)
    return Uncertain(
        kind="ties",
        readings=(
            Reading(
                "as given",
                "Items that are equal in this stay in the order of the input.",
                ("In the order of the input.", "They stay in the order in which they came."),
                blurs=either,
            ),
            Reading(
                "turned round",
                "Of items that are equal in this, the one that is later in the input comes first.",
                ("The later one comes first.", "The one that is later in the input goes first."),
                program=program,
                blurs=either,
            ),
        ),
        default=0,
        base=subject.sentence,
        questions=(
            "In which order do items come that are equal in this?",
            "What about ties: which of two equal items comes first?",
            "If two items are equally large, which one goes first?",
        ),
        blurs=("Break ties in a sensible way.", "Put equal items in the proper order."),
        given_away=_TOLD,
        about="ties tie equal same order first later",
        inputs=_with_ties(subject),
    )


def _last_first(program: str, parameters: Sequence[str]) -> tuple[str, bool] | None:
    """The program with the last of equal items first, and whether it picks one (else it sorts); None if not clear."""
    tree = syntax.parse(program)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _compares(node)]
    if len(calls) != 1 or not any(keyword.arg == "key" for keyword in calls[0].keywords):
        return None
    (call,) = calls
    name, items = ast.unparse(call.func), ast.unparse(call.args[0]) if call.args else ""
    if name.endswith(".sort") and name.removesuffix(".sort") in parameters:
        turned = _TurnedRound(call, name.removesuffix(".sort")).visit(tree)
        return ast.unparse(ast.fix_missing_locations(turned)), False
    if items in parameters and len(call.args) == 1:
        call.args = [ast.parse(f"list({items})[::-1]", mode="eval").body]
        return ast.unparse(tree), name != "sorted"
    return None


def _compares(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    return name in ("max", "min", "sorted") or name.endswith(".sort")


class _TurnedRound(ast.NodeTransformer):
    """Puts `items.reverse()` in front of the statement `items.sort(key=...)`."""

    def __init__(self, call: ast.Call, items: str) -> None:
        self.call, self.items = call, items

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        return [*ast.parse(f"{self.items}.reverse()").body, node] if node.value is self.call else node


def _with_ties(subject: Subject) -> tuple[tuple[object, ...], ...]:
    """Known inputs, with each item of a list once more as its mirror image: as long, and with the same sum."""
    made = []
    for args in subject.inputs[:_ADDED]:
        place = next((i for i, value in enumerate(args) if isinstance(value, list) and value), None)
        if place is not None:
            items = args[place]
            assert isinstance(items, list)
            mirrored = [item[::-1] if isinstance(item, str | list | tuple) else item for item in items]
            made.append((*args[:place], [*items, *mirrored], *args[place + 1 :]))
    return tuple(made)

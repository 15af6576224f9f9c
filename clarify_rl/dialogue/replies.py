"""Classes of replies, mutually exclusive: question, code, mixed, bare code, truncated, empty, other."""

from __future__ import annotations

import ast
import re

from clarify_rl.types import Reply, ReplyKind

_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
_OPEN_FENCE = re.compile(r"```[^\n`]*\n?")
_SENTENCE = re.compile(r"[^.!?\n]*\?+")
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def parse_reply(text: str, *, finished: bool = True) -> Reply:
    """The reply's class, its questions and its code. `finished` is False when the budget cut it off."""
    text = text.strip()
    if not text:
        return Reply(text, ReplyKind.EMPTY)
    if not finished:
        return Reply(text, ReplyKind.TRUNCATED)
    fence = _FENCE.search(text)
    questions = find_questions(_FENCE.sub(" ", text))
    if fence:
        kind = ReplyKind.MIXED if questions else ReplyKind.CODE
        return Reply(text, kind, questions, code=fence.group(1))
    bare = _OPEN_FENCE.sub("", text)
    if is_bare_code(bare):
        return Reply(text, ReplyKind.BARE_CODE, code=bare)
    return Reply(text, ReplyKind.QUESTION if questions else ReplyKind.OTHER, questions)


def find_questions(text: str) -> tuple[str, ...]:
    """Every sentence that ends with a question mark and holds a word."""
    found = (match.group().strip(" -*\t") for match in _SENTENCE.finditer(text))
    return tuple(question for question in found if re.search(r"\w", question))


def is_bare_code(text: str) -> bool:
    """Whether unfenced text is Python that defines or imports something."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, _DEFINES) for node in tree.body)

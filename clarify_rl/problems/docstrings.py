"""Statements as HumanEval writes them: the line that defines the function, below it what it does, as a docstring."""

from __future__ import annotations

import re
import textwrap

CALL_LINE = re.compile(r"\n*(?:Write the function|Call it) (?P<name>\w+)\((?P<parameters>[^)]*)\)\.\s*$")
_CALLS = re.compile(r"(?:Write the function|Call it) \w+\b")
_WIDTH = 80
_INDENT, _QUOTES = "    ", '"""'


def as_docstring(prompt: str) -> str | None:
    """The statement in this form, which tells neither more nor less; None where no last line says how to call it.

    A statement that says it twice, or in other words, stays as it is: what a definition says could be the truth.
    """
    call = CALL_LINE.search(prompt)
    if call is None or len(_CALLS.findall(prompt)) != 1:
        return None
    body = prompt[: call.start()].strip()
    if not body or _QUOTES in body or "\\" in body:
        return None
    lines = [line for paragraph in body.splitlines() for line in _wrapped(paragraph)]
    text = "\n".join(f"{_INDENT}{line}".rstrip() for line in lines).strip()
    return f'def {call["name"]}({call["parameters"]}):\n{_INDENT}"""{text}\n{_INDENT}"""\n'


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(
        paragraph, _WIDTH - len(_INDENT) - len(_QUOTES), break_long_words=False, break_on_hyphens=False
    ) or [""]

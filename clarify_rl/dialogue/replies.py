"""Classes of replies, mutually exclusive: question, code, mixed, bare code, truncated, empty, other.

A question is a sentence with a question mark. A reply with neither that nor code may still ask: see `requests`.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace

from clarify_rl import syntax
from clarify_rl.dialogue.requests import find_requests, is_courtesy, without_announcements
from clarify_rl.types import Reply, ReplyKind

_FENCE_OPENS = re.compile(r"((?<!`)`{3,}+|(?<!~)~{3,}+)[^`~]*$")
_PROSE_FENCE = re.compile(r"(markdown|md|text|txt|plaintext)\s*$", re.IGNORECASE)
_SENTENCE_ENDS = re.compile(r"(?<=[.!?])[\"'*_)\]]*\s+")
_LITERAL = re.compile(r"`[^`\n]*`|(?<!\w)([\"'])[^\s\"']{1,40}\1(?!\w)")
LONGEST_PARSED = 10_000
_HIDDEN = "\x00"  # stands for a question mark in a literal while sentences are told apart
_DEFINITION = re.compile(r"^(def|async|class|import|from|@)", re.MULTILINE)
_TOP_LEVEL_LINE = re.compile(r"^\S", re.MULTILINE)
_DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


def parse_reply(text: str, *, finished: bool = True, in_thought: bool | None = False) -> Reply:
    """The reply's class, its questions, and its code (the first block). `finished` is False for a reply cut off.

    What stands between <think> and </think> at its beginning is neither: drafts there are no answers, and questions
    there were not asked. `in_thought`: the prompt has opened the thinking already; None: who knows, so an end tells.
    Thinking that never ends is a reply cut off.
    """
    spoken = _without_thinking(text.strip(), in_thought)
    if spoken is None:
        return Reply("", ReplyKind.TRUNCATED, thinking=text.strip().removeprefix(_THINK).strip())
    thinking, text = spoken
    return replace(_classed(text, finished), thinking=thinking)


_THINK, _THOUGHT = "<think>", "</think>"


def _without_thinking(text: str, in_thought: bool | None) -> tuple[str, str] | None:
    """What was thought and what was said, or None where the thinking has no end."""
    if in_thought is None:
        in_thought = _THOUGHT in text
    if not in_thought and not text.startswith(_THINK):
        return "", text
    thinking, ended, said = text.removeprefix(_THINK).partition(_THOUGHT)
    return (thinking.strip(), said.strip()) if ended else None


def _classed(text: str, finished: bool) -> Reply:
    if not text:
        return Reply(text, ReplyKind.EMPTY)
    if not finished:
        return Reply(text, ReplyKind.TRUNCATED)
    parts = _take_apart(text)
    questions = find_questions("\n".join(parts.prose))
    if parts.blocks:
        questions = tuple(question for question in questions if not is_courtesy(question))
        kind = ReplyKind.MIXED if questions else ReplyKind.CODE
        return Reply(text, kind, questions, code=parts.blocks[0])
    bare = "\n".join([*parts.prose, *parts.unclosed])
    if is_bare_code(bare):
        return Reply(text, ReplyKind.BARE_CODE, code=bare)
    if parts.unclosed:
        return Reply(text, ReplyKind.OTHER)
    questions = questions or find_requests(parts.prose, _SENTENCE_ENDS)
    return Reply(text, ReplyKind.QUESTION if questions else ReplyKind.OTHER, questions)


@dataclass
class _Parts:
    """A reply taken apart: the fenced blocks, the lines around them, and the lines behind a fence that never closes."""

    blocks: list[str] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)

    def add(self, block: _Block, *, closed: bool = True) -> None:
        """A block that says it is Markdown or text holds prose."""
        if block.is_prose:
            self.prose += block.lines
        elif closed:
            self.blocks.append("\n".join(block.lines) + "\n")
        else:
            self.unclosed = block.lines


@dataclass
class _Block:
    """The lines behind a fence, as far as they are read."""

    fence: str
    is_prose: bool
    lines: list[str] = field(default_factory=list)


def _take_apart(text: str) -> _Parts:
    """Line by line, so that the time grows with the length only, whatever a policy writes."""
    parts = _Parts()
    block: _Block | None = None
    for line in text.split("\n"):
        if block is None:
            opens = _FENCE_OPENS.search(line)
            parts.prose.append(line[: opens.start()] if opens else line)
            block = _Block(opens.group(1), bool(_PROSE_FENCE.match(line[opens.end(1) :]))) if opens else None
        elif line.lstrip().startswith(block.fence):
            parts.add(block)
            parts.prose.append(line.lstrip().removeprefix(block.fence))
            block = None
        elif line.rstrip().endswith(block.fence):
            block.lines.append(line.rstrip().removesuffix(block.fence))
            parts.add(block)
            block = None
        else:
            block.lines.append(line)
    if block is not None:
        parts.add(block, closed=False)
    return parts


def find_questions(text: str) -> tuple[str, ...]:
    """Every sentence that ends with a question mark and holds a word; question marks in literals end nothing.

    What only announces other questions is none: "Could you please provide more details?" before a list of them.
    """
    masked = _LITERAL.sub(lambda match: match.group().replace("?", _HIDDEN), text)
    sentences = (sentence for line in masked.split("\n") for sentence in _SENTENCE_ENDS.split(line))
    stripped = (sentence.strip(" \t-*_\"'()[]").replace(_HIDDEN, "?") for sentence in sentences)
    asked = [question for question in stripped if question.endswith(("?", "?!")) and re.search(r"\w", question)]
    return without_announcements(asked)


def is_bare_code(text: str) -> bool:
    """Whether unfenced text is Python that defines or imports something at the beginning of a line.

    No more than LONGEST_PARSED characters are parsed: one thread parses at a time, and Python takes seconds for the
    names that a policy can write in 80,000. A longer text is code if its first statements are.
    """
    if not _DEFINITION.search(text):
        return False
    if len(text) > LONGEST_PARSED:
        text = _whole_statements(text[:LONGEST_PARSED])
    try:
        tree = syntax.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, _DEFINES) for node in tree.body)


def _whole_statements(text: str) -> str:
    """The lines before the last one that begins a statement, whose end may be cut off."""
    starts = [match.start() for match in _TOP_LEVEL_LINE.finditer(text)]
    return text[: starts[-1]] if starts else ""

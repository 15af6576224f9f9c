"""A value that a program returned, as Python would print it, from its tree: nothing of the value is built."""

from __future__ import annotations

from collections.abc import Iterator

from clarify_rl.executor.codec import CodecError, Tree, decode, single

_BRACKETS = {"t": ("(", ")"), "s": ("{", "}"), "z": ("frozenset({", "})")}
_EMPTY = {"t": "()", "s": "set()", "z": "frozenset()"}
_LONGEST_TEXT = 1000
_LONGEST_INT = 1000  # characters in hexadecimal: Python takes long to write a longer one in decimal


def as_python(tree: Tree, most: int) -> str:
    """The text of a value, as `repr` gives it, cut to `most` characters; however large the value, no more is made."""
    text = ""
    for piece in _pieces(tree):
        text += piece
        if len(text) > most:
            return f"{text[:most]}..."
    return text


def _pieces(tree: Tree) -> Iterator[str]:
    if isinstance(tree, list):
        yield from _joined("[", tree, "]")
    elif isinstance(tree, dict):
        yield from _tagged(*single(tree))
    else:
        yield repr(tree[:_LONGEST_TEXT] if isinstance(tree, str) else tree)


def _tagged(tag: str, body: Tree) -> Iterator[str]:
    if tag == "d" and isinstance(body, list):
        yield from _pairs(body)
    elif tag in _BRACKETS and isinstance(body, list):
        if not body:
            yield _EMPTY[tag]
            return
        opening, closing = _BRACKETS[tag]
        yield from _joined(opening, body, f",{closing}" if tag == "t" and len(body) == 1 else closing)
    elif tag == "i" and len(str(body)) > _LONGEST_INT:
        yield str(body)
    else:
        yield _scalar(tag, body)


def _scalar(tag: str, body: Tree) -> str:
    try:
        return repr(decode({tag: body}))
    except CodecError:
        return f"<{tag}>"


def _joined(opening: str, items: list[Tree], closing: str) -> Iterator[str]:
    yield opening
    for number, item in enumerate(items):
        if number:
            yield ", "
        yield from _pieces(item)
    yield closing


def _pairs(pairs: list[Tree]) -> Iterator[str]:
    yield "{"
    for number, pair in enumerate(pairs):
        if number:
            yield ", "
        if isinstance(pair, list) and len(pair) == 2:
            yield from _pieces(pair[0])
            yield ": "
            yield from _pieces(pair[1])
    yield "}"

"""Whether two encoded values are equal in type and value. It works on trees: a program's values are never built here.

Sets and dicts are compared by sorting, not hashing, so that a program cannot slow the caller with colliding keys.
"""

from __future__ import annotations

from clarify_rl.executor.codec import MAX_DEPTH, CodecError, Tree, dumps, single


def canonical(tree: Tree, depth: int = 0) -> bytes:
    """The same bytes for equal values only: sets and dicts in sorted order, -0.0 as 0.0, nan as itself."""
    if depth > 2 * MAX_DEPTH + 2:
        raise CodecError("deeper than the codec allows")
    if isinstance(tree, float):
        return dumps(tree + 0.0)
    if isinstance(tree, list):
        return b"[%b]" % b",".join([canonical(item, depth + 1) for item in tree])
    if not isinstance(tree, dict):
        return dumps(tree)
    tag, body = single(tree)
    if tag in ("s", "z", "d"):
        return b"%b{%b}" % (tag.encode(), b",".join(sorted(_canonical_items(body, depth + 1))))
    if tag in ("t", "c", "i", "f", "b", "o"):
        return b"%b(%b)" % (tag.encode(), canonical(body, depth + 1))
    raise CodecError(f"unknown tag {tag[:20]!r}")


def _canonical_items(body: Tree, depth: int) -> list[bytes]:
    if not isinstance(body, list):
        raise CodecError("a tag without its list")
    return [canonical(item, depth) for item in body]

"""Python source read as a syntax tree, from many threads at once."""

from __future__ import annotations

import ast
import threading
from typing import Literal, overload

TRIES = 5

# CPython 3.11 and 3.12 count the depth of the tree they build in one counter for the whole process. When a garbage
# collection in mid-build lets another thread build a tree too, the first ends with a SystemError (CPython issue
# 106905).
_one_at_a_time = threading.Lock()


@overload
def parse(source: str, mode: Literal["exec"] = "exec") -> ast.Module: ...
@overload
def parse(source: str, mode: Literal["eval"]) -> ast.Expression: ...


def parse(source: str, mode: Literal["exec", "eval"] = "exec") -> ast.Module | ast.Expression:
    """`ast.parse` for threads: raises what it raises, SyntaxError, ValueError, RecursionError or MemoryError.

    Libraries parse too, without our lock (a traceback reads its own lines), so a mismatch of depths is tried again.
    """
    with _one_at_a_time:
        for _ in range(TRIES - 1):
            try:
                return _parse(source, mode)
            except SystemError:
                pass
        return _parse(source, mode)


def _parse(source: str, mode: str) -> ast.Module | ast.Expression:
    tree = ast.parse(source, mode=mode)
    assert isinstance(tree, ast.Module | ast.Expression)
    return tree

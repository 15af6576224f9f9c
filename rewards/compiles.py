"""Whether the final code is Python that defines what was asked for."""

from __future__ import annotations

import ast

from clarify_rl import syntax
from clarify_rl.registry import reward
from clarify_rl.types import Episode, Rating

LONGEST_PARSED = 100_000  # characters; one thread parses at a time


@reward("compiles")
def compiles(episode: Episode) -> Rating:
    """1 when the last reply has code that parses and defines the entry point, else 0. It says nothing about tests."""
    code = episode.turns[-1].reply.code if episode.turns else None
    if code is None:
        return Rating(0.0, why="no code")
    try:
        names = {getattr(node, "name", "") for node in ast.walk(syntax.parse(code[:LONGEST_PARSED]))}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Rating(0.0, why=f"{type(error).__name__}: {error}")
    name = episode.variant.problem.entry_point
    return Rating(float(name in names), why="" if name in names else f"no {name}")

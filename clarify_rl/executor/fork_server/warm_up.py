"""Runs small jobs of our own in the fork server itself, before it forks anything.

Python tunes code while it runs it, and builds much when it is first needed. A child would do both in memory that it
shares with the fork server, and copy each page that it touches: a third of its processor time.
"""

from __future__ import annotations

import socket

from clarify_rl.executor.codec import Tree, dumps
from clarify_rl.executor.fork_server.candidate import SEALED, run_candidate
from clarify_rl.executor.fork_server.judge import run_judge

ROUNDS = 20  # Python tunes a function after some eight calls
OUTPUT_BYTES = 1 << 20
PROGRAM = """
class Pair:
    def __init__(self, left, right):
        self.left, self.right = left, right


def double(numbers, text="", pairs=None):
    total = 0
    for number in sorted(numbers):
        total += number * 2 if number % 3 else len(text)
    return [total, f"{total:.1f}", {"a": (1.5, True, None)}]
"""
CHECKS = """
def check(candidate):
    assert candidate([1, 2], text="a") == 3
    assert candidate([3])[0] == 0


check(candidate)
"""


def warm_up() -> None:
    """Runs each kind of job a few times."""
    for _ in range(ROUNDS):
        _warm_pairs()
        _warm_judge()


def _warm_pairs() -> None:
    arguments: Tree = {"t": [[3, 1, 2], "text", {"d": [["a", 1.5]]}]}
    request: Tree = {
        "mode": "pairs",
        "program": PROGRAM,
        "entry_point": "double",
        "printed": False,
        "inputs": [arguments, {"t": [[]]}, {"t": [1]}],
    }
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(dumps(request) + b"\n")
        run_candidate(theirs.fileno(), None, OUTPUT_BYTES)


def _warm_judge() -> None:
    """The program's answers lie ready in the socket before the judge asks."""
    ours, theirs = socket.socketpair()
    link, program = socket.socketpair()
    with ours, theirs, link, program:
        request: Tree = {"program": PROGRAM, "entry_point": "double", "setup": "import math\n", "checks": [CHECKS]}
        ours.send(dumps(request) + b"\n")
        answers: list[Tree] = [{"ok": ["double"]}, {"r": 3}, {"r": [0, "0.0"], "m": [[[3]], {"d": []}], "o": []}]
        program.send(SEALED + b"".join(dumps(answer) + b"\n" for answer in answers))
        run_judge(theirs.fileno(), link.fileno(), OUTPUT_BYTES)
